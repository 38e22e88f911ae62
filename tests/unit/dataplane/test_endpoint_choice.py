"""Regions of one provider: which of them a request asks, by what was measured of each."""

import asyncio
import json
from collections import Counter
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from merit_crds.usage_line import UsageLine
from merit_dataplane.dispatch.bid import Standing
from merit_dataplane.dispatch.endpoints import chosen, in_order
from merit_dataplane.dispatch.merit_order import merit_order
from merit_dataplane.fake_provider.behaviour import Behaviour
from merit_dataplane.live import Live
from merit_dataplane.resilience.circuit import Circuit
from merit_dataplane.snapshots.tables import Builder, Target, TierPlan
from merit_dataplane.wire.openai_request import Call, Operation, parse
from tests.support.gateway import Running, gateway
from tests.support.resources import CONSUMER, candidate, compiled, prices, provider, route_of
from tests.unit.dataplane.conftest import Vendors

URLS = tuple(f"http://127.0.0.1:9/{region}" for region in ("eu", "us", "asia"))
NOW = 1000.0
NEVER = 999_999
BODY: dict[str, Any] = {"model": "chat", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 8}


def chat(**fields: Any) -> Call:
    return parse(Operation.CHAT, json.dumps({**BODY, **fields}).encode())


def tiers(goals: str, *names: str, refuse: bool = False) -> str:
    who = ", ".join(candidate(name) for name in names)
    missed = ", whenMissed: Refuse" if refuse else ""
    objectives = f", objectives: {{latency: {{{goals}}}{missed}}}" if goals else ""
    return f"[{{name: all, candidates: [{who}]{objectives}}}]"


def tier(goals: str = "total: 1s", *, urls: tuple[str, ...] = URLS, extra: str = "", refuse: bool = False) -> TierPlan:
    """Provider `a` is cheapest and has several regions, `b` has one."""
    result = compiled(
        CONSUMER, provider("a", *urls), provider("b", URLS[0]), prices("a", "1", "1"), prices("b", "9", "9"),
        route_of(tiers(goals, "a", "b", refuse=refuse), extra=extra),
    )  # fmt: skip
    tables = Builder(result.version, result.snapshot, result.credentials, Live()).build()
    return tables.routes["default/chat"].tiers[0]


def took(
    target: Target, region: int, seconds: float, *, now: float = NOW, times: int = 50, kind: str = "total"
) -> None:
    known = target.learned.at(target.endpoints[region].circuit)
    for _ in range(times):
        getattr(known, kind).observe(seconds, now)
        getattr(target.learned, kind).observe(seconds, now)


def names(plan: TierPlan, call: Call | None = None, *, now: float = NOW, draw: int = NEVER) -> list[str]:
    return [endpoint.name for endpoint in chosen(plan.targets[0], plan, call or chat(), now, draw)]


def test_without_a_ceiling_the_written_order_is_the_order() -> None:
    plan = tier("")
    assert not plan.targets[0].chooses
    assert not plan.explores_endpoints
    assert not tier(urls=URLS[:1]).targets[0].chooses, "one endpoint: nothing to choose"


def test_the_fastest_comes_first_and_a_small_difference_leaves_the_written_order() -> None:
    plan = tier()
    a = plan.targets[0]
    took(a, 0, 0.30)
    took(a, 1, 0.29)
    took(a, 2, 0.80)
    assert names(plan) == ["e0", "e1", "e2"]
    took(a, 0, 0.60, times=500, now=NOW + 2)
    assert names(plan, now=NOW + 4) == ["e1", "e0", "e2"]


def test_a_slow_region_does_not_make_the_candidate_miss_and_nobody_measured_excludes_nobody() -> None:
    plan = tier()
    a = plan.targets[0]
    took(a, 0, 3.0)
    assert names(plan) == ["e1", "e2", "e0"], "who is not known may be fast: who is known to be slow is not"
    (first, _) = merit_order(plan, chat(), NOW, 0.0)
    assert (first.target, first.standing) == (a, Standing.ADMISSIBLE)
    took(a, 1, 0.4)
    assert names(plan, now=NOW + 2) == ["e1", "e2", "e0"]
    assert merit_order(plan, chat(), NOW + 2, 0.0)[0].target is a
    took(a, 1, 3.0, now=NOW + 2, times=5000)
    took(a, 2, 2.0, now=NOW + 2, times=5000)
    assert names(plan, now=NOW + 4) == ["e2", "e0", "e1"]
    order = merit_order(plan, chat(), NOW + 4, 0.0)
    assert [bid.target.labels[2] for bid in order] == ["default/b", "default/a"]
    assert "latency" in order[1].reason, "every region is slow: the candidate is"


def test_a_region_with_an_open_circuit_is_not_who_says_how_fast_the_candidate_is() -> None:
    plan = tier()
    a = plan.targets[0]
    for region in range(3):
        took(a, region, 0.2 if not region else 3.0)
    assert merit_order(plan, chat(), NOW, 0.0)[0].target is a
    for _ in range(5):
        a.endpoints[0].circuit.failed(NOW)
    assert names(plan, now=NOW + 2) == ["e1", "e2", "e0"]
    assert merit_order(plan, chat(), NOW + 2, 0.0)[0].target is not a, "what is left of it is slow"


def test_streams_look_at_the_first_token_and_others_do_not() -> None:
    plan = tier("firstToken: 1s")
    a = plan.targets[0]
    took(a, 0, 0.9, kind="first_token")
    took(a, 1, 0.1, kind="first_token")
    assert names(plan, chat(stream=True)) == ["e1", "e0", "e2"]
    assert names(plan) == ["e0", "e1", "e2"]


