"""Prices that depend on how long a request's input is (DESIGN.md, section 4).

A context tier holds once the input tokens, of all classes together, are more than its `above`; at exactly `above` the
prices below it still hold. What of a request it prices:

- Whole: the whole request, output and what lies below the threshold included, until a tier above it holds.
- Excess: the input tokens above it alone. A prompt begins with what the provider's cache has, then comes what is
  written to it, then images and sound, then the rest: that order says which tokens lie above. Output is charged as if
  the tier were not there, at the prices of the highest Whole tier that holds, or the model's: the cost has no jump at
  the threshold.
"""

from collections.abc import Sequence

from merit_crds.pricing.cost import CostDetails, Usage, cost_details, output_cost, special_rates
from merit_crds.snapshot.model import Charge, ContextTier, Rates


def price_details(charge: Charge, usage: Usage) -> CostDetails:
    """Pico-dollars for one request, by component."""
    if not charge.context_tiers:
        return cost_details(charge.rates, usage)
    return tiered_cost_details(charge.rates, charge.context_tiers, usage)


def tiered_cost_details(rates: Rates, tiers: Sequence[ContextTier], usage: Usage) -> CostDetails:
    """Pico-dollars for one request, by component. `tiers` by ascending `above`."""
    tokens = usage.input
    whole, excess = rates_in_force(rates, tiers, tokens)
    if not excess:
        return cost_details(whole, usage)
    start, band, charged = 0, whole, 0
    for tier in excess:
        charged += _input_cost(band, usage, start, tier.above)
        start, band = tier.above, tier.rates
    charged += _input_cost(band, usage, start, tokens)
    return CostDetails(input=charged, output=output_cost(whole, usage), request=whole.request)


def text_cost(rates: Rates, tiers: Sequence[ContextTier], input_tokens: int, output_tokens: int) -> int:
    """Pico-dollars for a request of uncached text alone: what `tiered_cost_details` says, at a third of its time."""
    whole, rate, start, below = rates, rates.input, 0, 0
    for tier in tiers:
        above = tier.above
        if input_tokens <= above:
            break
        if tier.excess:
            below += (above - start) * rate
            start, rate = above, tier.rates.input
        else:
            whole = tier.rates
            rate, start, below = whole.input, 0, 0
    return below + (input_tokens - start) * rate + output_tokens * whole.output + whole.request


def rates_in_force(
    rates: Rates, tiers: Sequence[ContextTier], input_tokens: int
) -> tuple[Rates, Sequence[ContextTier]]:
    """The rates of a request with this many input tokens, and the tiers that price what lies above them."""
    if not tiers:
        return rates, ()
    whole, excess = rates, []
    for tier in tiers:
        if input_tokens <= tier.above:
            break
        if tier.excess:
            excess.append(tier)
        else:
            whole = tier.rates
            excess.clear()  # the whole request: also what lies above a lower threshold
    return whole, excess


def tier_in_force(tiers: Sequence[ContextTier], input_tokens: int) -> ContextTier | None:
    """The highest tier that holds for this many input tokens."""
    held = None
    for tier in tiers:
        if input_tokens <= tier.above:
            break
        held = tier
    return held


def _input_cost(rates: Rates, usage: Usage, start: int, end: int) -> int:
    """Pico-dollars for the input tokens from position `start` to before `end`."""
    classes = [(usage.cached_input, rates.cached_input), (usage.cache_write, rates.cache_write)]
    if (special := usage.special) is not None:
        dear = special_rates(rates)
        classes.insert(1, (special.cached_audio_input, dear.cached_audio_input))
        classes.append((special.cache_write_1h, dear.cache_write_1h))
        classes += [(special.image_input, dear.image_input), (special.audio_input, dear.audio_input)]
    classes.append((usage.uncached_input, rates.input))
    first = charged = 0
    for tokens, rate in classes:
        charged += max(0, min(first + tokens, end) - max(first, start)) * rate
        first += tokens
    return charged
