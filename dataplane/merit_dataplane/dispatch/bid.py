"""One candidate for one request."""

from enum import IntEnum
from operator import itemgetter
from typing import NamedTuple

from merit_crds.snapshot import Charge, Tariff
from merit_dataplane.commitments.account import Committed
from merit_dataplane.snapshots.tables import Target
from merit_dataplane.warmth.warmth import COLD, Warm


class Standing(IntEnum):
    """Class of a candidate in the order. From INCAPABLE on it is not in the order at all."""

    ADMISSIBLE = 0
    MISSES_OBJECTIVE = 1
    UNAVAILABLE = 2
    INCAPABLE = 3
    EXCLUDED = 4
    """The client's steering leaves it out."""
    TOO_DEAR = 5
    """Above the route's maxPrice."""
    REFUSED = 6
    """Misses an objective, in a tier that sends nothing to who does."""


class Bid(NamedTuple):
    """One candidate for one request."""

    standing: Standing
    rank: tuple[float, ...]
    cost: int
    """Expected, in pico-dollars; with commitments, at the pace at which their volumes are to be drawn."""
    name: tuple[str, ...]
    """Breaks ties, so that equal prices have a fixed order."""
    target: Target
    tariff: Tariff
    """What it charges at this request's hour."""
    charge: Charge
    """The part of the tariff that it was priced at: that of the service tier which the request asks for."""
    input: int
    """Expected input tokens, as this model counts."""
    output: int
    """Expected output tokens, of all choices."""
    reason: str = ""
    """Why it is not admissible."""
    warm: Warm = COLD
    """What of the input is expected from the provider's cache, and into it."""
    stem: int = 0
    """Tokens of its answer's beginning that it is given; 0 where it writes all of it."""
    committed: Committed | None = None
    """What it is expected to draw from commitments; None where none covers it now."""

    @property
    def marginal(self) -> int:
        """Pico-dollars that it is expected to add to the vendor's bill."""
        return self.cost if self.committed is None else self.committed.drawn.marginal


by_merit = itemgetter(0, 1, 2, 3)
"""Sorts bids into the merit order: by standing, rank, cost and name."""
