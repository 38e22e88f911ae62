"""Two attempts at once: the second begins when the first takes unusually long, and the first good answer counts.

Each attempt runs in a task with limits of time of its own. The other one is cancelled as soon as one has answered: its
connection is closed, so that its provider stops writing, and it is paid for as a lost attempt. That it was slower says
nothing against its endpoint.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from merit_crds.pricing import CostDetails, Usage, price_details
from merit_dataplane.dispatch.bid import Bid
from merit_dataplane.dispatch.hedge import Hedge, in_time, objection
from merit_dataplane.exchange import Exchange, added
from merit_dataplane.observability.ledger import Ledger
from merit_dataplane.resilience.guard import Guard, Verdict
from merit_dataplane.snapshots.hedging_plan import HedgingPlan
from merit_dataplane.snapshots.tables import RoutePlan
from merit_dataplane.stages.itinerary import Itinerary, Stop
from merit_dataplane.stages.places import Places
from merit_dataplane.upstream import spent
from merit_dataplane.upstream.attempt import Attempt, AttemptFailedError, Stream, Whole, attempt
from merit_dataplane.upstream.client import UpstreamClient
from merit_dataplane.upstream.spent import Spent
from merit_dataplane.wire.cache_marks import marked
from merit_dataplane.wire.errors import RequestError
from merit_dataplane.wire.openai_request import Call

LEEWAY_SECONDS = 5.0
"""Attempts end by themselves when the request's time is up; who waits for them does so a little later."""
Answer = Whole | Stream


class Parts(NamedTuple):
    """What a race needs, the same for all requests."""

    client: UpstreamClient
    ledger: Ledger
    places: Places


def not_sent(refusal: RequestError) -> AttemptFailedError:
    """What the provider's protocol can't say, as the failure of a second attempt."""
    return AttemptFailedError("not_sent", str(refusal), status=refusal.status)


class Race:
    """One attempt of one request, and the second beside it."""

    def __init__(  # the stages' own order
        self, parts: Parts, exchange: Exchange, itinerary: Itinerary, route: RoutePlan, plan: HedgingPlan
    ):
        self._client, self._ledger, self._places = parts
        self._exchange, self._itinerary, self._route, self._plan = exchange, itinerary, route, plan
        self._runners: list[Runner] = []
        self._ends = 0.0
        """`loop.time()` at which the request's time is up."""

    async def answer(
        self, stop: Stop, call: Call, guard: Guard, *, after: float, alone: bool
    ) -> tuple[Answer, Attempt] | None:
        """The first good answer; None when there was none, and the itinerary knows why.

        `after`: seconds until the second begins; `alone`: there is no attempt left for it.
        """
        loop = self._exchange.loop
        self._ends = loop.time() + guard.remaining()
        guard.extend(guard.remaining() + LEEWAY_SECONDS)
        guard.limit(guard.remaining(), Verdict.TOTAL)
        try:
            first = self._begin(stop, call)
            await asyncio.wait((first.task,), timeout=after)
            if not first.task.done() and not alone:
                await self._hedge(first, call)
            return await self._first_good()
        except BaseException:
            await self._abandon()
            raise
        finally:
            guard.extend(self._ends - loop.time())

    def _begin(self, stop: Stop, call: Call) -> "Runner":
        exchange, bid = self._exchange, stop.bid
        mine = marked(call, bid.warm.marks)
        last = mine.stream and self._itinerary.is_last(stop)
        made = Attempt(bid, stop.endpoint, mine, partial(exchange.price, bid), last=last)
        runner = Runner(self._client, exchange, stop, made, self._ends - exchange.loop.time())
        self._runners.append(runner)
        return runner

    async def _hedge(self, first: "Runner", call: Call) -> None:
        """Begins the second, where nothing speaks against it."""
        stop = await self._hedge_stop(first.stop.bid, call, done=first.task.done)
        if stop is not None:
            second = self._begin(stop, call)
            first.other, second.other = second, first

    async def _hedge_stop(self, first: Bid, call: Call, *, done: Callable[[], bool]) -> Stop | None:
        """Where the second goes; None where something speaks against it, or the first is done."""
        exchange, stop = self._exchange, self._itinerary.following()
        why = Hedge.NO_CANDIDATE if stop is None or stop.bid.stem else self._objection(first, stop, call)
        if stop is not None and why is None and (usage := stop.bid.target.provider.account.usage) is not None:
            if not await self._places.take(exchange, usage, stop.bid):
                why = Hedge.OWN_LIMIT
            elif done():
                usage.leave()
                return None
        if stop is None or why is not None:
            self._ledger.hedges[self._route.key, why or Hedge.NO_CANDIDATE] += 1
            return None
        self._itinerary.next()
        self._plan.budget.take(exchange.loop.time(), self._plan.share)
        return stop

    def _objection(self, first: Bid, stop: Stop, call: Call) -> Hedge | None:
        now, bid, grant = self._exchange.loop.time(), stop.bid, self._exchange.grant
        if (why := objection(self._plan, first, bid, stop.endpoint, now)) is not None:
            return why
        if not in_time(bid, stop.endpoint, call, now, self._ends - now):
            return Hedge.NO_TIME
        if not self._plan.budget.room(now, self._plan.share):
            return Hedge.SHARE
        if grant is not None and not grant.extend(bid.input + bid.output, bid.marginal, now):
            return Hedge.CONSUMER_LIMIT
        return None if self._route.retry_budget.take(now, self._route.retry_share) else Hedge.RETRY_BUDGET

    async def _first_good(self) -> tuple[Answer, Attempt] | None:
        running, refused = list(self._runners), None
        while running:
            await asyncio.wait([runner.task for runner in running], return_when=asyncio.FIRST_COMPLETED)
            for runner in [r for r in running if r.task.done()]:
                running.remove(runner)
                try:
                    answer = runner.task.result()
                except AttemptFailedError as failure:
                    self._failed(runner, failure)
                    continue
                except RequestError as refusal:
                    if runner is self._runners[0]:
                        raise
                    self._failed(runner, not_sent(refusal))
                    continue
                if running and runner is not self._runners[0] and isinstance(answer, Whole) and answer.status >= 400:
                    refused = runner  # that says nothing of the first, which may yet answer
                    continue
                return await self._won(runner, answer)
        if refused is not None:
            return await self._won(refused, refused.task.result())
        if len(self._runners) > 1:
            self._tell(Hedge.FAILED)
        return None

    async def _won(self, winner: "Runner", answer: Answer) -> tuple[Answer, Attempt]:
        exchange, stop = self._exchange, winner.stop
        for other in self._runners:
            if other is not winner and not other.settled:
                other.task.cancel()
                await asyncio.wait((other.task,))
                self._outpaced(other, first=other is self._runners[0])
        if len(self._runners) > 1:
            self._tell(Hedge.LOST if winner is self._runners[0] else Hedge.WON)
        winner.take_up()
        if isinstance(answer, Whole):
            winner.ended()  # a stream ends later
        exchange.limits = winner.made.limits
        exchange.answered(stop.bid, stop.endpoint, self._ledger)
        return answer, winner.made

    def _outpaced(self, other: "Runner", *, first: bool) -> None:
        """The other one is over: by us, by itself in the same moment, or with an answer that comes too late."""
        late = other.late()
        failure = None if other.task.cancelled() else other.task.exception()
        if isinstance(late, Whole) and late.status >= 400:
            failure = AttemptFailedError(f"status_{late.status}", "nobody wants its refusal", status=late.status)
        if isinstance(failure, AttemptFailedError):
            return self._failed(other, failure)
        other.take_up()
        other.ended()
        at = other.stop
        self._exchange.outpaced(at.bid, at.endpoint, other.spent(late), self._ledger, first=first)
        return None

    def _failed(self, runner: "Runner", failure: AttemptFailedError) -> None:
        runner.take_up()
        runner.ended()
        stop = runner.stop
        self._exchange.limits = runner.made.limits
        self._exchange.failed(stop.bid, stop.endpoint, failure, runner.made.spent, self._ledger)
        # as in failover: no cycle
        self._itinerary.failed(stop, failure.with_traceback(None), self._route.longest_wait)

    def _tell(self, outcome: Hedge) -> None:
        self._exchange.hedge = outcome
        self._ledger.hedges[self._route.key, outcome] += 1

    async def _abandon(self) -> None:
        """The client has gone, or something of ours is wrong: nothing may go on."""
        left = [runner for runner in reversed(self._runners) if not runner.settled]
        for runner in left:
            runner.task.cancel()
        for runner in left:  # the first one's times are what stays with the request
            await asyncio.wait((runner.task,))
            late = runner.late()
            runner.take_up()
            runner.ended()
            if (lost := runner.spent(late)) is not None:
                self._exchange.lose(runner.stop.bid, runner.stop.endpoint, Verdict.CLIENT_GONE, lost)
            self._exchange.release()


