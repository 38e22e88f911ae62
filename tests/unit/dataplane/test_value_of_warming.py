"""A dearer list price with a cheaper cache, warmed for the sake of the prompts that will come again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from merit_crds.pricing import price_details
from merit_dataplane.dispatch.bid import Bid, Standing, by_merit
from merit_dataplane.dispatch.lookahead import followers_cost, looked_ahead, read_shares
from merit_dataplane.dispatch.merit_order import merit_order
from merit_dataplane.live import Live
from merit_dataplane.snapshots.tables import Builder, TierPlan
from merit_dataplane.warmth.follow_ups import FollowUps
from merit_dataplane.warmth.prefix import Prefix
from merit_dataplane.warmth.table import PrefixTable
from merit_dataplane.wire.openai_request import Call, Operation, parse
from tests.support.clock import Clock
from tests.support.resources import CONSUMER, compiled, prices, provider, route
from tests.unit.dataplane.test_warmth import body, two

URL = "http://127.0.0.1:9/v1"
TOKENS = 4000


def learned(again: int, of: int, shared: float = 1.0) -> FollowUps:
    made = FollowUps(PrefixTable())
    for number in range(of):
        made.observe(shared if number % of < again else 0.0)
    return made


def test_followers_are_those_of_followers_too() -> None:
    assert learned(50, 99).expected == 0.0, "too few to tell"
    assert learned(0, 200).expected == 0.0
    made = FollowUps(PrefixTable())
    for number in range(400):
        made.observe(0.8 if number % 2 else 0.0)
    assert made.expected == pytest.approx(1.0, abs=0.02)
    assert made.shared == pytest.approx(0.8, abs=0.01)
    for _ in range(10_000):
        made.observe(1.0)
    assert made.expected == pytest.approx(19.0, abs=0.01), "bounded: nothing comes again for ever"
    for _ in range(10_000):
        made.observe(0.0)
    assert made.expected == pytest.approx(0.0, abs=0.01)


def tier(plain: str, cached: str, plain_b: str, cached_b: str) -> TierPlan:
    listed = [("a", plain, cached), ("b", plain_b, cached_b)]
    documents = [provider(name, URL) for name, _, _ in listed]
    documents += [prices(name, asked, "8", more_prices=f', cachedInput: "{kept}"') for name, asked, kept in listed]
    made = compiled(CONSUMER, *documents, route("a", "b"))
    return Builder(made.version, made.snapshot, made.credentials, Live()).build().routes["default/chat"].tiers[0]


def call() -> Call:
    return parse(
        Operation.CHAT, b'{"model": "chat", "messages": [{"role": "user", "content": "%b"}]}' % (b"x" * 4 * TOKENS)
    )


PROMPT = Prefix((1, 2), (2 * TOKENS, 4 * TOKENS), 4 * TOKENS, marked=False)


def order(plan: TierPlan) -> list[Bid]:
    return merit_order(plan, call(), 0.0, 1000.0, PROMPT)


def test_a_cheaper_cache_is_warmed_once_prompts_come_again() -> None:
    plan = tier("2.00", "1.00", "2.30", "0.23")
    assert [bid.target.model for bid in order(plan)] == ["a-model", "b-model"]
    for _ in range(200):
        plan.follow_ups.observe(0.9)
    assert [bid.target.model for bid in order(plan)] == ["b-model", "a-model"]
    assert [bid.cost for bid in order(plan)] == sorted((bid.cost for bid in order(plan)), reverse=True)
    for _ in range(5000):
        plan.follow_ups.observe(0.0)
    assert [bid.target.model for bid in order(plan)] == ["a-model", "b-model"]


def test_a_cheaper_list_price_with_as_cheap_a_cache_stays_first() -> None:
    plan = tier("2.00", "0.20", "2.40", "0.20")
    for _ in range(200):
        plan.follow_ups.observe(1.0)
    bids = order(plan)
    assert [bid.target.model for bid in bids] == ["a-model", "b-model"]
    assert all(bid.rank == () for bid in bids), "nothing is touched"


PRICE = st.integers(1, 40).map(lambda tenths: f"{tenths / 10:.1f}")


@given(PRICE, PRICE, PRICE, PRICE, st.floats(0, 1), st.floats(0, 1))
def test_who_comes_first_saves_more_than_it_costs_now(  # two lists and two shares
    plain: str, cached: str, plain_b: str, cached_b: str, again: float, shared: float
) -> None:
    plan = tier(plain, cached, plain_b, cached_b)
    follow_ups = FollowUps(PrefixTable())
    for number in range(150):
        follow_ups.observe(shared if number < 150 * again else 0.0)
    plain_order = order(plan)
    ahead = sorted(looked_ahead(plain_order, follow_ups), key=by_merit)
    if ahead == plain_order:
        return
    first, before = ahead[0], plain_order[0]
    thousandths = int(follow_ups.expected * 1000)
    shares = dict(zip((bid.name for bid in plain_order), read_shares(plain_order, follow_ups.shared), strict=True))
    saved = followers_cost(before, thousandths, shares[before.name])
    saved -= followers_cost(first, thousandths, shares[first.name])
    assert saved >= first.cost - before.cost >= 0
    assert first.cost == price_details(first.charge, first.warm.usage(first.input, first.output)).total


def test_only_who_is_admissible_takes_part() -> None:
    plan = tier("2.00", "1.00", "2.30", "0.23")
    follow_ups = learned(150, 150)
    bids = [
        bid._replace(standing=Standing.UNAVAILABLE) if bid.target.model == "b-model" else bid for bid in order(plan)
    ]
    assert looked_ahead(bids, follow_ups) == bids


@pytest.mark.asyncio(loop_scope="session")
async def test_requests_move_to_the_cheaper_cache_when_prompts_repeat(clock: Clock) -> None:
    clock.set("2026-11-24T12:00:00Z")
    async with two(', cachedInput: "0.01"') as (merit, _, dear):
        dear.cached = 3500
        asked = []
        for _ in range(120):
            asked.append((await merit.post(body("Why?"))).headers["x-merit-provider"])
            clock.now += 1
        assert asked == ["cheap"] * 100 + ["dear"] * 20, "nothing is expected of the first hundred"
        told = (await merit.post(body("Why?"), path="/v1/explain")).json()
        assert told["followUps"]["expected"] > 10
        assert told["followUps"]["sharedShare"] > 0.9
        assert told["meritOrder"][0]["provider"] == "default/dear"
        for number in range(150):  # nothing comes again any more
            await merit.post(body(system=f"{number} another. " * 500))
        assert (await merit.post(body(system="One more. " * 800))).headers["x-merit-provider"] == "cheap"
