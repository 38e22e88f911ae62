"""Prices that a request may not be served above: a route's, or its client's."""

from typing import NamedTuple

from merit_crds.pricing.context_tiers import rates_in_force
from merit_crds.snapshot.model import Charge, PriceCeilings


class TooDear(NamedTuple):
    """A price above its ceiling."""

    what: str
    """`input`, `output` or `request`."""
    price: int
    ceiling: int
    """Pico-dollars, per token or per call."""


def too_dear(tariff: Charge, ceilings: PriceCeilings, input_tokens: int) -> TooDear | None:
    """The first price that is above its ceiling, for a request of this length; None where none is."""
    rates, tiers = tariff.rates, tariff.context_tiers
    rates, excess = rates_in_force(rates, tiers, input_tokens) if tiers else (rates, ())
    if ceilings.input is not None:
        dearest = max([rates.input, *(tier.rates.input for tier in excess)]) if excess else rates.input
        if dearest > ceilings.input:
            return TooDear("input", dearest, ceilings.input)
    if ceilings.output is not None:
        dearest = rates.output if rates.special is None else max(rates.output, rates.special.reasoning)
        if dearest > ceilings.output:
            return TooDear("output", dearest, ceilings.output)
    if ceilings.request is not None and rates.request > ceilings.request:
        return TooDear("request", rates.request, ceilings.request)
    return None
