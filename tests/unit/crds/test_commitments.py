"""What a commitment makes of a request's price: within the volume, at its end, beyond it, and over a whole period."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from merit_crds.commitments import (
    GRID,
    Drawn,
    Offer,
    Period,
    draw,
    fee_of,
    period_at,
    place_of,
    price_at,
    shadow_price,
    units_of,
    unused,
)
from merit_crds.compile.commitments import commitments, problems
from merit_crds.compile.prices import models
from merit_crds.pricing import Usage, price_details
from merit_crds.snapshot import Charge, Commitment
from merit_crds.v1alpha1 import ProviderPricingSpec
from tests.unit.crds.worlds import quick

USD = 10**12
PRICES = {"input": "2", "output": "8", "cachedInput": "0.5", "request": "0.001"}
Listed = tuple[Charge, tuple[Commitment, ...]]


def of_list(*listed: dict[str, Any], prices: dict[str, str] = PRICES) -> Listed:
    """The model `m` and commitments of its list, as compile makes them."""
    usual = {"starts": "2026-01-01T00:00:00Z", "expires": "2027-01-01T00:00:00Z"}
    document = {
        "providerRef": {"name": "p"},
        "commitments": [{"name": f"c{place}", "models": ["m"], **usual, **one} for place, one in enumerate(listed)],
        "models": [{"model": "m", "prices": prices}],
    }
    spec = ProviderPricingSpec.model_validate_json(json.dumps(document))
    assert not list(problems(spec))
    return models(spec)["m"], commitments(spec)


def offers(terms: tuple[Commitment, ...], *left: int, pace: int = 0) -> list[Offer]:
    made = []
    for one, units in zip(terms, left, strict=True):
        period = period_at(one, one.start)
        assert period is not None
        made.append(Offer(one, units, units_of(one), fee_of(one, period), pace))
    return made


def drawn(listed: Listed, usage: Usage, *left: int, pace: int = 0) -> Drawn:
    charge, terms = listed
    return draw(offers(terms, *left, pace=pace), price_details(charge, usage), usage)


def epoch(text: str) -> int:
    return int(datetime.fromisoformat(text).astimezone(UTC).timestamp())


CALL = Usage(uncached_input=1000, output=500, cached_input=200)
"""0.002 + 0.0001 + 0.004 + 0.001 = 0.0071 USD by the list."""


def test_prepaid_money_costs_nothing_at_the_margin_and_itself_in_the_accounts() -> None:
    listed = of_list({"volume": {"prepaid": "100"}})
    got = drawn(listed, CALL, 100 * USD)
    assert (got.listed, got.marginal, got.effective, got.paced) == (7_100_000_000, 0, 7_100_000_000, 0)
    assert [part.units for part in got.parts] == [7_100_000_000]


def test_credit_that_cost_less_than_its_amount_is_cheaper_in_the_accounts() -> None:
    got = drawn(of_list({"volume": {"prepaid": "100"}, "fee": {"amount": "80"}}), CALL, 100 * USD)
    assert got.effective == 7_100_000_000 * 8 // 10


def test_committed_and_overage_rates_and_a_request_that_straddles_the_end() -> None:
    rates = {"committed": {"percentOff": "20"}, "overage": {"percentOff": "5"}}
    listed = of_list({"volume": {"minimumSpend": "100"}, **rates})
    whole = 5_680_000_000  # 0.0071 less 20 %
    assert drawn(listed, CALL, 100 * USD).parts[0].units == whole
    assert drawn(listed, CALL, 0).marginal == 6_745_000_000  # less 5 %
    half = drawn(listed, CALL, whole // 2)
    assert (half.marginal, half.effective) == (6_745_000_000 // 2, 6_745_000_000 // 2 + whole // 2)


def test_weighted_tokens_take_their_share_of_the_fee() -> None:
    volume = {"tokens": 10_000, "weights": {"output": "4", "cachedInput": "0.5"}}
    listed = of_list({"volume": volume, "period": {"length": "1m"}, "fee": {"amount": "60", "per": "1h"}})
    got = drawn(listed, CALL, 10_000 * 10**6)
    assert got.parts[0].units == (1000 + 500 * 4 + 100) * 10**6
    assert (got.marginal, got.effective) == (0, USD * 3100 // 10_000)  # 1 USD a minute


def test_bundles_of_input_and_of_output_cover_each_their_part() -> None:
    usual = {"period": {"length": "1m"}, "fee": {"amount": "1"}}
    listed = of_list({"volume": {"inputTokens": 30_000}, **usual}, {"volume": {"outputTokens": 2500}, **usual})
    both = drawn(listed, CALL, 30_000 * 10**6, 2500 * 10**6)
    assert (both.marginal, both.effective) == (USD // 1000, USD // 1000 + USD * 1200 // 30_000 + USD * 500 // 2500)
    assert drawn(listed, CALL, 30_000 * 10**6, 0).marginal == USD // 1000 + 4_000_000_000


def test_calls_with_prices_of_their_own() -> None:
    rates = {
        "committed": {"prices": {"input": "1", "output": "1"}},
        "overage": {"prices": {"input": "4", "output": "9"}},
    }
    listed = of_list({"volume": {"requests": 3}, "fee": {"amount": "30"}, **rates})
    within = drawn(listed, CALL, 3 * 10**6)
    assert (within.marginal, within.effective) == (1_700_000_000, 1_700_000_000 + 10 * USD)
    assert drawn(listed, CALL, 0).marginal == 1200 * 4_000_000 + 500 * 9_000_000


def test_what_one_has_not_enough_of_is_drawn_from_the_next() -> None:
    listed = of_list({"volume": {"prepaid": "1"}}, {"volume": {"prepaid": "1"}, "fee": {"amount": "0.5"}})
    got = drawn(listed, CALL, 2_100_000_000, USD)
    assert (got.marginal, [part.units for part in got.parts]) == (0, [2_100_000_000, 5_000_000_000])
    assert got.effective == 2_100_000_000 + 2_500_000_000


def test_a_shadow_price_is_paid_in_the_merit_order_alone_and_never_more_than_beyond() -> None:
    listed = of_list({"volume": {"prepaid": "100"}})
    got = drawn(listed, CALL, 100 * USD, pace=250_000)  # a quarter of what is drawn
    assert (got.paced, got.marginal) == (7_100_000_000 // 4, 0)
    assert drawn(listed, CALL, 100 * USD, pace=9_000_000).paced == 7_100_000_000


RATES = {"committed": {"percentOff": "90"}, "overage": {"percentOff": "0"}}
volumes = st.sampled_from(
    [
        {"volume": {"prepaid": "100"}},
        {"volume": {"prepaid": "100"}, "fee": {"amount": "70"}},
        {"volume": {"minimumSpend": "50"}, "committed": {"percentOff": "30"}, "overage": {"percentOff": "10"}},
        {"volume": {"tokens": 10**6, "weights": {"output": "4"}}, "fee": {"amount": "1"}},
        {"volume": {"tokens": 10**6}, "fee": {"amount": "1"}, **RATES},
        {"volume": {"inputTokens": 10**6}, "fee": {"amount": "1"}},
        {"volume": {"outputTokens": 10**5}, "fee": {"amount": "1"}},
        {"volume": {"requests": 100}, "fee": {"amount": "1"}},
    ]
)  # fmt: skip
counts = st.integers(0, 5000)
usages = st.builds(Usage, counts, counts, counts, counts, st.none(), st.just(""))
several = st.lists(volumes, min_size=1, max_size=3)
lefts = st.lists(st.integers(0, 3000).map(lambda n: n * 10**6), min_size=3, max_size=3)


@quick
@given(volumes, usages, lefts, st.integers(0, 10**7))
def test_never_dearer_than_beyond_and_never_cheaper_than_within(
    kind: dict[str, Any], usage: Usage, left: list[int], pace: int
) -> None:
    listed = of_list(kind)
    got = drawn(listed, usage, left[0], pace=pace)
    full, spent = (drawn(listed, usage, units) for units in (10**18, 0))
    assert full.marginal - 1 <= got.marginal <= got.paced <= spent.marginal + 1  # pico-dollars, of rounding
    assert spent.marginal == spent.beyond == spent.effective


@quick
@given(several, usages, lefts, st.integers(0, 10**7))
def test_several_are_drawn_from_in_turn_and_no_more_than_is_left(
    kinds: list[dict[str, Any]], usage: Usage, left: list[int], pace: int
) -> None:
    got = drawn(of_list(*kinds), usage, *left[: len(kinds)], pace=pace)
    assert 0 <= got.marginal <= min(got.listed + 3, got.effective)
    assert got.marginal <= got.paced <= max(got.beyond, got.marginal)
    for part in got.parts:
        assert 0 <= part.units <= min(left[part.place], part.wanted)


@quick
@given(volumes, usages, lefts, st.integers(0, 10**10))
def test_more_that_is_left_never_costs_more(kind: dict[str, Any], usage: Usage, left: list[int], more: int) -> None:
    listed = of_list(kind)
    assert drawn(listed, usage, left[0] + more).marginal <= drawn(listed, usage, left[0]).marginal + 1


@quick
@given(volumes, st.lists(usages, min_size=1, max_size=40), st.integers(1, 100))
def test_a_period_adds_up_to_its_fee_and_what_was_charged(
    kind: dict[str, Any], requests: list[Usage], part: int
) -> None:
    """Whatever is drawn, wherever the end comes, and however much stays unused."""
    charge, (terms,) = of_list(kind)
    period = period_at(terms, terms.start)
    assert period is not None
    scale = max(1, 100 * part)
    terms = Commitment(
        **{**{f: getattr(terms, f) for f in terms.__struct_fields__}, "volume": terms.volume // scale or 1}
    )
    volume, fee = units_of(terms), fee_of(terms, period)
    left, effective, marginal = volume, 0, 0
    for usage in requests:
        got = draw([Offer(terms, left, volume, fee)], price_details(charge, usage), usage)
        left -= sum(p.units for p in got.parts)
        effective, marginal = effective + got.effective, marginal + got.marginal
    assert left >= 0
    assert abs(effective + unused(terms, period, volume - left) - fee - marginal) <= len(requests) + 1


# ---- periods


def terms_of(**fields: Any) -> Commitment:
    return Commitment(**{"name": "c", "models": ("m",), "unit": "usd", "volume": 1, "start": 0, **fields})


@pytest.mark.parametrize(
    ("fields", "at", "expected"),
    [
        ({"end": epoch("2027-01-01T00:00Z")}, "2026-07-01T12:00Z", ("1970-01-01T00:00Z", "2027-01-01T00:00Z")),
        ({"end": epoch("2027-01-01T00:00Z")}, "2027-01-01T00:00Z", None),
        ({"start": epoch("2026-01-01T00:00Z"), "seconds": 60}, "2025-12-31T23:59:59Z", None),
        (
            {"start": epoch("2026-01-01T00:00:30Z"), "seconds": 60},
            "2026-01-01T00:05:29Z",
            ("2026-01-01T00:04:30Z", "2026-01-01T00:05:30Z"),
        ),
        (
            {"months_of": "America/New_York"},
            "2026-03-01T04:59:59Z",  # still February there
            ("2026-02-01T05:00Z", "2026-03-01T05:00Z"),
        ),
        ({"months_of": "America/New_York"}, "2026-03-08T12:00Z", ("2026-03-01T05:00Z", "2026-04-01T04:00Z")),
        ({"months_of": "Asia/Shanghai"}, "2026-12-31T16:00Z", ("2026-12-31T16:00Z", "2027-01-31T16:00Z")),
        (
            {"months_of": "UTC", "start": epoch("2026-01-20T00:00Z"), "end": epoch("2026-02-10T00:00Z")},
            "2026-01-31T12:00Z",
            ("2026-01-20T00:00Z", "2026-02-01T00:00Z"),
        ),
        (
            {"months_of": "UTC", "start": epoch("2026-01-20T00:00Z"), "end": epoch("2026-02-10T00:00Z")},
            "2026-02-01T00:00Z",
            ("2026-02-01T00:00Z", "2026-02-10T00:00Z"),
        ),
    ],
)
def test_periods(fields: dict[str, Any], at: str, expected: tuple[str, str] | None) -> None:
    found = period_at(terms_of(**fields), epoch(at))
    assert found == (expected and (epoch(expected[0]), epoch(expected[1])))


@quick
@given(
    st.sampled_from(
        [{"seconds": 60}, {"seconds": 86_400}, {"months_of": "Europe/Berlin"}, {"months_of": "Asia/Shanghai"}]
    ),
    st.integers(1_700_000_000, 1_900_000_000),
)
def test_periods_follow_each_other_without_gap(fields: dict[str, Any], at: int) -> None:
    terms = terms_of(start=1_650_000_123, **fields)
    period = period_at(terms, at)
    assert period is not None
    assert period.start <= at < period.end
    assert period_at(terms, period.start) == period_at(terms, period.end - 1) == period
    following = period_at(terms, period.end)
    assert following is not None
    assert following.start == period.end


def test_a_fee_is_for_a_time_or_for_a_period_however_long() -> None:
    month = Period(epoch("2026-02-01T00:00Z"), epoch("2026-03-01T00:00Z"))
    assert fee_of(terms_of(fee=5, fee_seconds=3600), month) == 5 * 10**6 * 28 * 24
    assert fee_of(terms_of(fee=5), month) == 5 * 10**6


# ---- pace

curves = st.lists(st.tuples(st.floats(1, 1e9), st.floats(0.001, 1e6)), max_size=20)


def demand(curve: list[tuple[float, float]]) -> list[float]:
    made = [0.0] * GRID
    for price, rate in curve:
        made[place_of(price)] += rate
    return made


@quick
@given(curves, st.floats(0, 1e12), st.floats(1, 1e7), st.floats(0, 1e12), st.floats(0, 1e6))
def test_the_scarcer_the_dearer(
    curve: list[tuple[float, float]], left: float, seconds: float, more: float, longer: float
) -> None:
    wanted = demand(curve)
    price = shadow_price(wanted, left, seconds)
    assert shadow_price(wanted, left + more, seconds) <= price <= shadow_price(wanted, left, seconds + longer)
    if sum(wanted) * seconds <= left:
        assert price == 0  # nothing would use it up
    dearest = max((place_of(p) for p, _ in curve), default=0)
    assert price <= price_at(dearest + 1)


def test_the_price_at_which_just_as_much_is_asked_for_as_is_left() -> None:
    wanted = demand([(1_000, 5.0), (50_000, 3.0), (900_000, 2.0)])
    assert 50_000 < shadow_price(wanted, 2.0 * 100, 100) <= 900_000  # only the last one
    assert 1_000 < shadow_price(wanted, 5.0 * 100, 100) <= 50_000
    assert shadow_price(wanted, 10.0 * 100, 100) == 0
    assert shadow_price(wanted, 0, 100) >= 900_000
    assert shadow_price(wanted, 5, 0) == 0  # it ends now


@pytest.mark.parametrize("price", [0.5, 1, 17, 1234, 150_000, 10**6, 10**9])
def test_a_place_of_the_grid_is_nine_percent_wide(price: float) -> None:
    assert price_at(place_of(price)) <= price + 1
    assert price < price_at(place_of(price) + 1) + 1 <= 1.1 * (price + 2)
