"""Attempts down the merit order, until one gives an answer that can be relayed."""

import asyncio
import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from merit_dataplane.dispatch.bid import Bid
from merit_dataplane.dispatch.hedge import hedged_after, may_be_hedged
from merit_dataplane.dispatch.legs import Leg
from merit_dataplane.exchange import Exchange
from merit_dataplane.observability.ledger import Ledger
from merit_dataplane.resilience.guard import Guard, Verdict
from merit_dataplane.snapshots.tables import Headers, RoutePlan
from merit_dataplane.stages.itinerary import Itinerary, Stop
from merit_dataplane.stages.late import LateHedge
from merit_dataplane.stages.places import Places
from merit_dataplane.stages.race import Parts, Race
from merit_dataplane.stages.ranking import ranked
from merit_dataplane.stages.stem_attempt import begins_with, begun_for, without_stem
from merit_dataplane.upstream.attempt import Attempt, AttemptFailedError, Stream, Whole, attempt
from merit_dataplane.upstream.client import UpstreamClient
from merit_dataplane.wire.cache_marks import marked
from merit_dataplane.wire.errors import RequestError
from merit_dataplane.wire.openai_request import Call

Adapt = Callable[[Bid], Call | None]


class Served(NamedTuple):
    """An answer, and where it came from."""

    answer: Whole | Stream
    made: Attempt | None
    """None where the answer is an error that was kept in case nobody knows better."""
    itinerary: Itinerary
    """Who would come next."""


class Failover:
    """Asks candidates in turn. One for all requests."""

    def __init__(self, client: UpstreamClient, ledger: Ledger, places: Places):
        self._client, self._ledger, self._places = client, ledger, places
        self._race = Parts(client, ledger, places)

    async def answer_of_any(
        self, exchange: Exchange, chain: tuple[Leg, ...], headers: Headers, guard: Guard
    ) -> tuple[Served, RoutePlan]:
        """The first answer that is no error, of the client's models in turn; whatever the last one says."""
        for place, (route, call) in enumerate(chain, 1):
            exchange.route, exchange.call, exchange.bid, exchange.target = route, call, None, None
            try:
                order = ranked(exchange, route, call, headers, self._ledger)
                served = await self.first_answer(exchange, order, route, call, guard, rounds=place == len(chain))
            except RequestError as refusal:
                if place == len(chain):
                    raise
                exchange.failures.append(f"{call.model}: {refusal.code}")
                continue
            answer = served.answer
            if isinstance(answer, Stream) or answer.status < 400 or place == len(chain):
                return served, route
            exchange.failures.append(f"{call.model}: {answer.status}")
        raise AssertionError("a chain has a last leg")

    async def first_answer(
        self,
        exchange: Exchange,
        order: list[Bid],
        route: RoutePlan,
        call: Call,
        guard: Guard,
        *,
        rounds: bool = True,
    ) -> Served:
        """The first answer down the merit order, and down it again unless `rounds` says that others wait.

        Raises RequestError when every attempt failed.
        """
        route.retry_budget.request(exchange.started)
        if route.hedging is not None:
            route.hedging.budget.request(exchange.started)
        itinerary = Itinerary(order, exchange.started, exchange.tier, call, rounds=rounds)
        served = await self.next_answer(exchange, itinerary, route, call, guard)
        if served is None:
            raise all_failed(exchange, itinerary.failure, hopeless=itinerary.hopeless == len(exchange.failures))
        return served

    async def next_answer(  # noqa: PLR0917 # the stages' own order
        self,
        exchange: Exchange,
        itinerary: Itinerary,
        route: RoutePlan,
        call: Call,
        guard: Guard,
        adapt: Adapt | None = None,
    ) -> Served | None:
        """The next answer of the itinerary; None when there is none within attempts and time.

        `adapt` makes a candidate's own request of it, and says None to who can't serve it.
        """
        most = exchange.attempts + route.attempts
        while exchange.attempts < most and guard.remaining() > 0:
            stop = itinerary.next()
            if stop is None:
                break
            mine = call if adapt is None else adapt(stop.bid)
            if mine is None:
                continue
            provider, now = stop.bid.target.provider, exchange.loop.time()
            if now < provider.account.watched_until and provider.account.full(now):
                itinerary.skip(provider)
                exchange.failures.append(f"{stop.bid.target.labels[2]}: own_limit")
                continue
            if stop.retry:
                if not route.retry_budget.take(now, route.retry_share):
                    itinerary.unaffordable()
                    continue
                if not await _pause(stop.wait, guard):
                    continue
            usage = provider.account.usage
            if usage is not None and not await self._places.take(exchange, usage, stop.bid):
                itinerary.skip(provider)
                exchange.failures.append(f"{stop.bid.target.labels[2]}: own_limit")
                continue
            joins, alone = adapt is not None, most - exchange.attempts < 2
            if route.hedging is None or joins or (after := self._hedged_after(exchange, route, stop, mine)) is None:
                served = await self._ask(exchange, itinerary, route, stop, mine, guard, joins=joins, alone=alone)
            else:
                race = Race(self._race, exchange, itinerary, route, route.hedging)
                won = await race.answer(stop, mine, guard, after=after, alone=alone)
                served = None if won is None else Served(*won, itinerary)
            if served is not None:
                return served
        if itinerary.refusal is None or adapt is not None:
            return None
        whole, stop = itinerary.refusal  # nobody has a larger window: it was the client's own mistake
        exchange.bid, exchange.target = stop.bid, stop.bid.target
        return Served(whole, None, itinerary)

    async def _ask(  # noqa: PLR0917 # the stages' own order
        self,
        exchange: Exchange,
        itinerary: Itinerary,
        route: RoutePlan,
        stop: Stop,
        call: Call,
        guard: Guard,
        *,
        joins: bool,
        alone: bool,
    ) -> Served | None:
        """One attempt, with a second beside it where the first is late.

        `joins`: the answer goes on from another one, so that only a stream will do; `alone`: no second is left.
        """
        bid, endpoint = stop.bid, stop.endpoint
        mine = call if joins or not bid.warm.marks else marked(call, bid.warm.marks)
        last = mine.stream and itinerary.is_last(stop)
        stem, begun = begun_for(exchange, bid, mine) if bid.stem and not joins else (None, mine)
        made = Attempt(bid, endpoint, begun, partial(exchange.price, bid), last=last, stem=stem)
        account = bid.target.provider.account
        exchange.asks(bid, endpoint)
        account.started()
        if exchange.trace is not None:
            made.traced = exchange.trace.headers()
        once = joins or alone or stop.retry or stem is not None or exchange.hedge
        if not (mine.stream or once) and may_be_hedged(endpoint, mine):
            late = partial(LateHedge, self._race, exchange, itinerary, route, stop, call, guard)
            guard.later(bid.target.first_token_wait, late)
        try:
            answer = await attempt(self._client, made, guard)
            if stem is not None and not begins_with(exchange, made, answer):
                without_stem(exchange, made, mine, answer, self._ledger)
                answer = await attempt(self._client, made, guard)
            if joins and isinstance(answer, Whole):
                raise AttemptFailedError(f"status_{answer.status}", "no stream to go on with", status=answer.status)
        except AttemptFailedError as failure:
            account.ended()
            # its frames hold this one: a cycle
            self._failed(exchange, itinerary, route, stop, made, failure.with_traceback(None))
        except BaseException:
            account.ended()
            if made.spent is not None:  # its client has gone
                exchange.lose(bid, endpoint, Verdict.CLIENT_GONE, made.spent)
            if exchange.late is not None:
                await exchange.late.abandon()
            raise
        else:
            if isinstance(answer, Whole):
                account.ended()  # a stream ends later
            guard.never_mind()
            if exchange.late is not None:
                await exchange.late.first_answered()
            exchange.limits = made.limits
            exchange.answered(made.bid, endpoint, self._ledger)
            return Served(answer, made, itinerary)
        guard.never_mind()
        won = await exchange.late.second_answer() if exchange.late is not None else None
        return None if won is None else Served(*won, itinerary)

    def _failed(  # noqa: PLR0917 # as above
        self,
        exchange: Exchange,
        itinerary: Itinerary,
        route: RoutePlan,
        stop: Stop,
        made: Attempt,
        failure: AttemptFailedError,
    ) -> None:
        exchange.limits = made.limits
        if failure.outcome == Verdict.OUTPACED:
            exchange.outpaced(stop.bid, stop.endpoint, made.spent, self._ledger, first=True)
        else:
            exchange.failed(stop.bid, stop.endpoint, failure, made.spent, self._ledger)
            itinerary.failed(stop, failure, route.longest_wait)

    @staticmethod
    def _hedged_after(exchange: Exchange, route: RoutePlan, stop: Stop, call: Call) -> float | None:
        """Seconds after which a second is asked beside this one, where the route wants that; None: never."""
        if route.hedging is None or stop.retry or exchange.hedge or stop.bid.stem:
            return None
        return hedged_after(route.hedging, stop.bid, stop.endpoint, call, exchange.loop.time())


