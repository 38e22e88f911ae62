"""What one request draws from commitments, and what it costs with them. Integers throughout.

- Within the volume, the part of a request that is drawn costs at the margin what `within` says: nothing where the
  volume is money (it has been paid, or will be billed as the minimum), nothing for tokens and requests by default.
- A request that straddles the end of the volume is split: the part that is left for it counts as within, the rest as
  beyond, or as the next commitment's that covers it.
- The effective cost adds to the marginal one what was drawn at its share of the fee. Over a period, effective costs and
  the unused part of the fee add up to the fee and what was charged at the margin, but for the rounding of each request.
- The paced cost adds the shadow price of what is drawn (`pace`), and is never more than what the request costs once
  all volumes are spent.
"""

from collections.abc import Sequence
from typing import NamedTuple

from merit_crds.commitments.period import UNITS
from merit_crds.pricing.context_tiers import price_details
from merit_crds.pricing.cost import CostDetails, Usage
from merit_crds.snapshot.model import Commitment, Terms, TokenWeights

_BITS = 60
_ONE = 1 << _BITS
"""A whole request; what is left of it to be covered is a part of this."""
_HALF = UNITS // 2
_PLAIN = TokenWeights()


class Offer(NamedTuple):
    """A commitment as it stands for one request."""

    terms: Commitment
    left: int
    """Units that may still be drawn in this period."""
    volume: int
    """Units of the period."""
    fee: int
    """Pico-dollars of the period."""
    pace: int = 0
    """Shadow price: pico-dollars of 1,000,000 units."""


class Part(NamedTuple):
    """What a request draws from one commitment."""

    place: int
    """Of the offer."""
    units: int
    wanted: int
    """Units that it would draw if there were enough."""
    effective: int
    """Pico-dollars of the fee that it accounts for."""
    saves: int
    """Pico-dollars by which all of `wanted` makes the request cheaper than it is beyond the volume."""


class Drawn(NamedTuple):
    """What a request costs, in pico-dollars."""

    listed: int
    """By the price list."""
    marginal: int
    """What it adds to the vendor's bill."""
    effective: int
    """With its share of what is paid used or not."""
    paced: int
    """What a merit order should take it for."""
    beyond: int
    """What it would add if every volume were spent."""
    parts: tuple[Part, ...] = ()


def draw(offers: Sequence[Offer], listed: CostDetails, usage: Usage, *, standard: bool = True) -> Drawn:
    """Draws a request from offers in their order.

    `listed` is what the price list asks for `usage`. `standard`: it is in the standard service tier, the one that
    prices of a commitment's own are of.
    """
    left_input = left_output = left_call = _ONE
    after_input = after_output = after_call = listed
    marginal = effective = shadow = 0
    parts: list[Part] = []
    for place, offer in enumerate(offers):
        terms = offer.terms
        covers = terms.covers
        of_input = left_input if covers != "output" else 0
        of_output = left_output if covers != "input" else 0
        of_call = left_call if covers == "all" else 0
        beyond = _at(terms.beyond, listed, usage, standard)
        if covers != "output":
            after_input = beyond
        if covers != "input":
            after_output = beyond
        if covers == "all":
            after_call = beyond
        within = _at(terms.within, listed, usage, standard)
        inner = (within.input * of_input + within.output * of_output + within.request * of_call) >> _BITS
        outer = (beyond.input * of_input + beyond.output * of_output + beyond.request * of_call) >> _BITS
        wanted, charged = (inner, 0) if terms.unit == "usd" else (_units(terms, usage, of_input, of_output), inner)
        if wanted <= 0:
            continue
        taken = max(0, min(wanted, offer.left))
        fee = taken * offer.fee // offer.volume
        parts.append(Part(place, taken, wanted, fee, outer - charged))
        own = charged * taken // wanted
        marginal += own
        effective += own + fee
        shadow += taken * offer.pace // UNITS
        left_input -= of_input * taken // wanted
        left_output -= of_output * taken // wanted
        left_call -= of_call * taken // wanted
    rest = (
        after_input.input * left_input + after_output.output * left_output + after_call.request * left_call
    ) >> _BITS
    marginal += rest
    spent = after_input.input + after_output.output + after_call.request
    paced = min(marginal + shadow, max(spent, marginal))
    return Drawn(listed.total, marginal, effective + rest, paced, spent, tuple(parts))


def _at(terms: Terms, listed: CostDetails, usage: Usage, standard: bool) -> CostDetails:
    if terms.charge is not None:
        return price_details(terms.charge, usage) if standard else listed
    ppm = terms.ppm
    if ppm == UNITS:
        return listed
    return CostDetails(
        (listed.input * ppm + _HALF) // UNITS,
        (listed.output * ppm + _HALF) // UNITS,
        (listed.request * ppm + _HALF) // UNITS,
    )


def _units(terms: Commitment, usage: Usage, of_input: int, of_output: int) -> int:
    if terms.unit == "requests":
        return UNITS * min(of_input, of_output) >> _BITS
    weights = terms.weights or _PLAIN
    cached, written = usage.all_cached, usage.all_written
    plain = usage.input - cached - written
    inputs = plain * weights.input + cached * weights.cached_input + written * weights.cache_write
    return (inputs * of_input + usage.all_output * weights.output * of_output) >> _BITS
