"""Which of a candidate's endpoints a request asks first: the one that is measured to be fastest. Pure.

    within every ceiling           the fastest; those that take less than a fifth longer count as equal, and among
                                   equals the order in which they are written
    not measured                   excludes nobody, as with candidates
    over a ceiling                 the fastest first
    open circuit                   last

Only in tiers with a latency ceiling, where something hangs on it; elsewhere the written order is the order.
"""

from collections.abc import Sequence
from math import inf

from merit_dataplane.live import Measured
from merit_dataplane.metering.latency import Latency
from merit_dataplane.snapshots.tables import EndpointPlan, Target, TierPlan
from merit_dataplane.wire.openai_request import Call

_EQUAL = 1.2
"""Buckets of the quantiles are 15 % apart: less says nothing."""
_WITHIN, _UNKNOWN, _OVER, _BROKEN = 0, 1, 2, 3
_Place = tuple[int, float]


def latency(tier: TierPlan, measured: Latency, now: float) -> float | None:
    """Seconds at the tier's percentile. One that is no longer fresh counts where exploration will renew it."""
    seconds = measured.quantile(tier.percentile, now)
    return measured.remembered(tier.percentile) if seconds is None and tier.remembers else seconds


def chosen(target: Target, tier: TierPlan, call: Call, now: float, draw: int) -> Sequence[EndpointPlan]:
    """The endpoints of a candidate that chooses, as one request asks them.

    `draw` is evenly distributed over 0 to 999,999: the stated share measures an endpoint that nobody knows.
    """
    order = in_order(target, tier, call, now)
    if draw >= tier.exploration_ppm or call.steering is not None:
        return order
    first = explored(order, target, tier, call, now)
    return [order[first], *order[:first], *order[first + 1 :]] if first else order


def in_order(target: Target, tier: TierPlan, call: Call, now: float) -> Sequence[EndpointPlan]:
    """The endpoints of a candidate that chooses, the one to ask first before the others."""
    endpoints = target.endpoints
    places = [_place(endpoint, target, tier, call, now) for endpoint in endpoints]
    equal = min(places)[1] * _EQUAL
    # sorting is stable: the written order is what decides between equals
    return [endpoints[i] for i in sorted(range(len(endpoints)), key=lambda i: (places[i][0], max(places[i][1], equal)))]


def explored(order: Sequence[EndpointPlan], target: Target, tier: TierPlan, call: Call, now: float) -> int:
    """Place in the order of the endpoint that a request asks to measure it, the one measured longest ago; 0 is none."""
    best, oldest = 0, inf
    for place, endpoint in enumerate(order[1:], 1):
        if endpoint.circuit.open_until:
            continue
        known = target.learned.at(endpoint.circuit)
        if unknown(known, tier, call, now) and known.total.observed_at < oldest:
            best, oldest = place, known.total.observed_at
    return best


def unknown(measured: Measured, tier: TierPlan, call: Call, now: float) -> bool:
    """Whether a latency that a ceiling asks for is not known, or only from long ago."""
    if tier.total_seconds and measured.total.quantile(tier.percentile, now) is None:
        return True
    wants_first = tier.first_token_seconds > 0 and call.stream
    return wants_first and measured.first_token.quantile(tier.percentile, now) is None


def over(target: Target, tier: TierPlan, call: Call, now: float) -> bool:
    """Whether every endpoint that can be asked is known to be over a ceiling. Mostly the first one answers that."""
    return all(_place(endpoint, target, tier, call, now)[0] >= _OVER for endpoint in target.endpoints)


def measured(target: Target, tier: TierPlan, call: Call, now: float) -> Measured:
    """The latencies that a request would meet: a slow endpoint says nothing of a candidate that has a fast one."""
    return target.learned.at(in_order(target, tier, call, now)[0].circuit) if target.chooses else target.learned


def _place(endpoint: EndpointPlan, target: Target, tier: TierPlan, call: Call, now: float) -> _Place:
    """Class, and the largest share of a ceiling that it takes."""
    circuit = endpoint.circuit
    if circuit.open_until and circuit.unavailable(now):
        return _BROKEN, 0.0
    known, share = target.learned.at(circuit), 0.0
    if tier.total_seconds and (seconds := latency(tier, known.total, now)) is not None:
        share = seconds / tier.total_seconds
    if tier.first_token_seconds and call.stream and (first := latency(tier, known.first_token, now)) is not None:
        share = max(share, first / tier.first_token_seconds)
    return (_WITHIN if share <= 1 else _OVER, share) if share else (_UNKNOWN, 0.0)
