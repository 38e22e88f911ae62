"""Whether a commitment of a snapshot is one that this release can count."""

import msgspec

from merit_crds.pricing.zones import zone
from merit_crds.snapshot import Commitment

_UNITS = frozenset({"usd", "tokens", "requests"})
_COVERS = frozenset({"all", "input", "output"})


def check(terms: Commitment) -> None:
    """Raises ValueError for what would count wrongly, KeyError for a time zone that this pod doesn't know."""
    if terms.unit not in _UNITS or terms.covers not in _COVERS:
        raise ValueError(f"commitment {terms.name!r}: this pod does not know {terms.unit!r} of {terms.covers!r}")
    weights = msgspec.structs.astuple(terms.weights) if terms.weights else ()
    if terms.volume <= 0 or min(terms.fee, terms.within.ppm, terms.beyond.ppm, *weights) < 0:
        raise ValueError(f"commitment {terms.name!r}: a figure is negative, or its volume nothing")
    if not (terms.end or terms.seconds > 0 or terms.months_of):
        raise ValueError(f"commitment {terms.name!r}: it never ends")
    if terms.months_of:
        zone(terms.months_of)
