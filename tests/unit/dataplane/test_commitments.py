"""Commitments at the boundary: a price list with one in, and where requests go, what they cost, what accounts say."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from merit_dataplane.commitments.disk import CommitmentDisk
from tests.support.clock import Clock
from tests.support.commitments import ASK, answer, asked, committed
from tests.support.gateway import Running, Script, gateway, says, scripted, streams
from tests.support.resources import CONSUMER, candidate, prices, provider, route, route_of

pytestmark = pytest.mark.asyncio(loop_scope="session")
USD = 10**12
PREPAID = 'volume: {prepaid: "0.05"}'
STREAM = {**ASK, "stream": True, "stream_options": {"include_usage": True}}


ONCE = 'expires: "2027-01-01T00:00:00Z"'


@contextlib.asynccontextmanager
async def shop(terms: str, *, script: Script | None = None, cheap: str = "1", **options: Any) -> AsyncIterator[Running]:
    """`cheap` asks 0.002 USD for the same tokens, and has no commitment."""
    async with scripted(script or answer()) as dear, scripted(answer()) as other:
        documents = (
            provider("dear", dear),
            provider("cheap", other),
            committed(terms),
            prices("cheap", cheap, cheap),
            route("dear", "cheap"),
            CONSUMER,
        )
        async with gateway(*documents, **options) as merit:
            yield merit


def urls(merit: Running) -> list[str]:
    """Of the vendors, in the order of the route."""
    tables = merit.parts.holder.tables
    assert tables is not None
    (tier,) = tables.routes["default/chat"].tiers
    places = [target.endpoints[0].urls for target in tier.targets]
    return [next(iter(place.values())).rsplit("/chat", 1)[0] for place in places]


async def metric(merit: Running, name: str) -> float:
    lines = [line for line in (await merit.metrics()).splitlines() if line.startswith(f"{name}{{")]
    assert len(lines) == 1, lines
    return float(lines[0].rsplit(" ", 1)[1])


async def test_what_is_prepaid_is_asked_first_until_it_is_spent(clock: Clock) -> None:
    clock.set("2026-06-01T00:00:00Z")
    async with shop(f"{ONCE}\n      {PREPAID}") as merit:
        got = [await asked(merit) for _ in range(4)]
        assert [g["who"] for g in got] == ["dear", "dear", "dear", "cheap"]
        # 0.05 - 0.02 - 0.02 leaves 0.01: half of the third request is paid as it comes
        assert [g["x-merit-cost"] for g in got] == ["0", "0", "0.01", "0.002"]
        assert [g.get("x-merit-effective-cost") for g in got] == ["0.02", "0.02", "0.02", None]
        details = json.loads(got[2]["text"], parse_float=Decimal)["usage"]
        assert details["cost"] == Decimal("0.01")
        assert details["cost_details"]["effective_cost"] == Decimal("0.02")
        assert details["cost_details"]["upstream_inference_prompt_cost"] == Decimal("0.002")
        lines = [json.loads(line) for line in merit.log_text().splitlines()]
        assert (lines[2]["cost"], lines[2]["list_cost"], lines[2]["effective_cost"]) == ("0.01", "0.02", "0.02")
        assert lines[2]["commitments"] == [
            {"commitment": "deal", "period": 1767225600, "drawn": "0.01", "wanted": "0.02", "fee": "0.01"}
        ]
        assert "list_cost" not in lines[3]
        assert await metric(merit, "merit_commitment_remaining") == 0
        assert await metric(merit, "merit_commitment_drawn_total") == 0.05
        text = await merit.metrics()
        spent = {
            line.split("{")[0] + line.split('provider="default/')[1][:5]: float(line.rsplit(" ", 1)[1])
            for line in text.splitlines()
            if line.startswith(("merit_cost_usd_total", "merit_effective_cost"))
        }
        assert spent == {
            'merit_cost_usd_totaldear"': 0.01, "merit_cost_usd_totalcheap": 0.002,
            'merit_effective_cost_usd_totaldear"': 0.06, "merit_effective_cost_usd_totalcheap": 0.002,
        }  # fmt: skip


async def test_a_stream_draws_once_though_it_is_priced_twice(clock: Clock) -> None:
    clock.set("2026-06-01T00:00:00Z")
    usage = {"prompt_tokens": 1000, "completion_tokens": 1000, "total_tokens": 2000}
    event = json.dumps({"id": "x", "choices": [], "usage": usage}).encode()
    vendor = streams(b"data: " + event + b"\n\n", b"data: [DONE]\n\n")
    async with shop(f"{ONCE}\n      {PREPAID}", script=vendor) as merit:
        got = await asked(merit, STREAM)
        assert got["x-merit-expected-cost"] == "0"
        assert '"effective_cost":0.02' in got["text"]
        assert await metric(merit, "merit_commitment_drawn_total") == 0.02


async def test_a_month_by_the_clock_of_a_zone_has_a_new_volume(clock: Clock) -> None:
    month = 'period: {calendar: Month, timeZone: America/New_York}\n      volume: {prepaid: "0.02"}'
    async with shop(month) as merit:
        clock.set("2026-07-01T03:00:00Z")  # still June there
        assert [(await asked(merit))["who"] for _ in range(2)] == ["dear", "cheap"]
        clock.set("2026-07-01T03:59:59Z")
        assert (await asked(merit))["who"] == "cheap"
        clock.set("2026-07-01T04:00:00Z")
        assert [(await asked(merit))["who"] for _ in range(2)] == ["dear", "cheap"]
        clock.set("2025-12-31T23:00:00Z")  # before it starts
        assert (await asked(merit))["who"] == "cheap"


async def test_a_failed_attempt_holds_nothing_back(clock: Clock) -> None:
    clock.set("2026-06-01T00:00:00Z")
    broken = says(b"{}", status="500 Internal Server Error")
    async with shop(f"{ONCE}\n      {PREPAID}", script=broken) as merit:
        assert (await asked(merit))["who"] == "cheap"
        (account,) = merit.parts.holder.live.commitments
        assert (account.pending, account.drawn) == (0, 0)


async def test_what_requests_under_way_will_draw_is_not_offered_twice(clock: Clock) -> None:
    clock.set("2026-06-01T00:00:00Z")
    gate, arrived = asyncio.Event(), asyncio.Event()

    async def waits(reader: Any, writer: Any) -> None:
        arrived.set()
        await gate.wait()
        await answer()(reader, writer)

    # 256 tokens of output are expected at first: 0.0041 USD, and there are 0.005
    async with shop(f'{ONCE}\n      volume: {{prepaid: "0.005"}}', script=waits, cheap="4") as merit:
        first = asyncio.create_task(asked(merit))
        await arrived.wait()
        assert (await asked(merit))["who"] == "cheap"
        gate.set()
        assert (await first)["who"] == "dear"


async def test_capacity_by_the_minute_with_weights(clock: Clock) -> None:
    clock.set("2026-06-01T00:00:10Z")
    terms = (
        'period: {length: 1m}\n      volume: {tokens: 8000, weights: {output: "3"}}\n      fee: {amount: "60", per: 1h}'
    )
    async with shop(terms) as merit:
        got = [await asked(merit) for _ in range(3)]
        assert [(g["who"], g["x-merit-cost"]) for g in got] == [("dear", "0"), ("dear", "0"), ("cheap", "0.002")]
        assert got[0]["x-merit-effective-cost"] == "0.5"  # half of a minute's dollar
        clock.set("2026-06-01T00:01:00Z")
        assert (await asked(merit))["who"] == "dear"
        assert merit.parts.holder.live.commitments.counts() == ()  # too short to tell anybody


async def test_a_scarce_volume_is_left_to_those_who_gain_most(clock: Clock) -> None:
    """Half of the requests have a cheap way out, half have none; there is enough for half of them."""
    start = 1_780_272_000  # 2026-06-01
    both = f"{candidate('dear')}, {candidate('cheap')}"
    hard = f"name: hard, when: [{{lastMessage: hard}}], candidates: [{candidate('dear')}]"
    tiers = (
        f"[{{{hard}, expectedOutputTokens: 1000}}, {{name: easy, candidates: [{both}], expectedOutputTokens: 1000}}]"
    )
    requests = 2000
    volume = Decimal("0.02") * requests / 2
    terms = f'period: {{calendar: Month, timeZone: UTC}}\n      volume: {{prepaid: "{volume}"}}'
    async with scripted(answer()) as dear, scripted(answer()) as other:
        documents = (
            provider("dear", dear), provider("cheap", other), committed(terms), prices("cheap", "0.5", "1.5"),
            route_of(tiers), CONSUMER,
        )  # fmt: skip
        async with gateway(*documents) as merit:
            who: dict[str, list[str]] = {"easy": [], "hard": []}
            cost = Decimal(0)
            for place in range(requests):
                clock.now = start + place * 30 * 86_400 / requests
                kind = ("easy", "hard")[place % 2]
                got = await asked(merit, {**ASK, "messages": [{"role": "user", "content": kind}]})
                who[kind].append(got["who"])
                cost += Decimal(got["x-merit-cost"])
            (account,) = merit.parts.holder.live.commitments
            assert set(who["hard"]) == {"dear"}
            assert who["easy"].count("dear") < 0.1 * len(who["easy"])
            assert account.left < 0.02 * account.volume
            # all easy ones elsewhere and all hard ones prepaid is the least there is
            least = Decimal("0.002") * requests / 2
            greedy = Decimal("0.02") * requests / 4 + Decimal("0.002") * requests / 4
            assert least <= cost < least * Decimal("1.5") < greedy


async def test_explain_shows_margin_effective_remaining_and_pace(clock: Clock) -> None:
    clock.set("2026-06-01T00:00:00Z")
    async with shop(f"{ONCE}\n      {PREPAID}") as merit:
        await asked(merit)
        document = (await merit.post(ASK, path="/v1/explain")).json()
        first = document["meritOrder"][0]
        assert first["provider"] == "default/dear"
        assert first["expectedCostUSD"] == first["pacedCostUSD"] == "0"
        assert Decimal(first["effectiveCostUSD"]) > Decimal("0.004")
        (one,) = first["commitments"]
        assert (one["name"], one["unit"], one["volume"], one["remaining"]) == ("deal", "usd", "0.05", "0.03")
        assert (one["periodEnds"], one["paceUSD"]) == ("2027-01-01T00:00:00Z", "0")
        assert "commitments" not in document["meritOrder"][1]


async def test_what_was_drawn_outlives_the_process_where_there_is_a_disk(clock: Clock, tmp_path: Path) -> None:
    clock.set("2026-06-01T00:00:00Z")
    for expected in (["dear", "dear"], ["dear", "cheap"], ["cheap"]):
        async with shop(f"{ONCE}\n      {PREPAID}") as merit:
            disk = CommitmentDisk(tmp_path, merit.parts.holder.live.commitments)
            disk.load()
            assert [(await asked(merit))["who"] for _ in expected] == expected
            await disk.flush()
    (tmp_path / "commitments.json").write_bytes(b"[{")  # damaged: it goes on without
    async with shop(f"{ONCE}\n      {PREPAID}") as merit:
        disk = CommitmentDisk(tmp_path, merit.parts.holder.live.commitments)
        disk.load()
        assert (await asked(merit))["who"] == "dear"


async def test_new_terms_of_a_commitment_keep_what_was_drawn(clock: Clock) -> None:
    clock.set("2026-06-01T00:00:00Z")
    async with shop(f"{ONCE}\n      {PREPAID}") as merit:
        await asked(merit)
        (account,) = merit.parts.holder.live.commitments
        dear, cheap = urls(merit)
        more = committed(f'{ONCE}\n      volume: {{prepaid: "0.09"}}')
        vendors = (provider("dear", dear), provider("cheap", cheap))
        await merit.apply(*vendors, more, prices("cheap", "1", "1"), route("dear", "cheap"), CONSUMER)
        await asked(merit)
        assert list(merit.parts.holder.live.commitments) == [account]
        assert (account.drawn, account.left) == (4 * USD // 100, 5 * USD // 100)
