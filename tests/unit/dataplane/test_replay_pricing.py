"""Columns are priced as the data plane prices one request: to the pico-dollar, whatever the price list."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from merit_crds.pricing import Usage, price_details
from merit_crds.pricing.cost import SpecialTokens
from merit_crds.snapshot import ContextTier, ModelPrice, Rates, SpecialRates
from merit_dataplane.replay.pricing import costs, group_sums, total
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
