"""Turns while the event loop is late.

A pod is one core. When more is asked of it than that, every request becomes slower, until none is answered in time. So
once timers of the loop come late, requests wait for their turn instead: one queue per consumer, served in rotation, so
that who asks a hundred times as much waits by itself. As many may begin in each tick as leave the loop punctual. Who
has waited for a second, or finds the queues full, gets 503 and `Retry-After`: the next pod or second is better.

While the loop is punctual a request pays for one look at `late`.
"""

import asyncio
from collections import deque

from merit_dataplane.observability.ledger import Ledger
from merit_dataplane.wire.errors import RequestError

_TICK_SECONDS = 0.01
_IDLE_TICK_SECONDS = 0.05
_LATE_SECONDS = 0.25
_LATE_TICKS = 3
"""So many in a row: one long step, such as a new snapshot's, is no overload."""
_PUNCTUAL_SECONDS = 0.1
_CALM_TICKS = 50
_MOST_WAITING = 1024
_LONGEST_WAIT_SECONDS = 1.0
_FEWEST, _MOST_BEGIN = 1.0, 64.0


class Turns:
    """Of one process. Needs `start`, then `close`."""

    def __init__(self, ledger: Ledger):
        self.late = False
        """Whether a request has to wait for its turn."""
        self.lag = 0.0
        """Seconds by which the newest tick was late."""
        self.waiting = 0
        self._ledger = ledger
        self._queues: dict[str, deque[tuple[float, asyncio.Future[None]]]] = {}
        self._turn: deque[str] = deque()
        self._begin = 8.0
        """Requests that may begin in a tick."""
        self._late_ticks = self._calm_ticks = 0
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Watches the loop from now on."""
        self._due(_IDLE_TICK_SECONDS)

    def close(self) -> None:
        """Lets everybody go."""
        if self._timer is not None:
            self._timer.cancel()
        self.late = False
        self._release(self.waiting)

    async def enter(self, consumer: str) -> None:
        """Waits for a turn. Raises RequestError (503)."""
        loop = asyncio.get_running_loop()
        queue = self._queues.get(consumer)
        if queue is None:
            queue = self._queues[consumer] = deque()
            self._turn.append(consumer)
        if self.waiting >= _MOST_WAITING:
            longest = max(self._queues.values(), key=len)
            if len(longest) <= len(queue) + 1:
                raise self._shed("queue_full")
            self._refuse(longest.pop()[1], "queue_full")  # the newest of who has most
        future: asyncio.Future[None] = loop.create_future()
        queue.append((loop.time() + _LONGEST_WAIT_SECONDS, future))
        self.waiting += 1
        try:
            await future
        except asyncio.CancelledError:
            if not future.done() or future.cancelled():
                self._forget(consumer, future)
            raise

    # ---- the clock

    def _due(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time() + seconds
        self._timer = loop.call_at(due, self._tick, due)

    def _tick(self, due: float) -> None:
        now = asyncio.get_running_loop().time()
        self.ticked(now - due, now)
        self._due(_TICK_SECONDS if self.late else _IDLE_TICK_SECONDS)

    def ticked(self, lag: float, now: float) -> None:
        """A tick came so many seconds late."""
        self.lag = lag
        if not self.late:
            self._late_ticks = self._late_ticks + 1 if lag > _LATE_SECONDS else 0
            if self._late_ticks >= _LATE_TICKS:
                self.late, self._late_ticks, self._calm_ticks = True, 0, 0
            return
        if lag > _PUNCTUAL_SECONDS:
            self._begin = max(_FEWEST, self._begin / 2)
        else:
            self._begin = min(_MOST_BEGIN, self._begin + 1)
        self._expire(now)
        self._release(int(self._begin))
        calm = not self.waiting and lag <= _PUNCTUAL_SECONDS
        self._calm_ticks = self._calm_ticks + 1 if calm else 0
        if self._calm_ticks >= _CALM_TICKS:
            self.late, self._begin = False, 8.0

    # ---- the queues

    def _release(self, number: int) -> None:
        """Consumers in rotation, one request each."""
        while number > 0 and self._turn:
            consumer = self._turn.popleft()
            queue = self._queues[consumer]
            if queue:
                _, future = queue.popleft()
                self.waiting -= 1
                if not future.done():
                    future.set_result(None)
                    number -= 1
            if queue:
                self._turn.append(consumer)
            else:
                del self._queues[consumer]

    def _expire(self, now: float) -> None:
        for queue in self._queues.values():
            while queue and queue[0][0] <= now:
                self._refuse(queue.popleft()[1], "waited")

    def _refuse(self, future: asyncio.Future[None], reason: str) -> None:
        self.waiting -= 1
        if not future.done():
            future.set_exception(self._shed(reason))

    def _forget(self, consumer: str, future: asyncio.Future[None]) -> None:
        queue = self._queues.get(consumer, deque())
        for entry in queue:
            if entry[1] is future:
                queue.remove(entry)
                self.waiting -= 1
                return

    def _shed(self, reason: str) -> RequestError:
        self._ledger.shed[reason] += 1
        return overloaded()


def overloaded() -> RequestError:
    """503: another pod, or this one in a second."""
    return RequestError(
        503,
        "This pod has more to do than it can. Try again in a second.",
        kind="server_error",
        code="overloaded",
        headers=((b"retry-after", b"1"),),
    )
