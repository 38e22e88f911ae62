"""Attempts down the merit order, until one gives an answer that can be relayed."""

import math
from collections.abc import Iterator, Sequence
from random import getrandbits

from merit_dataplane.dispatch.bid import Bid, Standing
from merit_dataplane.dispatch.endpoints import chosen
from merit_dataplane.dispatch.legs import Leg
from merit_dataplane.exchange import Exchange
from merit_dataplane.observability.ledger import Ledger
from merit_dataplane.resilience.guard import Guard
from merit_dataplane.snapshots.tables import EndpointPlan, Headers, ProviderPlan, RoutePlan, Target
from merit_dataplane.stages.ranking import ranked
from merit_dataplane.upstream.attempt import AttemptFailedError, Stream, Whole, attempt
from merit_dataplane.upstream.client import Failure, UpstreamClient
from merit_dataplane.wire.cache_marks import marked
from merit_dataplane.wire.errors import RequestError
from merit_dataplane.wire.openai_request import Call

_OF_THE_ACCOUNT = frozenset({401, 403, 407, 429})
_OF_THE_MODEL = frozenset({404, 409})
"""Statuses after which another endpoint of the same account, or of the same model there, would say the same."""


class Failover:
    """Asks candidates in turn. One for all requests."""

    def __init__(self, client: UpstreamClient, ledger: Ledger):
        self._client, self._ledger = client, ledger

    async def answer_of_any(
        self, exchange: Exchange, chain: tuple[Leg, ...], headers: Headers, guard: Guard
    ) -> tuple[Whole | Stream, EndpointPlan]:
        """The first answer that is no error, of the client's models in turn; whatever the last one says."""
        for place, (route, call) in enumerate(chain, 1):
            exchange.route, exchange.call, exchange.bid, exchange.target = route, call, None, None
            try:
                order = ranked(exchange, route, call, headers, self._ledger)
                answer, endpoint = await self.first_answer(exchange, order, route, call, guard)
            except RequestError as refusal:
                if place == len(chain):
                    raise
                exchange.failures.append(f"{call.model}: {refusal.code}")
                continue
            if isinstance(answer, Stream) or answer.status < 400 or place == len(chain):
                return answer, endpoint
            exchange.failures.append(f"{call.model}: {answer.status}")
        raise AssertionError("a chain has a last leg")

    async def first_answer(
        self, exchange: Exchange, order: list[Bid], route: RoutePlan, call: Call, guard: Guard
    ) -> tuple[Whole | Stream, EndpointPlan]:
        """The first answer down the merit order. Raises RequestError when every attempt failed."""
        last: AttemptFailedError | None = None
        given_up: set[Target | ProviderPlan] = set()
        most = exchange.attempts + route.attempts
        for bid, endpoint in attempts(order, exchange, call, given_up):
            if exchange.attempts == most or guard.remaining() <= 0:
                break
            account = bid.target.provider.account
            if account.full(exchange.loop.time()):
                given_up.add(bid.target.provider)
                exchange.failures.append(f"{bid.target.labels[2]}: own_limit")
                continue
            exchange.asks(bid, endpoint)
            account.started(exchange.loop.time())
            try:
                sent = marked(call, bid.warm.marks) if bid.warm.marks else call
                traced = exchange.trace.headers() if exchange.trace is not None else None
                answer = await attempt(self._client, bid.target, endpoint, sent, guard, traced)
            except AttemptFailedError as failure:
                account.ended()
                exchange.failed(bid, endpoint, failure, self._ledger)
                last = failure.with_traceback(None)  # its frames hold this one: a cycle
                if failure.status in _OF_THE_ACCOUNT or failure.outcome == Failure.CREDENTIAL:
                    given_up.add(bid.target.provider)
                elif failure.status in _OF_THE_MODEL:
                    given_up.add(bid.target)
                continue
            except BaseException:
                account.ended()
                raise
            if isinstance(answer, Whole):
                account.ended()  # a stream ends later
            exchange.answered(bid, endpoint, self._ledger)
            return answer, endpoint
        raise all_failed(exchange, last)


def attempts(
    order: list[Bid], exchange: Exchange, call: Call, given_up: set[Target | ProviderPlan]
) -> Iterator[tuple[Bid, EndpointPlan]]:
    """Down the merit order, each candidate's endpoints in turn; those with an open circuit after all the others.

    The caller adds to `given_up` what further endpoints can't help.
    """
    later, now = [], exchange.started
    for bid in order:
        endpoints: Sequence[EndpointPlan] = bid.target.provider.endpoints
        if bid.target.chooses and exchange.tier is not None:
            endpoints = chosen(bid.target, exchange.tier, call, now, getrandbits(32) % 10**6)
        for endpoint in endpoints:
            if bid.target in given_up or bid.target.provider in given_up:
                break
            if bid.standing is not Standing.UNAVAILABLE and endpoint.health.unavailable(now):
                later.append((bid, endpoint))
            else:
                yield bid, endpoint
    for bid, endpoint in later:
        if bid.target not in given_up and bid.target.provider not in given_up:
            yield bid, endpoint


def all_failed(exchange: Exchange, last: AttemptFailedError | None) -> RequestError:
    """What the client is told when no attempt gave an answer."""
    tried = "; ".join(exchange.failures) or "none was tried"
    if last.status == 429 if last is not None else exchange.failures:
        seconds = max(1, math.ceil((last and last.retry_after) or 1))
        return RequestError(
            429,
            f"Every provider is at its rate limit. Tried: {tried}.",
            kind="rate_limit_error",
            code="rate_limit_exceeded",
            headers=((b"retry-after", str(seconds).encode()),),
        )
    status = 504 if last is not None and last.outcome.endswith("_timeout") else 502
    return RequestError(
        status, f"No provider gave an answer. Tried: {tried}.", kind="upstream_error", code="all_failed"
    )
