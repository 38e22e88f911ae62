"""Whether a request that takes unusually long is given to a second candidate as well. Pure.

Its own candidate's past says what is unusual: the plan's percentile of the time to a stream's first token, or of the
time that whole answers took. It is hedged with the next of the merit order, where all of these hold:

    can be done twice     chats, completions, embeddings, and not at a tariff for who can wait; an image or a sound is
                          paid for whole, however soon it is given up
    no probe              a half-open circuit is to hear of this very attempt
    in good standing      it meets every objective and ceiling; nothing says that it can't be asked now
    not too dear          its expected cost is within the plan's share of the first one's
    time                  what is left of the request's time is more than it usually takes
    room                  in the consumer's budgets and tokens per minute, in the plan's share of requests, in the
                          route's retry budget; whether the provider's limits have any is asked later
"""

from enum import StrEnum

from merit_dataplane.dispatch.bid import Bid, Standing
from merit_dataplane.live import Measured
from merit_dataplane.metering.latency import Latency
from merit_dataplane.snapshots.hedging_plan import HedgingPlan
from merit_dataplane.snapshots.tables import EndpointPlan, Target
from merit_dataplane.wire.openai_request import Call, Operation

_TWICE = frozenset({Operation.CHAT, Operation.COMPLETIONS, Operation.EMBEDDINGS})
_PATIENT = frozenset({"flex", "batch"})
_MEDIAN, _SLOWEST = 50, 99
_LATE_TIMES = 4.0
_QUICK = 0.1
"""Of the time that the Provider's `firstByte` has for a token: 10 ms."""


class Hedge(StrEnum):
    """What became of one, or why there was none: labels of a metric, and words of the usage log."""

    WON = "won"
    LOST = "lost"
    FAILED = "failed"
    NO_CANDIDATE = "no_candidate"
    TOO_DEAR = "too_dear"
    NO_TIME = "no_time"
    CONSUMER_LIMIT = "consumer_limit"
    OWN_LIMIT = "own_limit"
    SHARE = "share"
    RETRY_BUDGET = "retry_budget"


def hedged_after(plan: HedgingPlan, bid: Bid, endpoint: EndpointPlan, call: Call, now: float) -> float | None:
    """Seconds for which an attempt is waited for alone; None where it is not hedged, or too little is known."""
    if not may_be_hedged(endpoint, call):
        return None
    return _usual(bid.target, endpoint, plan.percentile, call, now)


def may_be_hedged(endpoint: EndpointPlan, call: Call) -> bool:
    """Whether anything but its candidate's past has a say."""
    return call.operation in _TWICE and call.service_tier not in _PATIENT and not endpoint.circuit.open_until


def late_after(bid: Bid, endpoint: EndpointPlan, call: Call, now: float) -> float:
    """Seconds after which a whole answer is late, with hedging or without.

    As long as nothing is known: what a stream has for its first token, and 10 ms for each token that is expected. Then
    four times as long as the slowest hundredth took, where that is longer.
    """
    target = bid.target
    slowest = _usual(target, endpoint, _SLOWEST, call, now)
    if slowest is None:
        return target.first_token_wait + bid.output * target.per_token_seconds * _QUICK
    return max(target.first_token_wait, _LATE_TIMES * slowest)


def objection(plan: HedgingPlan, first: Bid, second: Bid, endpoint: EndpointPlan, now: float) -> Hedge | None:
    """Why the next of the merit order, at that endpoint, is not asked as well."""
    if (
        second.standing is not Standing.ADMISSIBLE
        or endpoint.circuit.open_until
        or second.target.provider.account.unavailable(now)
    ):
        return Hedge.NO_CANDIDATE
    if _worth(second) * 10**6 > _worth(first) * plan.extra_cost_ppm:
        return Hedge.TOO_DEAR
    return None


def in_time(second: Bid, endpoint: EndpointPlan, call: Call, now: float, remaining: float) -> bool:
    """Whether it usually answers in the `remaining` seconds."""
    usual = _usual(second.target, endpoint, _MEDIAN, call, now)
    return remaining > (usual or 0.0)


def _worth(bid: Bid) -> int:
    """Pico-dollars, its share of what was paid ahead included: what is prepaid is not for nothing."""
    return bid.cost if bid.committed is None else bid.committed.drawn.effective


def _usual(target: Target, endpoint: EndpointPlan, percent: int, call: Call, now: float) -> float | None:
    """Seconds, by what is known of this endpoint, else of all of them."""
    if endpoint.has_siblings:
        seconds = _quantile(target.learned.at(endpoint.circuit), percent, call, now)
        if seconds is not None:
            return seconds
    return _quantile(target.learned, percent, call, now)


def _quantile(measured: Measured, percent: int, call: Call, now: float) -> float | None:
    known: Latency = measured.first_token if call.stream else measured.total
    seconds = known.quantile(percent, now)
    return known.remembered(percent) if seconds is None else seconds
