"""Whom to ask next: down the merit order, each candidate's endpoints in turn. Told what happened, it waits for nobody.

    once more, here      500, a connection lost before any byte, 429 that asks for a short pause; once each
    next endpoint        other 5xx, 408, time-outs, no connection, malformed answers
    next account         429, 401, 402, 403, 407
    next model           404, 409; any other 4xx of a model that is to go on from a beginning
    larger window        the context is too long
    once more, all       when nobody is left: those that may have recovered, later each time

An endpoint with an open circuit comes after all the others.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import getrandbits

from merit_dataplane.dispatch.bid import Bid, Standing
from merit_dataplane.dispatch.endpoints import chosen
from merit_dataplane.resilience.backoff import after, backoff
from merit_dataplane.snapshots.tables import EndpointPlan, ProviderPlan, Target, TierPlan
from merit_dataplane.upstream.attempt import AttemptFailedError, Whole
from merit_dataplane.upstream.client import Failure
from merit_dataplane.wire.openai_request import Call

_OF_THE_ACCOUNT = frozenset({401, 402, 403, 407, 429})
_TRANSIENT = frozenset({Failure.RESET, "status_500"})


@dataclass(slots=True)
class Stop:
    """One endpoint of one candidate."""

    bid: Bid
    endpoint: EndpointPlan
    retry: bool = False
    """It was asked before, for this request: that is what the retry budget is for."""
    wait: float = 0.0
    """Seconds to let pass first."""


class Itinerary:
    """Of one request. `now` is `loop.time()` at its start; without `rounds` nobody is asked again in the end."""

    __slots__ = (
        "_ahead", "_behind", "_call", "_given_up", "_here", "_next", "_now", "_order", "_retries", "_rounds", "_taken",
        "_tier", "_tired", "_window", "failure", "hopeless", "refusal",
    )  # fmt: skip

    def __init__(
        self,
        order: list[Bid],
        now: float,
        tier: TierPlan | None = None,
        call: Call | None = None,
        *,
        rounds: bool = True,
    ):
        self._order, self._now, self._tier, self._call, self._rounds = order, now, tier, call, rounds
        self._given_up: set[Target | ProviderPlan] = set()
        self._behind: set[tuple[Target, str]] = set()
        """Asked before, on the way here."""
        self._ahead: Iterator[Stop] | None = None  # made by who looks beyond the first
        self._taken = False
        """The best candidate's first endpoint is not among those."""
        self._next: Stop | None = None
        self._here: Stop | None = None
        self._tired: list[Stop] = []
        self._retries = 0
        self._window = 0
        self.failure: AttemptFailedError | None = None
        """The last one."""
        self.hopeless = 0
        """How many failed for a reason that lasts: our credential is refused, or the model isn't there."""
        self.refusal: tuple[Whole, Stop] | None = None
        """What the first provider said whose context window is too small."""

    def next(self) -> Stop | None:
        """Whom to ask; None when nobody is left."""
        here, self._here = self._here, None
        if here is not None:
            return here
        stop = self._peek() if self._taken or self._ahead is not None else self._first()
        self._next = None
        if stop is not None:
            return stop
        while self._tired and self._rounds:
            stop = self._tired.pop(0)
            if stop.bid.target not in self._given_up:
                self._retries += 1
                return Stop(stop.bid, stop.endpoint, retry=True, wait=backoff(self._retries - 1))
        return None

    def following(self) -> Stop | None:
        """Who has not been asked yet and comes next; `next` says so, too."""
        return None if self._here is not None else self._peek()

    def is_last(self, stop: Stop) -> bool:
        """Whether nobody in good standing comes after it."""
        order = self._order
        if len(order) == 1 and len(stop.bid.target.endpoints) == 1:
            return True
        ahead = self._peek()
        return ahead is None or ahead.bid.standing is Standing.UNAVAILABLE

    def onward(self, broken: Stop | None = None) -> "Itinerary":
        """The same way anew, for the rest of an answer that broke off: who failed before is asked last."""
        made = Itinerary(self._order, self._now, self._tier, self._call)
        made._given_up, made._window = set(self._given_up), self._window
        made._tired = [*self._tired, broken] if broken is not None else [*self._tired]
        made._behind = self._behind | {(stop.bid.target, stop.endpoint.name) for stop in made._tired}
        return made

    def skip(self, provider: ProviderPlan) -> None:
        """A limit of ours is reached there."""
        self._given_up.add(provider)

    def failed(self, stop: Stop, failure: AttemptFailedError, longest_wait: float) -> None:
        """What came of it. `longest_wait`: the longest Retry-After, in seconds, that is waited for."""
        status, target = failure.status, stop.bid.target
        self.failure = failure
        if self._here is not None:  # of two that were asked at once the other one is to be asked once more
            self._tired.append(self._here)
            self._here = None
        if failure.whole is not None:
            self.refusal = self.refusal or (failure.whole, stop)
            self._window = max(self._window, target.context_window)
            self._given_up.add(target)
        elif status == 429:
            pause = failure.retry_after
            if pause is not None and pause <= longest_wait and not stop.retry:
                self._here = Stop(stop.bid, stop.endpoint, retry=True, wait=after(pause))
                return
            self._given_up.add(target.provider)
            if pause is None:
                self._tired.append(stop)
        elif status in _OF_THE_ACCOUNT or failure.outcome == Failure.CREDENTIAL:
            self._given_up.add(target.provider)
            self._given_up.add(target)
            self.hopeless += failure.outcome != Failure.CREDENTIAL
        elif 400 <= status < 500 and status != 408:
            self._given_up.add(target)
            self.hopeless += status == 404
        elif failure.outcome in _TRANSIENT and not stop.retry:
            self._here = Stop(stop.bid, stop.endpoint, retry=True, wait=backoff(0))
            self._tired.append(stop)
        elif not failure.given_up:
            self._tired.append(stop)

    def unaffordable(self) -> None:
        """The retry budget is used up: nobody is asked twice any more."""
        self._tired.clear()

    def _first(self) -> Stop | None:
        """The best candidate's first endpoint, where that is plain to see: nobody else is looked for then."""
        bid = self._order[0] if self._order else None
        if (
            bid is None
            or self._behind
            or self._given_up
            or self._window
            or bid.target.chooses
            or bid.standing is Standing.UNAVAILABLE
            or bid.target.endpoints[0].circuit.open_until
        ):
            return self._peek()
        self._taken = True
        return Stop(bid, bid.target.endpoints[0])

    def _peek(self) -> Stop | None:
        if self._ahead is None:
            self._ahead = self._round()
        while True:
            if self._next is None:
                self._next = next(self._ahead, None)
                if self._next is None:
                    return None
            target = self._next.bid.target
            if (
                target not in self._given_up
                and target.provider not in self._given_up
                and not 0 < target.context_window <= self._window
                and (not self._behind or (target, self._next.endpoint.name) not in self._behind)
            ):
                return self._next
            self._next = None

    def _round(self) -> Iterator[Stop]:
        later = []
        now, taken = self._now, self._taken
        for bid in self._order:
            available = bid.standing is not Standing.UNAVAILABLE
            endpoints: Sequence[EndpointPlan] = bid.target.endpoints
            if bid.target.chooses and self._tier is not None and self._call is not None:
                endpoints = chosen(bid.target, self._tier, self._call, now, getrandbits(32) % 10**6)
            for endpoint in endpoints:
                if taken:
                    taken = False
                elif available and endpoint.circuit.open_until and endpoint.circuit.unavailable(now):
                    later.append(Stop(bid, endpoint))
                else:
                    yield Stop(bid, endpoint)
        yield from later
