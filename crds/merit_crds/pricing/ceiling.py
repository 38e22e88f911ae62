"""Prices that a request may not be served above: a route's, or its client's."""

from typing import NamedTuple

from merit_crds.pricing.context_tiers import rates_in_force
from merit_crds.pricing.cost import special_rates
from merit_crds.snapshot.model import Charge, PriceCeilings


class Media(NamedTuple):
    """What else than text a request holds or asks for: the prices of what it doesn't use bind nobody."""

    images: bool = False
    sound: bool = False
    images_back: bool = False
    sound_back: bool = False


TEXT = Media()


class TooDear(NamedTuple):
    """A price above its ceiling."""

    what: str
    """Which, as in a price list: `input`, `output`, `request`, `imageInput`, `audioInput`."""
    price: int
    ceiling: int
    """Pico-dollars, per token or per call."""


def too_dear(charge: Charge, ceilings: PriceCeilings, input_tokens: int, media: Media = TEXT) -> TooDear | None:
    """The first price that is above its ceiling, for a request of this length; None where none is."""
    rates, tiers = charge.rates, charge.context_tiers
    rates, excess = rates_in_force(rates, tiers, input_tokens) if tiers else (rates, ())
    if ceilings.input is not None:
        dearest = max([rates.input, *(tier.rates.input for tier in excess)]) if excess else rates.input
        if dearest > ceilings.input:
            return TooDear("input", dearest, ceilings.input)
    if ceilings.output is not None:
        dearest = rates.output
        if (special := rates.special) is not None:
            dearest = max(
                dearest,
                special.reasoning,
                special.image_output if media.images_back else 0,
                special.audio_output if media.sound_back else 0,
            )
        if dearest > ceilings.output:
            return TooDear("output", dearest, ceilings.output)
    if ceilings.request is not None and rates.request > ceilings.request:
        return TooDear("request", rates.request, ceilings.request)
    if media.images and ceilings.image_input is not None:
        dearest = max(special_rates(held).image_input for held in (rates, *(tier.rates for tier in excess)))
        if dearest > ceilings.image_input:
            return TooDear("imageInput", dearest, ceilings.image_input)
    if media.sound and ceilings.audio_input is not None:
        dearest = max(special_rates(held).audio_input for held in (rates, *(tier.rates for tier in excess)))
        if dearest > ceilings.audio_input:
            return TooDear("audioInput", dearest, ceilings.audio_input)
    return None
