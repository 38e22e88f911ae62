"""Hysteresis, ramp and exploration: thousands of requests over a virtual clock, and what a client sees of them."""

import json
from collections import Counter
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from merit_crds.usage_line import UsageLine
from merit_dataplane.dispatch.bid import Standing
from merit_dataplane.dispatch.merit_order import merit_order
from merit_dataplane.dispatch.placement import Placement, placed
from merit_dataplane.fake_provider.behaviour import Behaviour
from merit_dataplane.feedback.resolve import settle
from merit_dataplane.feedback.tally import Tally
from merit_dataplane.live import Live
from merit_dataplane.snapshots.tables import Builder, TierPlan
from merit_dataplane.wire.openai_request import Call, Operation, parse
from tests.support.gateway import gateway
from tests.support.resources import CONSUMER, candidate, compiled, prices, provider, route, route_of
from tests.unit.dataplane.conftest import Vendors

URL = "http://127.0.0.1:9/v1"
BODY: dict[str, Any] = {"model": "chat", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 100}
CEILING = "[{{name: all, candidates: [{}], objectives: {{{}latency: {{total: 1s}}}}}}]"


def chat(**fields: Any) -> Call:
    return parse(Operation.CHAT, json.dumps({**BODY, **fields}).encode())


class Tier:
    """One tier whose prices change, as pushes do it, in virtual time."""

    def __init__(self, extra: str, *, tiers: str = "", seed: int = 1, **usd: str):
        self.live, self.now, self.random = Live(), 1000.0, Random(seed)
        self.extra, self.tiers = extra, tiers
        self.plan = self.price(**usd)

    def price(self, **usd: str) -> TierPlan:
        documents = [provider(n, URL) for n in usd] + [prices(n, price, price) for n, price in usd.items()]
        shape = route_of(self.tiers, extra=self.extra) if self.tiers else route(*usd, extra=self.extra)
        result = compiled(CONSUMER, *documents, shape)
        built = Builder(result.version, result.snapshot, result.credentials, self.live).build()
        self.plan = built.routes["default/chat"].tiers[0]
        return self.plan

    def ask(self, call: Call | None = None) -> tuple[str, Placement]:
        call = call or chat()
        order = merit_order(self.plan, call, self.now, 0.0)
        draws = self.random.randrange(10**6), self.random.randrange(10**6)
        order, why = placed(self.plan, order, call, self.now, *draws)
        return order[0].target.labels[2].split("/")[1], why

    def run(self, requests: int, *, per_second: float = 100.0) -> Counter[str]:
        seen: Counter[str] = Counter()
        for _ in range(requests):
            self.now += 1 / per_second
            seen[self.ask()[0]] += 1
        return seen


def test_by_default_a_cut_moves_the_next_request() -> None:
    tier = Tier("", a="1", b="2")
    assert not tier.plan.places
    assert tier.ask() == ("a", Placement.CHEAPEST)
    tier.price(a="1", b="0.99")
    assert tier.ask() == ("b", Placement.CHEAPEST)


# ---- hysteresis


@settings(max_examples=5)
@given(st.lists(st.integers(9_810, 10_000), min_size=10, max_size=20))
def test_prices_that_flap_within_the_percentage_switch_nobody(flaps: list[int]) -> None:
    tier = Tier('rebalancing: {hysteresisPercent: "2"}', a="1", b="1.01")
    assert tier.ask()[0] == "a"
    for place, flap in enumerate(flaps):
        moving = f"{flap / 10_000:.4f}"
        tier.price(a="1", b=moving) if place % 2 else tier.price(a="1", b="1.01")
        who, why = tier.ask()
        assert who == "a"
        assert why is (Placement.HYSTERESIS if place % 2 and flap < 10_000 else Placement.CHEAPEST)


@pytest.mark.parametrize(("b", "first"), [("0.9804", "a"), ("0.9803", "b"), ("0.5", "b")])
def test_a_difference_above_the_percentage_counts_at_once_and_stays(b: str, first: str) -> None:
    tier = Tier('rebalancing: {hysteresisPercent: "2"}', a="1", b="3")
    tier.ask()
    tier.price(a="1", b=b)
    assert {tier.ask()[0] for _ in range(5)} == {first}


def test_who_breaks_down_is_not_held() -> None:
    tier = Tier('rebalancing: {hysteresisPercent: "50"}', a="1", b="1.2")
    tier.ask()
    for _ in range(5):
        tier.plan.targets[0].endpoints[0].circuit.failed(tier.now)
    assert tier.ask() == ("b", Placement.CHEAPEST)


# ---- ramp


