"""Which candidate a request explores: one whose latency an objective asks for and nobody knows. Pure.

At most the stated share of requests explores, and what that costs above the cheapest is on average at most the same
share of what the tier is expected to cost: the dearer a candidate, beyond twice the cheapest, the rarer.
"""

from collections.abc import Sequence

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


def _may_be(bid: Bid) -> bool:
    """Admissible, or out for its latency alone."""
    return bid.standing is Standing.ADMISSIBLE or (bid.standing is Standing.MISSES_OBJECTIVE and bid.rank[0] == -1.0)
