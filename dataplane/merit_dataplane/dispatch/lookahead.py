"""The value of warming: what choosing a candidate now means for the prompts that will begin as this one does.

The order by this request's cost alone never sends anything to a dearer list price with a cheaper cache, since it is
cold there. Where prompts come again, each candidate is ranked by this request's cost and by what its followers would
cost there, warm. Pure.
"""

from collections.abc import Sequence

from merit_crds.pricing import Usage, price_details
from merit_dataplane.dispatch.bid import Bid, Standing
from merit_dataplane.warmth.follow_ups import FollowUps
from merit_dataplane.warmth.warmth import COLD

_THOUSAND, _HUNDRED = 1000, 100
_LEAST_PERCENT = 10
"""By which followers must be cheaper: what is learned of equal accounts differs by chance, and they may be many."""
_UNKNOWN_KEPT = 0.8
"""As vendors say of the last minutes."""


def looked_ahead(bids: list[Bid], follow_ups: FollowUps) -> list[Bid]:
    """Ranked so, where that puts another first: what its followers save outweighs what this request costs more there.

    Else as they are. Only who is admissible takes part.
    """
    thousandths = int(follow_ups.expected * _THOUSAND)
    if not thousandths:
        return bids
    able = [bid for bid in bids if bid.standing is Standing.ADMISSIBLE]
    if len(able) < 2:
        return bids
    shares = read_shares(able, follow_ups.shared)
    later = {bid.name: followers_cost(bid, thousandths, share) for bid, share in zip(able, shares, strict=True)}
    cheapest = min(able, key=lambda bid: (bid.cost, bid.name))
    best = min(able, key=lambda bid: (bid.cost + later[bid.name], bid.cost, bid.name))
    if best is cheapest or later[best.name] * _HUNDRED > later[cheapest.name] * (_HUNDRED - _LEAST_PERCENT):
        return bids
    return [
        bid._replace(rank=(bid.cost + later[bid.name],)) if bid.standing is Standing.ADMISSIBLE else bid for bid in bids
    ]


def read_shares(bids: Sequence[Bid], shared: float) -> list[float]:
    """Of each candidate the share of a follower's prompt that it will read from its cache.

    One whose answers have shown little is taken for as good as the best that is known: not to know a cache is no
    reason to leave the prompts that are warm in it, and who misses soon shows it.
    """
    kept = [bid.target.warmth.kept if bid.target.warmth is not None else None for bid in bids]
    best = max((share for share in kept if share is not None), default=_UNKNOWN_KEPT)
    return [shared * (best if share is None else share) for share in kept]


def followers_cost(bid: Bid, thousandths: int, share: float) -> int:
    """Pico-dollars for so many thousandths of a prompt like this one, at a candidate that reads this share of it."""
    warmth, read, written = bid.target.warmth, 0, 0
    if warmth is not None and (bid.warm is not COLD or not warmth.needs_marks):
        read = int(bid.input * share)
        written = int((bid.input - read) * warmth.written)
    usage = Usage(bid.input - read - written, bid.output, read, written)
    return price_details(bid.charge, usage).total * thousandths // _THOUSAND
