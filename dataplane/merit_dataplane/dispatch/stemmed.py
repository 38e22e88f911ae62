"""Bids at what they cost where the candidate writes only the rest of an answer: fewer tokens out, more in."""

from merit_crds.pricing import text_cost
from merit_dataplane.dispatch.bid import Bid
from merit_dataplane.snapshots.tables import Target
from merit_dataplane.wire.features import Feature

_PREFIX = int(Feature.ASSISTANT_PREFIX)


def stemmed(bids: list[Bid], tokens: int, now: float) -> list[Bid]:
    """Only who can go on from a beginning is given it, and only where that is expected to cost less."""
    return [_stemmed(bid, tokens) if takes_stems(bid.target, now) else bid for bid in bids]


def takes_stems(target: Target, now: float) -> bool:
    """Whether it says that it goes on from a beginning, and has lately not refused to. `now`: `loop.time()`."""
    return bool(target.features & _PREFIX) and now >= target.learned.refuses_stems_until


def _stemmed(bid: Bid, tokens: int) -> Bid:
    rates, tiers = bid.charge.rates, bid.charge.context_tiers
    input_tokens, output = bid.input + tokens, max(1, bid.output - tokens)
    cost = text_cost(rates, tiers, input_tokens, output)
    if cost >= bid.cost:
        return bid
    return bid._replace(cost=cost, input=input_tokens, output=output, stem=tokens)
