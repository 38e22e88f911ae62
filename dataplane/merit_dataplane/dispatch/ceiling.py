"""Why a candidate is too dear, in words."""

from merit_crds.pricing import too_dear, usd
from merit_crds.snapshot import PriceCeilings
from merit_dataplane.dispatch.bid import Bid

_MILLION = 10**6


def above(bid: Bid, ceilings: PriceCeilings, whose: str) -> str:
    """Which price is above its ceiling, at this request's length and hour; empty where none is."""
    found = too_dear(bid.charge, ceilings, bid.input)
    if found is None:
        return ""
    per = 1 if found.what == "request" else _MILLION
    return f"{found.what} at {usd(found.price * per)} is above {whose} of {usd(found.ceiling * per)}"
