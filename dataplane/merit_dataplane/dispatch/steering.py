"""A client's steering, applied to the bids of a request.

`only`, `ignore`, `max_price`, `require_parameters` and `allow_fallbacks` leave candidates out. `order`, `sort` and the
preferred latency and throughput sort inside a class of the merit order: what is admissible still comes first.
"""

from math import inf

from merit_dataplane.dispatch.bid import Bid, Standing, by_merit
from merit_dataplane.dispatch.ceiling import above
from merit_dataplane.live import Learned
from merit_dataplane.snapshots.tables import Target
from merit_dataplane.wire.clients import dialect_for
from merit_dataplane.wire.openai_request import Call
from merit_dataplane.wire.parameters import left_out
from merit_dataplane.wire.steering import Steering

_MOST_NAMED = 8


def steer(bids: list[Bid], steering: Steering, call: Call, now: float) -> list[Bid]:
    """The bids as the client wants them. Only those that are in the order change."""
    steered = [
        bid if bid.standing >= Standing.INCAPABLE else _steered(bid, steering, call, now)
        for bid in bids
    ]  # fmt: skip
    if steering.allow_fallbacks or steering.order:
        return steered
    first = min((bid for bid in steered if bid.standing < Standing.INCAPABLE), key=by_merit, default=None)
    return [
        bid if bid is first or bid.standing >= Standing.INCAPABLE else _out(bid, "provider.allow_fallbacks is false")
        for bid in steered
    ]


def _steered(bid: Bid, steering: Steering, call: Call, now: float) -> Bid:
    key = bid.target.provider.key
    names = (key, key.split("/", 1)[1])
    if steering.only and not _named(names, steering.only):
        return _out(bid, "not in provider.only")
    if _named(names, steering.ignore):
        return _out(bid, "in provider.ignore")
    if steering.ceilings is not None and (reason := above(bid, steering.ceilings, call, "provider.max_price")):
        return _out(bid, reason)
    if steering.require_parameters and (lost := _lost(bid.target, call)):
        return _out(bid, f"its protocol leaves out {lost}, and provider.require_parameters is true")
    place = next((i for i, wanted in enumerate(steering.order) if wanted in names), len(steering.order))
    if steering.order and place == len(steering.order) and not steering.allow_fallbacks:
        return _out(bid, "not in provider.order, and provider.allow_fallbacks is false")
    learned = bid.target.learned
    demoted = _too_slow(learned, steering, call, now)
    return bid._replace(rank=(place, demoted, _measure(learned, steering, call, now), *bid.rank))


def _named(names: tuple[str, str], wanted: tuple[str, ...]) -> bool:
    return names[0] in wanted or names[1] in wanted


def _lost(target: Target, call: Call) -> str:
    """Parameters of the request that a candidate's provider would not get."""
    dialect = dialect_for(target.provider.dialect, call, target.features)
    return ", ".join(left_out(call, dialect.keeps(call.operation, target.model))[:_MOST_NAMED])


def _out(bid: Bid, reason: str) -> Bid:
    return bid._replace(standing=Standing.EXCLUDED, rank=(), reason=reason)


def _too_slow(learned: Learned, steering: Steering, call: Call, now: float) -> bool:
    """Measured, and slower than preferred."""
    latency = learned.first_token if call.stream else learned.total
    for percentile, seconds in steering.max_latency:
        if (latency.quantile(percentile, now) or 0.0) > seconds:
            return True
    return any((learned.slowness(p, now) or 0.0) > 1000 / tokens for p, tokens in steering.min_throughput)


def _measure(learned: Learned, steering: Steering, call: Call, now: float) -> float:
    """What `sort` sorts by before the expected cost; who has not been measured comes last."""
    measured: float | None = 0.0
    if steering.sort == "latency":
        measured = (learned.first_token if call.stream else learned.total).quantile(50, now)
    elif steering.sort == "throughput":
        measured = learned.slowness(50, now)
    return inf if measured is None else measured
