"""Hedging over sockets: what vendors see of an attempt that is cut off, and what clients, metrics and explain say."""

import asyncio
from decimal import Decimal

import msgspec
import pytest

from merit_crds.usage_line import UsageLine
from merit_dataplane.fake_provider.behaviour import Behaviour
from tests.support.gateway import Running, eventually, gateway
from tests.support.resources import CONSUMER, prices, provider, route
from tests.unit.dataplane.conftest import Vendors

pytestmark = pytest.mark.asyncio(loop_scope="session")
CHAT = {"model": "chat", "messages": [{"role": "user", "content": "Hello"}]}
USUAL = 0.03


def resources(vendors: Vendors, extra: str = 'hedging: {maxExtraCostPercent: "5000"}') -> tuple[str, ...]:
    return vendors.resources(route("cheap", "middle", extra=extra))


def know(merit: Running) -> None:
    """The cheap candidate usually takes 0.03 s."""
    assert merit.parts.holder.tables is not None
    learned = merit.parts.holder.tables.routes["default/chat"].tiers[0].targets[0].learned
    for _ in range(40):
        for latency in (learned.total, learned.first_token):
            latency.observe(USUAL, asyncio.get_running_loop().time())


def lines(merit: Running) -> list[UsageLine]:
    return [msgspec.json.decode(line, type=UsageLine) for line in merit.log_text().splitlines()]


@pytest.mark.parametrize("stream", [False, True])
async def test_the_loser_is_cut_off_and_booked(vendors: Vendors, stream: bool) -> None:
    vendors.cheap.behaviour = Behaviour(first_token=30) if stream else Behaviour(latency=30)
    async with gateway(*resources(vendors)) as merit:
        know(merit)
        answer = await merit.post({**CHAT, "stream": stream})
        assert (answer.status_code, answer.headers["x-merit-provider"]) == (200, "middle")
        assert (answer.headers["x-merit-attempts"], answer.headers["x-merit-hedge"]) == ("2", "won")
        await eventually(lambda: vendors.cheap.stats.client_disconnects == 1, "the vendor still writes")
        await eventually(lambda: vendors.cheap.stats.in_flight == 0, "the vendor is still at work")
        await eventually(lambda: len(lines(merit)) == 1, "no line")
        (line,) = lines(merit)
        (lost,) = line.lost
        assert (lost.provider, lost.outcome, lost.output_tokens) == ("default/cheap", "outpaced", 0)
        assert lost.estimated
        assert Decimal(line.lost_cost) == Decimal(lost.input_tokens) * Decimal("0.10") / 10**6 > 0
        metrics = await merit.metrics()
        assert 'merit_hedges_total{outcome="won",route="default/chat"} 1.0' in metrics
        assert 'outcome="outpaced",provider="default/cheap"} 1.0' in metrics.replace('model="cheap-model",', "")
        assert "merit_lost_cost_usd_total{" in metrics


async def test_a_wide_tail_is_cut_and_every_token_is_accounted_for(vendors: Vendors) -> None:
    """Requests at once, of which those that begin slowly are hedged: vendors and accounts agree to the token."""
    vendors.cheap.behaviour = Behaviour(latency=0.02, jitter=0.2)
    vendors.middle.behaviour = Behaviour(latency=0.01)
    extra = (
        'hedging: {after: P50, maxExtraCostPercent: "5000", maxSharePercent: "100"}\n  retry: {budgetPercent: "100"}'
    )
    async with gateway(*resources(vendors, extra)) as merit:
        know(merit)
        answers = await asyncio.gather(*(merit.post(CHAT) for _ in range(60)))
        assert {answer.status_code for answer in answers} == {200}
        await eventually(lambda: len(lines(merit)) == 60, "lines are missing")
        await eventually(lambda: vendors.cheap.stats.in_flight + vendors.middle.stats.in_flight == 0, "still at work")
        by_model = {"cheap-model": vendors.cheap.stats, "middle-model": vendors.middle.stats}
        for model, stats in by_model.items():
            own = [line for line in lines(merit) if line.model == model]
            late = [a for line in lines(merit) for a in line.lost if a.model == model and not a.estimated]
            cut = [a for line in lines(merit) for a in line.lost if a.model == model and a.estimated]
            assert sum(line.input_tokens for line in own) + sum(a.input_tokens for a in late) <= stats.prompt_tokens
            answered = len(own) + len(late)
            assert stats.requests == answered + len(cut)
        assert {line.hedge for line in lines(merit)} & {"won", "lost"}


async def test_a_client_that_leaves_ends_both(vendors: Vendors) -> None:
    vendors.cheap.behaviour = vendors.middle.behaviour = Behaviour(latency=30)
    async with gateway(*resources(vendors)) as merit:
        know(merit)
        asking = asyncio.create_task(merit.post(CHAT))
        await eventually(lambda: vendors.middle.stats.in_flight == 1, "no hedge")
        asking.cancel()
        for vendor in (vendors.cheap, vendors.middle):
            await eventually(lambda v=vendor: v.stats.client_disconnects == 1, "still at work")  # type: ignore[misc]
        await eventually(lambda: len(lines(merit)) == 1, "no line")
        assert (lines(merit)[0].status, lines(merit)[0].attempts) == (499, 2)


async def test_a_region_that_is_slow_is_hedged_with_another(vendors: Vendors) -> None:
    vendors.cheap.behaviour = Behaviour(latency=30)
    documents = [
        CONSUMER, provider("cheap", vendors.cheap.url, vendors.middle.url), prices("cheap", "1", "1"),
        route("cheap", extra="hedging: {}"),
    ]  # fmt: skip
    async with gateway(*documents) as merit:
        know(merit)
        answer = await merit.post(CHAT)
        assert (answer.headers["x-merit-hedge"], vendors.middle.stats.requests) == ("won", 1)
        await eventually(lambda: len(lines(merit)) == 1, "no line")
        assert lines(merit)[0].endpoint == "e1"


async def test_explain_says_after_how_long(vendors: Vendors) -> None:
    async with gateway(*resources(vendors)) as merit:
        know(merit)
        told = (await merit.post(CHAT, path="/v1/explain")).json()
        assert told["hedging"] == {"after": "P95", "maxExtraCostPercent": 5000.0, "maxSharePercent": 10.0}
        first, second = told["meritOrder"]
        assert USUAL <= first["hedgedAfterSeconds"] <= USUAL * 1.16
        assert second["hedgedAfterSeconds"] is None
        await merit.apply(*vendors.resources())
        told = (await merit.post(CHAT, path="/v1/explain")).json()
        assert told["hedging"] is None
        assert all("hedgedAfterSeconds" not in bid for bid in told["meritOrder"])
