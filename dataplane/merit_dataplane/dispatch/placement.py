"""The merit order as one request goes down it: explored, held by hysteresis or in a ramp, another than the cheapest is
first. The others follow in their order, so that a failure costs no more than ever.
"""

from enum import StrEnum

from merit_dataplane.dispatch.bid import Bid, Standing
from merit_dataplane.dispatch.exploration import explored, scored_anew
from merit_dataplane.dispatch.rebalancing import held, ramped
from merit_dataplane.snapshots.tables import TierPlan
from merit_dataplane.wire.openai_request import Call


class Placement(StrEnum):
    """Why the first is not the cheapest."""

    CHEAPEST = ""
    EXPLORATION = "exploration"
    HYSTERESIS = "hysteresis"
    RAMP = "ramp"


def placed(  # noqa: PLR0917 # of the hot path: no keywords
    tier: TierPlan, order: list[Bid], call: Call, now: float, draw: int, explore: int
) -> tuple[list[Bid], Placement]:
    """The order with the one first that takes the request. `draw`, `explore`: two even draws from 0 to 999,999."""
    if tier.explores and (found := explored(tier, order, call, now, explore)):
        return _moved(order, found), Placement.EXPLORATION
    if tier.recovering and (found := scored_anew(tier, order, explore)):
        return _moved(order, found), Placement.EXPLORATION
    if not tier.rebalances or order[0].standing is not Standing.ADMISSIBLE:
        return order, Placement.CHEAPEST
    first = held(order, tier.wins, tier.hysteresis_ppm)
    takes = (
        first if not tier.ramp_seconds else ramped(order, first, tier.wins, ramp=tier.ramp_seconds, now=now, draw=draw)
    )
    tier.wins.won(order[first].target.name, tier.ramp_seconds, now)
    if takes != first:
        return _moved(order, takes), Placement.RAMP if takes else Placement.CHEAPEST
    return _moved(order, first), Placement.HYSTERESIS if first else Placement.CHEAPEST


def _moved(order: list[Bid], first: int) -> list[Bid]:
    return [order[first], *order[:first], *order[first + 1 :]] if first else order
