"""The prices of a ProviderPricing's models: decimals of the resource to integer rates, every default filled in."""

from itertools import pairwise

from merit_crds.problems import Problem
from merit_crds.snapshot.model import ContextTier, ModelPrice, Rates
from merit_crds.v1alpha1 import ContextTierSpec, ModelPricing, Prices
from merit_crds.v1alpha1.fields import pico, pico_per_token

_CLASSES = ("input", "output", "cached_input", "cache_write")
_FIELDS = {"input": "input", "output": "output", "cached_input": "cachedInput", "cache_write": "cacheWrite"}


def model_price(pricing: ModelPricing) -> ModelPrice:
    """One model's entry."""
    return ModelPrice(
        rates=_rates(pricing.prices),
        capabilities=tuple(sorted(pricing.capabilities)),
        context_window=pricing.context_window or 0,
        max_output_tokens=pricing.max_output_tokens or 0,
        context_tiers=_context_tiers(pricing.prices, pricing.context_tiers),
    )


def problems(m: int, pricing: ModelPricing) -> list[Problem]:
    """Context tiers that are cheaper than what lies below: a longer request would cost less than a shorter one."""
    price = model_price(pricing)
    below = [price.rates, *(tier.rates for tier in price.context_tiers)]
    return [
        Problem(
            path=("spec", "models", m, "contextTiers", t, "prices"),
            reason=f"{_FIELDS[name]} can't be less than in the tier below: a longer request would cost less",
        )
        for t, (low, high) in enumerate(pairwise(below))
        for name in _CLASSES
        if getattr(high, name) < getattr(low, name)
    ]


def _rates(prices: Prices) -> Rates:
    return Rates(
        input=pico_per_token(prices.input),
        output=pico_per_token(prices.output),
        cached_input=pico_per_token(prices.cached_input or prices.input),
        cache_write=pico_per_token(prices.cache_write or prices.input),
        request=pico(prices.request or "0"),
    )


def _context_tiers(base: Prices, tiers: tuple[ContextTierSpec, ...]) -> tuple[ContextTier, ...]:
    """What a tier leaves out is what the tier below *named*: an unnamed cachedInput goes on following its input."""
    named, made = base, []
    for tier in tiers:
        named = named.model_copy(update=tier.prices.model_dump(exclude_none=True))
        made.append(ContextTier(above=tier.above, excess=tier.applies == "Excess", rates=_rates(named)))
    return tuple(made)
