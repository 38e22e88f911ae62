"""Columns are priced as the data plane prices one request: to the pico-dollar, whatever the price list."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from merit_crds.pricing import Usage, charge_of, in_force, price_details
from merit_crds.pricing.cost import SpecialTokens
from merit_crds.snapshot import (
    ContextTier,
    ModelPrice,
    Period,
    Rates,
    Schedule,
    ServiceTier,
    SpecialRates,
    Tariff,
    Window,
)
from merit_dataplane.replay.pricing import costs, group_sums, has_price, priced, total
from merit_dataplane.replay.tokens import of_usages

_RATE = st.integers(0, 9_999_999_999_999)
_SPECIAL_RATES = st.builds(SpecialRates, **dict.fromkeys(SpecialTokens._fields, _RATE))
_RATES = st.builds(
    Rates,
    input=_RATE,
    output=_RATE,
    cached_input=_RATE,
    cache_write=_RATE,
    request=st.integers(0, 10**19 // 2),
    special=st.none() | _SPECIAL_RATES,
)
_TIERS = st.lists(st.integers(0, 300_000), unique=True, max_size=4).flatmap(
    lambda above: st.tuples(
        *(st.builds(ContextTier, above=st.just(a), excess=st.booleans(), rates=_RATES) for a in sorted(above))
    )
)
_PRICES = st.builds(ModelPrice, rates=_RATES, context_tiers=_TIERS)
_COUNT = st.integers(0, 400_000)
_SPECIAL = st.none() | st.builds(SpecialTokens, **dict.fromkeys(SpecialTokens._fields, _COUNT))
_USAGES = st.lists(st.builds(Usage, _COUNT, _COUNT, _COUNT, _COUNT, _SPECIAL), min_size=1, max_size=30)


@given(_PRICES, _USAGES)
def test_agrees_with_the_price_of_one_request(price: ModelPrice, usages: list[Usage]) -> None:
    exact = [price_details(price, usage).total for usage in usages]
    if max(exact) >= 1 << 62:
        with pytest.raises(OverflowError, match="are its tokens right"):
            costs(price, of_usages(usages))
    else:
        made = costs(price, of_usages(usages))
        assert made.tolist() == exact
        assert total(made) == sum(exact)


_TIER_NAMES = ("flex", "priority", "batch")
_SERVICE_TIERS = st.lists(st.sampled_from(_TIER_NAMES), unique=True).flatmap(
    lambda names: st.tuples(
        *(st.builds(ServiceTier, name=st.just(n), rates=_RATES, context_tiers=_TIERS) for n in sorted(names))
    )
)
_TARIFF = {"rates": _RATES, "context_tiers": _TIERS, "service_tiers": _SERVICE_TIERS}
_MINUTE = st.integers(0, 1439).map(lambda minute: minute * 60)
_WINDOWS = st.lists(
    st.builds(Window, days=st.integers(1, 255), start=_MINUTE, end=_MINUTE | st.just(86_400)), min_size=1, max_size=2
).map(tuple)
_SCHEDULES = st.lists(
    st.builds(
        Schedule,
        name=st.just("hours"),
        time_zone=st.sampled_from(["UTC", "Asia/Shanghai", "America/New_York", "Australia/Lord_Howe"]),
        windows=_WINDOWS,
        tariff=st.builds(Tariff, **_TARIFF),
        holidays=st.lists(st.integers(20_700, 20_800), max_size=3, unique=True).map(lambda days: tuple(sorted(days))),
    ),
    max_size=2,
).map(tuple)
_FIRST, _LAST = 1_790_000_000, 1_794_000_000  # over the end of daylight saving of 2026
_PERIODS = st.lists(st.integers(_FIRST, _LAST), unique=True, max_size=2).flatmap(
    lambda starts: st.tuples(
        *(
            st.builds(Period, start=st.just(s), end=st.just(0) | st.just(s + 90_000), schedules=_SCHEDULES, **_TARIFF)
            for s in sorted(starts)
        )
    )
)
_EVERY_PRICE = st.builds(ModelPrice, schedules=_SCHEDULES, periods=_PERIODS, **_TARIFF)
_SERVED = st.sampled_from(["", "default", "standard", "on_demand", "scale", *_TIER_NAMES])
_REQUESTS = st.lists(
    st.tuples(
        st.builds(Usage, _COUNT, _COUNT, _COUNT, _COUNT, _SPECIAL, _SERVED), st.integers(_FIRST * 1000, _LAST * 1000)
    ),
    min_size=1,
    max_size=20,
)


@settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(_EVERY_PRICE, _REQUESTS)
def test_agrees_whatever_the_price_depends_on(price: ModelPrice, requests: list[tuple[Usage, int]]) -> None:
    """Service tier, hour, day, holiday, period, length, class of token, call: to the pico-dollar."""
    usages, at = [usage for usage, _ in requests], np.array([instant for _, instant in requests]) / 1000
    exact, known = [], []
    for usage, instant in zip(usages, at, strict=True):
        tariff = in_force(price, float(instant)).tariff
        charge = charge_of(tariff, usage.service_tier)
        known.append(charge is not None)
        exact.append(price_details(charge or tariff, usage).total)
    tokens = of_usages(usages)
    if tokens.service_tiers is None:
        assert all(known)
    else:
        assert has_price(price, at, tokens.service_tiers).tolist() == known
    if max(exact) >= 1 << 62:
        with pytest.raises(OverflowError, match="are its tokens right"):
            priced(price, at, tokens)
    else:
        assert priced(price, at, tokens).tolist() == exact


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, (1 << 62) - 1)), min_size=1, max_size=300))
def test_sums_by_group_do_not_overflow(rows: list[tuple[int, int]]) -> None:
    groups = np.array([group for group, _ in rows], np.int64)
    values = np.array([value for _, value in rows], np.int64)
    expected = [sum(v for g, v in rows if g == group) for group in range(7)]
    assert group_sums(values, groups, 7) == expected
    assert total(values) == sum(expected)


def test_a_threshold_holds_for_more_tokens_than_it_says() -> None:
    rates = Rates(input=1, output=10, cached_input=0, cache_write=2)
    dear = Rates(input=3, output=30, cached_input=0, cache_write=6)
    price = ModelPrice(rates=rates, context_tiers=(ContextTier(above=100, excess=False, rates=dear),))
    assert costs(price, of_usages([Usage(100, 1), Usage(101, 1)])).tolist() == [110, 333]
