"""Bids at what they cost with the prompt's beginning in the provider's own cache, or written to it."""

from merit_crds.pricing import price_details
from merit_dataplane.dispatch.bid import Bid
from merit_dataplane.warmth.prefix import Prefix
from merit_dataplane.warmth.warmth import COLD


def warmed(bids: list[Bid], prefix: Prefix, wall: float, *, marks: bool) -> list[Bid]:
    """A dearer list price that has the prefix warm may come first. What stands in the order's way still does.

    `marks`: whether the route lets Merit mark what is to be cached.
    """
    made = []
    for bid in bids:
        warmth = bid.target.warmth
        rates = bid.charge.rates if marks else None
        if warmth is not None and (warm := warmth.expected(prefix, bid.input, wall, rates)) is not COLD:
            cost = price_details(bid.charge, warm.usage(bid.input, bid.output)).total
            bid = bid._replace(cost=cost, warm=warm)  # noqa: PLW2901
        made.append(bid)
    return made
