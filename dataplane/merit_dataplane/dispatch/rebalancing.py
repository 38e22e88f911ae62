"""Who takes a request after the merit order has changed: hysteresis, then the ramp. Pure.

Both choose among admissible candidates only: who broke down, or misses an objective, is left at once.
"""

from collections.abc import Sequence

from merit_dataplane.dispatch.bid import Bid, Standing
from merit_dataplane.metering.wins import Wins

MILLION = 10**6


def held(order: Sequence[Bid], wins: Wins, hysteresis_ppm: int) -> int:
    """Place of who is first after hysteresis: who was first before, while it is at most so much dearer."""
    before, cheapest = wins.first, order[0]
    if (
        not hysteresis_ppm
        or before is None
        or cheapest.target.name == before
        or cheapest.standing is not Standing.ADMISSIBLE
    ):
        return 0
    most = cheapest.cost * (MILLION + hysteresis_ppm)
    for place, bid in enumerate(order):
        if bid.standing is not Standing.ADMISSIBLE or bid.cost * MILLION > most:
            return 0
        if bid.target.name == before:
            return place
    return 0


def ramped(order: Sequence[Bid], first: int, wins: Wins, *, ramp: float, now: float, draw: int) -> int:
    """Place of who takes the request in place of `first` while that one's share still grows.

    `ramp` in seconds; `draw` is evenly distributed over 0 to 999,999. The cheapest established candidate takes what the
    new one may not; where none is admissible there is nobody to spare, and no ramp.
    """
    if draw < wins.share(order[first].target.name, ramp, now) * MILLION:
        return first
    for place, bid in enumerate(order):
        if bid.standing is not Standing.ADMISSIBLE:
            break
        if place != first and wins.share(bid.target.name, ramp, now) >= 1.0:
            return place
    return first