@settings(max_examples=10)
@given(seed=st.integers(0, 10**6), part=st.floats(0.05, 0.95))
def test_the_share_follows_the_ramp(seed: int, part: float) -> None:
    tier = Tier("rebalancing: {ramp: 10m}", seed=seed, a="1", b="2")
    assert tier.run(200) == {"a": 200}
    tier.price(a="1", b="0.6")
    assert tier.ask() == ("a", Placement.RAMP)
    tier.now += part * 600
    window = tier.run(2000, per_second=1000)
    assert abs(window["b"] / 2000 - part) < 0.06
    tier.now += 600
    assert tier.run(500) == {"b": 500}


def test_requests_of_two_lengths_ramp_once_and_not_each_time() -> None:
    tier = Tier("rebalancing: {ramp: 1m}", a="1", b="2")
    documents = [provider(n, URL) for n in "ab"]
    documents += [prices("a", "0.1", "9"), prices("b", "1", "1"), route("a", "b", extra=tier.extra)]
    result = compiled(CONSUMER, *documents)
    tables = Builder(result.version, result.snapshot, result.credentials, tier.live).build()
    tier.plan = tables.routes["default/chat"].tiers[0]
    long, short = chat(messages=[{"role": "user", "content": "x" * 90_000}]), chat(max_tokens=200)
    for place in range(5000):
        tier.now += 0.01
        assert tier.ask(long if place % 3 else short) == ("a" if place % 3 else "b", Placement.CHEAPEST)


def test_a_ramp_never_sends_to_who_broke_down() -> None:
    tier = Tier("rebalancing: {ramp: 10m}", a="1", b="2")
    tier.run(200)
    tier.price(a="1", b="0.6")
    assert tier.run(20)["a"] >= 18
    for _ in range(5):
        tier.plan.targets[0].endpoints[0].circuit.failed(tier.now)
    assert tier.run(20) == {"b": 20}


def test_after_a_long_outage_a_candidate_rises_anew_and_after_a_short_one_it_is_back_at_once() -> None:
    tier = Tier("rebalancing: {ramp: 1m}", a="1", b="2")
    tier.run(200)
    account = tier.plan.targets[0].provider.account
    account.rate_limited(tier.now, 5)
    assert tier.run(400) == {"b": 400}
    tier.now += 2
    assert tier.run(100) == {"a": 100}
    for _ in range(3):
        account.rate_limited(tier.now, 60)
        tier.run(2000, per_second=50)
    tier.now += 30
    assert tier.run(100)["b"] >= 97


def test_steering_and_failures_pass_the_ramp_by() -> None:
    tier = Tier("rebalancing: {ramp: 10m}", a="1", b="2")
    tier.run(200)
    tier.price(a="1", b="0.6")
    order, why = placed(tier.plan, merit_order(tier.plan, chat(), tier.now, 0.0), chat(), tier.now, 999_999, 999_999)
    assert why is Placement.RAMP
    assert [bid.target.model for bid in order] == ["a-model", "b-model"], "the rest follows: failover is at once"


# ---- exploration


def known(tier: TierPlan, place: int, seconds: float, now: float) -> None:
    for _ in range(100):
        tier.targets[place].learned.total.observe(seconds, now)


@settings(max_examples=8)
@given(seed=st.integers(0, 10**6), dear=st.sampled_from([1.5, 2, 5, 10, 40]))
def test_the_share_and_the_extra_cost_of_exploration_are_bounded(seed: int, dear: float) -> None:
    tier = Tier(
        'exploration: {share: "0.02"}', seed=seed, a="1", b=str(dear),
        tiers=CEILING.format(f"{candidate('a')}, {candidate('b')}", ""),
    )  # fmt: skip
    seen = tier.run(20_000)
    expected = 20_000 * 0.02 * min(1.0, 1 / (dear - 1))
    assert 0 < seen["b"] < expected + 6 * expected**0.5, "six standard deviations: chance alone does not get there"
    known(tier.plan, 1, 0.5, tier.now)
    tier.now += 2
    assert tier.run(1000, per_second=1000) == {"a": 1000}, "what is known is not explored"


def test_a_slow_candidate_is_out_until_exploration_finds_it_fast() -> None:
    tier = Tier("", a="1", b="2", tiers=CEILING.format(f"{candidate('a')}, {candidate('b')}", ""))
    known(tier.plan, 0, 3.0, tier.now)
    known(tier.plan, 1, 0.5, tier.now)
    assert tier.run(100) == {"b": 100}
    asked = 0
    for place in range(12_000):
        tier.now += 0.05
        if not place % 50:
            known(tier.plan, 1, 0.5, tier.now)
        who, why = tier.ask()
        if who == "a" and why is Placement.CHEAPEST:
            break
        if who == "a":
            asked += 1
            tier.plan.targets[0].learned.total.observe(0.4, tier.now)
    assert who == "a"
    assert 15 <= asked <= 60