def test_a_share_measures_the_region_that_was_measured_longest_ago() -> None:
    plan = tier(extra='exploration: {share: "0.02"}')
    a = plan.targets[0]
    took(a, 0, 0.2)
    took(a, 1, 0.5, now=NOW - 900)
    seen = Counter(names(plan, draw=draw)[0] for draw in range(0, 10**6, 1000))
    assert seen == {"e0": 980, "e2": 20}
    took(a, 2, 0.5)
    assert names(plan, draw=0, now=NOW + 2)[0] == "e1", "known, but from long ago"
    took(a, 1, 0.5, now=NOW + 2)
    assert names(plan, draw=0, now=NOW + 4)[0] == "e0", "all are known"
    assert names(plan, chat(provider={"sort": "price"}), draw=0)[0] == "e0"
    a.endpoints[1].circuit.open_until = NOW + 9000
    assert names(plan, draw=0, now=NOW + 900)[0] == "e2", "not the one whose circuit is open"


def test_exploration_can_be_turned_off() -> None:
    assert not tier(extra='exploration: {share: "0"}').explores_endpoints
    assert names(tier(extra='exploration: {share: "0"}'), draw=0) == ["e0", "e1", "e2"]


@given(
    seconds=st.lists(st.none() | st.floats(0.002, 5), min_size=3, max_size=3),
    broken=st.sets(st.integers(0, 2)),
    draw=st.sampled_from([0, NEVER]),
    stream=st.booleans(),
)
def test_every_region_is_in_the_order_once_and_a_known_good_one_before_any_other(
    seconds: list[float | None], broken: set[int], draw: int, stream: bool
) -> None:
    plan = tier()
    a = plan.targets[0]
    for region, known in enumerate(seconds):
        if known is not None:
            took(a, region, known)
    for region in broken:
        a.endpoints[region].circuit.open_until = NOW + 30
    order = in_order(a, plan, chat(stream=stream), NOW)
    assert sorted(e.name for e in order) == ["e0", "e1", "e2"]
    assert sorted(names(plan, chat(stream=stream), draw=draw)) == ["e0", "e1", "e2"]
    good = {r for r, known in enumerate(seconds) if known is not None and known < 0.85 and r not in broken}
    if good:
        fastest = min(known for r, known in enumerate(seconds) if known is not None and r in good)
        first = int(order[0].name[1:])
        assert first in good
        assert (seconds[first] or 9) <= fastest * 1.2 * 1.15 * 1.15, "a fifth, and a bucket either way"


def test_what_is_known_of_regions_that_are_gone_is_bounded() -> None:
    live, plan = Live(), tier()
    learned = plan.targets[0].learned
    for number in range(100):
        learned.at(circuit(live, number)).total.observe(1.0, NOW + number)
    assert learned._at is not None
    assert len(learned._at) <= 32
    assert circuit(live, 99) in learned._at


def circuit(live: Live, number: int) -> Circuit:
    return live.circuits("default/a", "eu", f"http://127.0.0.1:9/{number}").setdefault("m", Circuit())


# ---- over HTTP


def regions(vendors: Vendors, goals: str) -> tuple[str, ...]:
    return (
        provider("a", vendors.cheap.url, vendors.middle.url), provider("b", vendors.dear.url),
        prices("a", "1", "1"), prices("b", "9", "9"), CONSUMER,
        route_of(tiers(goals, "a", "b"), extra='exploration: {share: "0.1"}'),
    )  # fmt: skip


async def lines(merit: Running) -> list[UsageLine]:
    return [msgspec.json.decode(text, type=UsageLine) for text in merit.log_text().splitlines()]


@pytest.mark.asyncio(loop_scope="session")
@pytest.mark.parametrize("stream", [False, True])
async def test_traffic_leaves_a_region_that_turns_slow_and_stays_with_the_provider(
    vendors: Vendors, stream: bool
) -> None:
    goals = "total: 2s, firstToken: 2s, percentile: P90"
    async with gateway(*regions(vendors, goals)) as merit:
        body = {**BODY, "stream": stream}
        assert merit.parts.holder.tables is not None
        target = merit.parts.holder.tables.routes["default/chat"].tiers[0].targets[0]
        slow = target.learned.at(target.endpoints[0].circuit)
        now = asyncio.get_running_loop().time()
        for _ in range(200):  # what 200 slow answers would have shown, in no time
            slow.total.observe(3.0, now)
            slow.first_token.observe(3.0, now)
        for _ in range(40):
            answer = await merit.post(body)
            assert answer.status_code == 200
            if "x-merit-placement" not in answer.headers:  # else it measures b
                assert answer.headers["x-merit-provider"] == "a", "its other region is fast"
        seen = Counter(line.endpoint for line in await lines(merit) if not line.placement)
        assert seen == {"e1": seen.total()}
        (first, *_) = (await merit.post(BODY, path="/v1/explain")).json()["meritOrder"]
        assert [known["name"] for known in first["endpoints"]] == ["e1", "e0"]
        assert first["endpoints"][1]["totalSeconds"] > 2
        vendors.middle.behaviour = Behaviour(status=503)
        answer = await merit.post(body)
        while "x-merit-placement" in answer.headers:  # it measures b
            answer = await merit.post(body)
        assert answer.headers["x-merit-attempts"] == "2", "the slow region is still there for a failure"
