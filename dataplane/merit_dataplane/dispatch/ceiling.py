"""Why a candidate is too dear, in words."""

from merit_crds.pricing import TEXT, Media, too_dear, usd
from merit_crds.snapshot import PriceCeilings
from merit_dataplane.dispatch.bid import Bid
from merit_dataplane.wire.features import MEDIA, Feature
from merit_dataplane.wire.openai_request import Call

_MILLION = 10**6


def media_of(call: Call) -> Media:
    """What else than text a request holds or asks for."""
    modalities = bytes(call.fields.get("modalities", b""))
    if not modalities and not call.features & MEDIA:
        return TEXT
    return Media(
        images=bool(call.features & int(Feature.IMAGES)),
        sound=bool(call.features & int(Feature.AUDIO)),
        images_back=b'"image"' in modalities,
        sound_back=b'"audio"' in modalities,
    )


def above(bid: Bid, ceilings: PriceCeilings, call: Call, whose: str) -> str:
    """Which price is above its ceiling, at this request's length and hour; empty where none is."""
    found = too_dear(bid.charge, ceilings, bid.input, media_of(call))
    if found is None:
        return ""
    per = 1 if found.what == "request" else _MILLION
    return f"{found.what} at {usd(found.price * per)} is above {whose} of {usd(found.ceiling * per)}"
