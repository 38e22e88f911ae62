"""Classify and dispatch: one request to its tier and its merit order."""

import time
from random import getrandbits

from merit_dataplane.dispatch.bid import Bid
from merit_dataplane.dispatch.merit_order import explain, merit_order
from merit_dataplane.dispatch.placement import placed
from merit_dataplane.dispatch.refusal import nobody_left
from merit_dataplane.dispatch.tiers import classify
from merit_dataplane.exchange import Exchange
from merit_dataplane.observability.ledger import Ledger
from merit_dataplane.snapshots.tables import Headers, RoutePlan
from merit_dataplane.warmth.prefix import prefix_of
from merit_dataplane.wire.openai_request import Call


def ranked(exchange: Exchange, route: RoutePlan, call: Call, headers: Headers, ledger: Ledger) -> list[Bid]:
    """The merit order. Raises RequestError when nobody is in it."""
    tier = exchange.tier = classify(route, call, headers)
    prefix = exchange.prefix = prefix_of(call) if tier.warms else None
    wall = exchange.billed_at = time.time() if tier.timed or prefix is not None else 0.0
    order = merit_order(tier, call, exchange.started, wall, prefix)
    if not order:
        raise nobody_left(tier, call, explain(tier, call, exchange.started, wall, prefix))
    if tier.places and call.steering is None and len(order) > 1 and not order[0].warm.matched:
        draws = divmod(getrandbits(64) % 10**12, 10**6)
        order, exchange.placement = placed(tier, order, call, exchange.started, *draws)
        if exchange.placement:
            ledger.placements[*order[0].target.labels, exchange.placement] += 1
    return order
