"""Which candidate a request explores: one whose latency an objective asks for and nobody knows, or one that scores
have put below the accuracy floor, perhaps by bad luck. Pure.

At most the stated share of requests explores, and what that costs above the cheapest is on average at most the same
share of what the tier is expected to cost: the dearer a candidate, beyond twice the cheapest, the rarer.
"""

from collections.abc import Sequence
from math import inf

from merit_dataplane.dispatch.bid import Bid, Standing
from merit_dataplane.dispatch.endpoints import measured, unknown
from merit_dataplane.snapshots.tables import TierPlan
from merit_dataplane.wire.openai_request import Call


def explored(tier: TierPlan, order: Sequence[Bid], call: Call, now: float, draw: int) -> int:
    """Place of the candidate to explore; 0 is none. `draw` is evenly distributed over 0 to 999,999.

    Of those that may be, the one that was measured longest ago.
    """
    if draw >= tier.exploration_ppm:
        return 0
    best, oldest, cheapest = 0, 0.0, order[0].cost
    for place, bid in enumerate(order[1:], 1):
        if not _may_be(bid) or not unknown(measured(bid.target, tier, call, now), tier, call, now):
            continue
        if (bid.cost - cheapest) * draw > cheapest * tier.exploration_ppm:  # true for all but that part of draws
            continue
        since = bid.target.learned.total.observed_at
        if not best or since < oldest:
            best, oldest = place, since
    return best


def scored_anew(tier: TierPlan, order: Sequence[Bid], draw: int) -> int:
    """Place of the candidate whose answers are to be scored again; 0 is none. `draw` as above.

    Only one that is cheaper than the first: it is what a return would gain. Of several the one with fewest scores.
    """
    if draw >= tier.exploration_ppm:
        return 0
    best, fewest, first = 0, inf, order[0].cost
    for place, bid in enumerate(order[1:], 1):
        belief, too_slow = bid.target.accuracy.belief, bid.rank[1:2] != (0.0,)
        if bid.standing is not Standing.MISSES_OBJECTIVE or too_slow or bid.cost >= first or belief is None:
            continue
        if belief.weight < fewest and bid.target in tier.recovering:
            best, fewest = place, belief.weight
    return best


def _may_be(bid: Bid) -> bool:
    """Admissible, or out for its latency alone."""
    return bid.standing is Standing.ADMISSIBLE or (bid.standing is Standing.MISSES_OBJECTIVE and bid.rank[0] == -1.0)
