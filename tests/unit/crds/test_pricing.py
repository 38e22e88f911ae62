"""Money is exact: integers agree with decimals to the last digit."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from merit_crds.pricing import Usage, cost, cost_details, usd
from merit_crds.pricing.cost import PICO
from merit_crds.snapshot import Rates
from merit_crds.v1alpha1.fields import milliseconds
from tests.unit.crds.worlds import quick

prices = st.integers(0, 9_999_999_999_999).map(lambda n: str(Decimal(n).scaleb(-6)))
tokens = st.integers(0, 100_000_000)


def per_token(price: str) -> int:
    """USD per million tokens as pico-dollars per token."""
    return int(Decimal(price).scaleb(6))


@quick
@given(prices, prices, prices, prices, prices, tokens, tokens, tokens, tokens)
def test_cost_is_exact(
    uncached: str, output: str, cached: str, write: str, request: str, a: int, b: int, c: int, d: int
) -> None:
    rates = Rates(
        input=per_token(uncached),
        output=per_token(output),
        cached_input=per_token(cached),
        cache_write=per_token(write),
        request=int(Decimal(request).scaleb(12)),
    )
    usage = Usage(uncached_input=a, output=b, cached_input=c, cache_write=d)

    per_million = a * Decimal(uncached) + b * Decimal(output) + c * Decimal(cached) + d * Decimal(write)

    assert Decimal(cost(rates, usage)) == (per_million / 1_000_000 + Decimal(request)) * PICO
    assert cost_details(rates, usage).total == cost(rates, usage)
    assert Decimal(usd(cost(rates, usage))) == per_million / 1_000_000 + Decimal(request)
    assert usage.input == a + c + d


@quick
@given(st.integers(-(10**27), 10**27))
def test_usd_loses_nothing(amount: int) -> None:
    shown = usd(amount)
    assert Decimal(shown).scaleb(12) == amount
    assert "e" not in shown.lower()
    assert "." not in shown or not shown.endswith(("0", "."))


@pytest.mark.parametrize(
    ("amount", "shown"),
    [
        (0, "0"),
        (1, "0.000000000001"),
        (81_000_000, "0.000081"),
        (PICO, "1"),
        (10 * PICO, "10"),
        (120_000 * PICO + PICO // 2, "120000.5"),
        (-81_000_000, "-0.000081"),
        (-PICO - 1, "-1.000000000001"),
    ],
)
def test_usd(amount: int, shown: str) -> None:
    assert usd(amount) == shown


def test_finsync_pays_what_the_design_says() -> None:
    """300 in and 60 out at 0.15 and 0.60 USD per million."""
    rates = Rates(input=per_token("0.15"), output=per_token("0.60"), cached_input=0, cache_write=0)
    assert usd(cost(rates, Usage(uncached_input=300, output=60))) == "0.000081"


@pytest.mark.parametrize(
    ("duration", "expected"), [("500ms", 500), ("1m30s", 90_000), ("1h", 3_600_000), ("2h1ms", 7_200_001), ("0s", 0)]
)
def test_milliseconds(duration: str, expected: int) -> None:
    assert milliseconds(duration) == expected