class Runner:
    """One of the attempts. It begins when it is made."""

    __slots__ = ("_exchange", "_under_way", "made", "other", "settled", "stop", "task")

    def __init__(self, client: UpstreamClient, exchange: Exchange, stop: Stop, made: Attempt, seconds: float):
        self._exchange, self.stop, self.made = exchange, stop, made
        made.price = self._price
        self.other: Runner | None = None
        self.settled = False
        """It is over, or has won: what it draws is with the request."""
        exchange.asks(stop.bid, stop.endpoint)
        stop.bid.target.provider.account.started()
        if exchange.trace is not None:
            made.traced = exchange.trace.headers()
        self._under_way = exchange.set_aside()
        self.task: asyncio.Task[Answer] = exchange.loop.create_task(_ask(client, made, seconds))

    def take_up(self) -> None:
        """The request turns to it: it is over, or has won."""
        self.settled = True
        self._exchange.take_up(self._under_way)

    def ended(self) -> None:
        """Its provider is no longer at work for it."""
        self.stop.bid.target.provider.account.ended()

    def late(self) -> Answer | None:
        """What it had to say when nobody wanted it any more; a stream's connection is closed."""
        if self.task.cancelled() or self.task.exception() is not None:
            return None
        answer = self.task.result()
        if isinstance(answer, Stream):
            answer.response.close()
        return answer

    def spent(self, late: Answer | None) -> Spent | None:
        """What it costs, now that nobody wants what it had to say (`late`)."""
        bid = self.stop.bid
        if isinstance(late, Stream):
            return spent.on_relayed(bid, late)
        if late is None or late.status >= 300:
            return self.made.spent
        return spent.on_read(bid, late.usage, late.estimate)

    def _price(self, usage: Usage) -> CostDetails:
        """What its stream tells the client. Before it is known who wins: if it is this one, the other is lost."""
        exchange, bid = self._exchange, self.stop.bid
        if self.settled:
            return exchange.price(bid, usage)
        exchange.draws, kept = self._under_way.draws, exchange.draws
        cost = exchange.price(bid, usage)
        self._under_way, exchange.draws = self._under_way._replace(draws=exchange.draws), kept
        other = self.other
        if other is None or other.settled:
            return cost
        return added(cost, price_details(other.stop.bid.charge, Usage(other.stop.bid.input, output=0)))


async def _ask(client: UpstreamClient, made: Attempt, seconds: float) -> Answer:
    with Guard(None, total_seconds=seconds) as guard:
        return await attempt(client, made, guard)
