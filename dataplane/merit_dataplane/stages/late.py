"""A whole answer that is late gets a hedge on every route, while it may still come: nobody knows whether it will.

Unlike `race` this costs a request nothing but a due time: its attempt runs in its own task as ever, and only a timer
that fires begins the second one. When that answers first, the timer's word ends the first.
"""

import asyncio

from merit_dataplane.dispatch.hedge import Hedge, late_after
from merit_dataplane.exchange import Exchange
from merit_dataplane.resilience.guard import Guard, Verdict
from merit_dataplane.snapshots.tables import RoutePlan
from merit_dataplane.stages.itinerary import Itinerary, Stop
from merit_dataplane.stages.race import LEEWAY_SECONDS, Answer, Parts, Race, Runner, not_sent
from merit_dataplane.upstream.attempt import Attempt, AttemptFailedError, Whole
from merit_dataplane.wire.errors import RequestError
from merit_dataplane.wire.openai_request import Call

_AS_GOOD_AS_NOW_SECONDS = 0.001


class LateHedge(Race):
    """Of one attempt of one request. Made when the attempt has lasted unusually long, or may soon have."""

    def __init__(  # noqa: PLR0917 # the stages' own order
        self,
        parts: Parts,
        exchange: Exchange,
        itinerary: Itinerary,
        route: RoutePlan,
        stop: Stop,
        call: Call,
        guard: Guard,
    ):
        super().__init__(parts, exchange, itinerary, route, route.hedging or route.late)
        self._stop, self._call, self._guard = stop, call, guard
        self._beginning: asyncio.Task[None] | None = None
        self._over = False
        exchange.late = self
        self._late()

    async def first_answered(self) -> None:
        """The second is not wanted any more."""
        self._end()
        if self._beginning is None:
            return
        try:
            await self._forgiven()
            if (runner := await self._second()) is None:
                return
            runner.task.cancel()
            await asyncio.wait((runner.task,))
        except BaseException:
            await self.abandon()
            raise
        first = self._exchange.set_aside()
        self._outpaced(runner, first=False)
        self._tell(Hedge.LOST)
        self._exchange.take_up(first)

    async def second_answer(self) -> tuple[Answer, Attempt] | None:
        """The first gave nothing, or was late: what the second says; None where there is none, or it failed too."""
        self._end()
        await self._forgiven()
        if self._beginning is None:
            return None
        left = self._guard.remaining()
        self._guard.extend(left + LEEWAY_SECONDS)
        self._guard.limit(self._guard.remaining(), Verdict.TOTAL)
        ends = self._exchange.loop.time() + left
        try:
            await asyncio.wait((self._beginning,))
            if not self._runners:
                return None
            runner = self._runners[0]
            await asyncio.wait((runner.task,))
            try:
                answer = runner.task.result()
            except AttemptFailedError as failure:
                self._failed(runner, failure)
            except RequestError as refusal:
                self._failed(runner, not_sent(refusal))
            else:
                self._tell(Hedge.WON)
                return await self._won(runner, answer)
            self._tell(Hedge.FAILED)
            return None
        except BaseException:
            await self.abandon()
            raise
        finally:
            self._guard.extend(ends - self._exchange.loop.time())

    async def abandon(self) -> None:
        """The client has gone."""
        self._end()
        await self._second()
        first = self._exchange.set_aside()
        await self._abandon()
        self._exchange.take_up(first)

    def _end(self) -> None:
        self._over, self._exchange.late = True, None
        self._guard.never_mind()

    async def _second(self) -> Runner | None:
        """The second attempt, if one is under way."""
        if self._beginning is not None and not self._beginning.done():
            self._beginning.cancel()
            await asyncio.wait((self._beginning,))
        return next((runner for runner in self._runners if not runner.settled), None)

    def _late(self) -> None:
        """The timer's: it is unusual that the first has not answered yet, or soon will be."""
        exchange, now = self._exchange, self._exchange.loop.time()
        rest = late_after(self._stop.bid, self._stop.endpoint, self._call, now) - (now - exchange.attempted)
        if rest > _AS_GOOD_AS_NOW_SECONDS:
            self._guard.later(rest, self._late)
        elif not self._over:
            self._ends = now + self._guard.remaining()
            self._beginning = exchange.loop.create_task(self._begin_second())

    async def _begin_second(self) -> None:
        stop = await self._hedge_stop(self._stop.bid, self._call, done=lambda: self._over)
        if stop is None:
            return
        first = self._exchange.set_aside()
        runner = self._begin(stop, self._call)
        self._exchange.take_up(first)
        runner.task.add_done_callback(self._answered)

    def _answered(self, task: asyncio.Task[Answer]) -> None:
        if self._over or task.cancelled() or task.exception() is not None:
            return
        answer = task.result()
        if not isinstance(answer, Whole) or answer.status < 400:
            self._guard.outpaced()

    async def _forgiven(self) -> None:
        """Both were over in the same moment: the word that ends the first comes too late."""
        if self._guard.verdict is Verdict.OUTPACED:
            try:
                await asyncio.sleep(0)
            except asyncio.CancelledError:
                self._guard.forgive()