def test_who_is_inaccurate_unavailable_or_too_dear_is_not_explored() -> None:
    who = ", ".join([candidate("a", accuracy="0.9"), candidate("b", accuracy="0.5"), candidate("c", accuracy="0.9"),
                     candidate("d", accuracy="0.9")])  # fmt: skip
    tier = Tier(
        'exploration: {share: "0.1"}\n  maxPrice: {input: "4"}', a="1", b="2", c="3", d="5",
        tiers=CEILING.format(who, 'accuracy: "0.8", '),
    )  # fmt: skip
    for _ in range(5):
        tier.plan.targets[2].endpoints[0].circuit.failed(tier.now)
    assert tier.run(2000, per_second=1000) == {"a": 2000}
    order = merit_order(tier.plan, chat(), tier.now, 0.0)
    assert [bid.standing for bid in order] == [
        Standing.ADMISSIBLE, Standing.MISSES_OBJECTIVE, Standing.UNAVAILABLE,
    ]  # fmt: skip


@settings(max_examples=8, deadline=None)
@given(
    seed=st.integers(0, 10**6), right=st.integers(0, 40), wrong=st.integers(0, 40), dear=st.sampled_from(["0.5", "2"])
)
def test_only_who_may_be_above_the_floor_and_is_cheaper_is_scored_anew_by_its_share(
    seed: int, right: int, wrong: int, dear: str
) -> None:
    who = f"{candidate('a', accuracy='0.95')}, {candidate('b', accuracy='0.99')}"
    tiers = f'[{{name: all, candidates: [{who}], objectives: {{accuracy: "0.9"}}}}]'
    tier = Tier('exploration: {share: "0.02"}', tiers=tiers, seed=seed, a="1", b=dear)
    tally = Tally()
    for number in range(right + wrong):
        tally.score(tier.now, 10**6 if number < right else 0, None)
    settle(tier.plan, tier.plan.targets[0], tally, tier.now)
    known = tier.plan.targets[0].accuracy
    seen = tier.run(5000)
    if known.counts >= 0.9:
        assert seen == {"a" if dear == "2" else "b": 5000}
    elif dear == "0.5" or known.belief is None or known.belief.upper < 0.9:
        assert seen == {"b": 5000}
    else:
        assert 40 <= seen["a"] <= 170, "six standard deviations around 100"


# ---- over HTTP


@pytest.mark.asyncio(loop_scope="session")
async def test_a_client_the_log_the_metrics_and_explain_tell_of_a_ramp(vendors: Vendors) -> None:
    extra = route("cheap", "middle", extra="rebalancing: {ramp: 1h}")
    async with gateway(*vendors.resources(extra)) as merit:
        for _ in range(101):
            first = await merit.post(BODY)
        assert first.headers["x-merit-provider"] == "cheap"
        assert "x-merit-placement" not in first.headers
        cut = [d for d in vendors.resources(extra) if "providerRef: {name: middle}" not in d]
        await merit.apply(*cut, prices("middle", "0.01", "0.01"))
        held = await merit.post(BODY)
        assert (held.headers["x-merit-provider"], held.headers["x-merit-placement"]) == ("cheap", "ramp")
        steered = await merit.post({**BODY, "provider": {"sort": "price"}})
        assert steered.headers["x-merit-provider"] == "middle"
        vendors.cheap.behaviour = Behaviour(status=500)
        failed_over = await merit.post(BODY)
        assert (failed_over.status_code, failed_over.headers["x-merit-provider"]) == (200, "middle")
        lines = [msgspec.json.decode(text, type=UsageLine) for text in merit.log_text().splitlines()]
        assert [line.placement for line in lines[-3:]] == ["ramp", "", "ramp"]
        of = 'model="cheap-model",provider="default/cheap",reason="ramp",route="default/chat",tier="all"'
        assert f"merit_placements_total{{{of}}} 2.0" in await merit.metrics()
        document = (await merit.post(BODY, path="/v1/explain")).json()
        assert document["rebalancing"] == {
            "hysteresisPercent": 0.0, "rampSeconds": 3600.0, "explorationShare": 0.0,
            "first": "default/middle middle-model", "rising": document["rebalancing"]["rising"],
        }  # fmt: skip
        assert document["meritOrder"][0]["provider"] == "default/middle"


@pytest.mark.asyncio(loop_scope="session")
async def test_exploration_measures_who_has_no_traffic(vendors: Vendors) -> None:
    tiers = CEILING.format(f"{candidate('cheap')}, {candidate('middle')}", "").replace("1s", "60s")
    async with gateway(*vendors.resources(route_of(tiers, extra='exploration: {share: "0.1"}'))) as merit:
        seen: Counter[tuple[str, str]] = Counter()
        for _ in range(400):
            answer = await merit.post(BODY)
            assert answer.status_code == 200
            seen[answer.headers["x-merit-provider"], answer.headers.get("x-merit-placement", "")] += 1
        assert set(seen) == {("cheap", ""), ("middle", "exploration")}
        assert 0 < seen["middle", "exploration"] < 80