async def _pause(seconds: float, guard: Guard) -> bool:
    """Lets time pass before a retry. False: there is not so much left."""
    if seconds >= guard.remaining():
        return False
    guard.limit(guard.remaining(), Verdict.TOTAL)
    try:
        await asyncio.sleep(seconds)
    except asyncio.CancelledError:
        if guard.verdict is not Verdict.TOTAL:
            raise
        guard.forgive()
        return False
    return True


def all_failed(exchange: Exchange, last: AttemptFailedError | None, *, hopeless: bool = False) -> RequestError:
    """What the client is told when no attempt gave an answer. `hopeless`: nor will one soon."""
    tried = "; ".join(exchange.failures) or "none was tried"
    if last is not None and last.said:
        tried += f'; the last said "{last.said}"'
    wait = last.retry_after if last is not None else None
    if last.status == 429 if last is not None else exchange.failures:
        seconds = wait or 1.0
        return RequestError(
            429,
            f"Every provider is at its rate limit. Tried: {tried}.",
            kind="rate_limit_error",
            code="rate_limit_exceeded",
            headers=_after(seconds),
        )
    headers = _after(wait) if wait else ()
    if last is not None and hopeless:
        headers = ((b"x-should-retry", b"false"),)
    status = 504 if last is not None and last.outcome.endswith("_timeout") else 502
    return RequestError(
        status,
        f"No provider gave an answer. Tried: {tried}.",
        kind="upstream_error",
        code="all_failed",
        headers=headers,
    )


def _after(seconds: float) -> tuple[tuple[bytes, bytes], ...]:
    exact = str(math.ceil(seconds * 1000)).encode()
    return ((b"retry-after", str(max(1, math.ceil(seconds))).encode()), (b"retry-after-ms", exact))
