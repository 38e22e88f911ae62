"""Prices by the length of the input: bills of real vendors to the cent, and what holds for every price list."""

from itertools import accumulate

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from merit_crds.pricing import SpecialTokens, Usage, cost_details, price_details, text_cost, usd
from merit_crds.pricing.context_tiers import tiered_cost_details
from merit_crds.snapshot import ContextTier, ModelPrice, Rates, SpecialRates
from tests.support.resources import compiled, prices, provider
from tests.unit.crds.worlds import quick

VENDORS = {
    # https://ai.google.dev/gemini-api/docs/pricing, Gemini 2.5 Pro
    "gemini": ("1.25", "10", 'cachedInput: "0.125"', 200_000, '{input: "2.5", output: "15", cachedInput: "0.25"}'),
    # https://developers.openai.com/api/docs/pricing, GPT-5.4
    "gpt": ("2.5", "15", 'cachedInput: "0.25"', 272_000, '{input: "5", output: "22.5", cachedInput: "0.5"}'),
    # https://www.anthropic.com/pricing#api, Claude Sonnet 4.5
    "claude": (
        "3", "15", 'cachedInput: "0.3", cacheWrite: "3.75"', 200_000,
        '{input: "6", output: "22.5", cachedInput: "0.6", cacheWrite: "7.5"}',
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    ("vendor", "usage", "bill"),
    [
        ("gemini", Usage(150_000, 2_000, 50_000), "0.21375"),
        ("gemini", Usage(150_001, 2_000, 50_000), "0.4175025"),
        ("gpt", Usage(172_000, 1_000, 100_000), "0.47"),
        ("gpt", Usage(172_001, 1_000, 100_000), "0.932505"),
        ("claude", Usage(10_000, 1_000, 150_000, 40_000), "0.24"),
        ("claude", Usage(10_000, 1_000, 150_000, 40_001), "0.4725075"),
    ],
)
def test_a_vendors_bill(vendor: str, usage: Usage, bill: str) -> None:
    """At the threshold, and one token above it: the whole request at the tier's prices."""
    input_usd, output_usd, more, above, tier = VENDORS[vendor]
    listed = f"      contextTiers: [{{above: {above}, applies: Whole, prices: {tier}}}]"
    text = prices(vendor, input_usd, output_usd).replace(f'output: "{output_usd}"', f'output: "{output_usd}", {more}')
    document = text.rstrip() + "\n" + listed + "\n"
    result = compiled(provider(vendor, "http://127.0.0.1:9/v1"), document, SECRET)
    price = result.snapshot.pricings[f"default/{vendor}"].models[f"{vendor}-model"]
    assert usd(price_details(price, usage).total) == bill


SECRET = """
apiVersion: v1
kind: Secret
metadata: {name: provider-keys}
stringData: {key: sk-provider-canary-0123456789abcdef}
"""

steps = st.integers(0, 10**7)


@st.composite
def rising(draw: st.DrawFn) -> ModelPrice:
    """A price whose tiers never fall, as compile accepts them."""
    count = draw(st.integers(0, 4))
    classes = [list(accumulate(draw(st.tuples(*[steps] * (count + 1))))) for _ in range(11)]
    has_special = draw(st.booleans())
    all_rates = [
        Rates(a, b, c, d, 7, SpecialRates(*special) if has_special else None)
        for a, b, c, d, *special in zip(*classes, strict=True)
    ]
    above = list(accumulate(draw(st.tuples(*[st.integers(1, 50)] * count))))
    tiers = [
        ContextTier(above=a, excess=draw(st.booleans()), rates=rates)
        for a, rates in zip(above, all_rates[1:], strict=True)
    ]
    return ModelPrice(rates=all_rates[0], context_tiers=tuple(tiers))


few = st.integers(0, 80)
usages = st.builds(Usage, few, few, few, few, st.none() | st.builds(SpecialTokens, few, few, few, few, few, few, few))


@quick
@given(rising(), usages, st.integers(0, 10))
def test_a_token_more_never_costs_less(price: ModelPrice, usage: Usage, grows: int) -> None:
    plain, special = usage[:4], usage.special or SpecialTokens()
    counts = [n + (i == grows) for i, n in enumerate((*plain, *special))]
    more = Usage(counts[0], counts[1], counts[2], counts[3], SpecialTokens(*counts[4:]))
    assert price_details(price, more).total >= price_details(price, usage).total


@quick
@given(rising(), usages, st.integers(0, 4), st.integers(0, 3), st.integers(0, 1000))
def test_a_higher_price_never_costs_less(price: ModelPrice, usage: Usage, at: int, of: int, rise: int) -> None:
    def dearer(rates: Rates) -> Rates:
        name = ("input", "output", "cached_input", "cache_write")[of]
        return msgspec.structs.replace(rates, **{name: getattr(rates, name) + rise})

    tiers = tuple(
        ContextTier(above=t.above, excess=t.excess, rates=dearer(t.rates)) if i + 1 == at else t
        for i, t in enumerate(price.context_tiers)
    )
    rates = price.rates if at else dearer(price.rates)
    assert tiered_cost_details(rates, tiers, usage).total >= price_details(price, usage).total


@quick
@given(rising(), usages)
def test_excess_has_no_jump(price: ModelPrice, usage: Usage) -> None:
    tiers = tuple(ContextTier(above=t.above, excess=True, rates=t.rates) for t in price.context_tiers)
    before = tiered_cost_details(price.rates, tiers, usage)
    after = tiered_cost_details(price.rates, tiers, usage._replace(uncached_input=usage.uncached_input + 1))
    dearest = max(r.input for r in (price.rates, *(t.rates for t in tiers)))
    assert 0 <= after.total - before.total <= dearest
    assert after.output == before.output == cost_details(price.rates, usage).output


@quick
@given(rising(), usages)
def test_tiers_that_repeat_the_base_are_flat(price: ModelPrice, usage: Usage) -> None:
    tiers = tuple(ContextTier(above=t.above, excess=t.excess, rates=price.rates) for t in price.context_tiers)
    assert tiered_cost_details(price.rates, tiers, usage) == cost_details(price.rates, usage)


@quick
@given(rising(), st.lists(st.booleans(), min_size=8, max_size=8), st.integers(0, 10**6), st.integers(0, 10**6))
def test_what_the_merit_order_expects_is_what_is_booked(
    price: ModelPrice, applies: list[bool], tokens: int, output: int
) -> None:
    """Also where Whole and Excess tiers follow each other, as they like."""
    tiers = tuple(
        msgspec.structs.replace(tier, excess=excess) for tier, excess in zip(price.context_tiers, applies, strict=False)
    )
    for at in (tokens, *(tier.above for tier in tiers), *(tier.above + 1 for tier in tiers)):
        booked = tiered_cost_details(price.rates, tiers, Usage(at, output)).total
        assert text_cost(price.rates, tiers, at, output) == booked
