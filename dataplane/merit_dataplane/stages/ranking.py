"""Classify and dispatch: one request to its tier and its merit order."""

import time
from random import getrandbits

from merit_dataplane.dispatch.bid import Bid, Standing
from merit_dataplane.dispatch.committed import ask
from merit_dataplane.dispatch.merit_order import explain, merit_order
from merit_dataplane.dispatch.placement import placed
from merit_dataplane.dispatch.refusal import nobody_left
from merit_dataplane.dispatch.tiers import classify, named
from merit_dataplane.exchange import Exchange
from merit_dataplane.observability.ledger import Ledger
from merit_dataplane.snapshots.tables import Headers, RoutePlan, TierPlan
from merit_dataplane.warmth.prefix import prefix_of
from merit_dataplane.wire.errors import RequestError
from merit_dataplane.wire.openai_request import Call


def ranked(exchange: Exchange, route: RoutePlan, call: Call, headers: Headers, ledger: Ledger) -> list[Bid]:
    """The merit order. Raises RequestError when nobody is in it."""
    tier = exchange.tier = classify(route, call, headers) if not exchange.forced_tier else _forced(exchange, route)
    prefix = exchange.prefix = prefix_of(call, tier.follow_ups.salt) if tier.warms else None
    wall = exchange.billed_at = time.time() if tier.timed or tier.committed or prefix is not None else 0.0
    stem = exchange.stemming.stem.tokens if exchange.stemming is not None and exchange.stemming.stem is not None else 0
    order = merit_order(tier, call, exchange.started, wall, prefix, stem)
    if not order:
        raise nobody_left(tier, call, explain(tier, call, exchange.started, wall, prefix))
    if tier.committed:
        ask(order, wall)
    if prefix is not None and len(tier.targets) > 1:
        tier.follow_ups.came(prefix, call.input_tokens, wall)
    if (tier.places or tier.recovering) and call.steering is None and len(order) > 1 and not _by_prefix(order[0]):
        draws = divmod(getrandbits(64) % 10**12, 10**6)
        order, exchange.placement = placed(tier, order, call, exchange.started, *draws)
        if exchange.placement:
            ledger.placements[*order[0].target.labels, exchange.placement] += 1
    return order


def _by_prefix(first: Bid) -> bool:
    """Whether it is first for what is in a cache, or will be: then hysteresis, ramp and exploration stand back."""
    return bool(first.warm.matched or (first.rank and first.standing is Standing.ADMISSIBLE))


def _forced(exchange: Exchange, route: RoutePlan) -> TierPlan:
    """The tier of a consumer whose budget is spent."""
    tier = named(route, exchange.forced_tier)
    if tier is None:
        message = f"The budget is spent, and {route.name!r} has no tier {exchange.forced_tier!r} to go on with."
        raise RequestError(429, message, kind="insufficient_quota", code="insufficient_quota")
    return tier
