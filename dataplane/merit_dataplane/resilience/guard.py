"""Ends a request's task when its client goes away or one of its time limits passes.

One timer per request, however many limits it goes through: a limit only moves the due time, and the timer looks at it
when it fires. Watching for the client costs a task, so it starts when the request has lasted a little.
"""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from enum import StrEnum
from typing import Any

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
_WATCH_AFTER_SECONDS = 0.03


class Verdict(StrEnum):
    """Why a task was ended."""

    CLIENT_GONE = "client_gone"
    FIRST_BYTE = "first_byte_timeout"
    FIRST_TOKEN = "first_token_timeout"  # noqa: S105 # of an answer
    IDLE = "idle_timeout"
    TOTAL = "total_timeout"


class Guard:
    """For the current task. Use as a context manager around the whole request.

    Without `receive` nobody watches for the client: for one attempt of several, in a task of its own.
    """

    __slots__ = (
        "_deadline",
        "_due",
        "_kind",
        "_loop",
        "_task",
        "_timer",
        "_watch_timer",
        "_watcher",
        "verdict",
    )

    def __init__(self, receive: Receive | None, *, total_seconds: float):
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()
        self._deadline = self._due = self._loop.time() + total_seconds
        self._kind = Verdict.TOTAL
        self._timer: asyncio.TimerHandle | None = None
        self._watcher: asyncio.Task[None] | None = None
        self._watch_timer = (
            self._loop.call_later(_WATCH_AFTER_SECONDS, self._watch, receive) if receive is not None else None
        )
        self.verdict: Verdict | None = None

    def __enter__(self) -> "Guard":
        return self

    def __exit__(self, *_: object) -> None:
        self.unwatch()
        if self._timer is not None:
            self._timer.cancel()

    def unwatch(self) -> None:
        """The answer is complete: from now on the client's going away ends nothing."""
        if self._watch_timer is not None:
            self._watch_timer.cancel()
        if self._watcher is not None:
            self._watcher.cancel()
            self._watcher = None  # its coroutine holds this guard: no cycle may be left to the garbage collector

    def remaining(self) -> float:
        """Seconds until the whole request's limit."""
        return self._deadline - self._loop.time()

    def extend(self, seconds: float) -> None:
        """The whole request's limit is this long from now."""
        self._deadline = self._loop.time() + seconds

    def limit(self, seconds: float, kind: Verdict) -> None:
        """From now on the task must call this again, or end, within `seconds`."""
        due = self._loop.time() + seconds
        self._due, self._kind = (due, kind) if due < self._deadline else (self._deadline, Verdict.TOTAL)
        if self._timer is None or self._due < self._timer.when():
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self._loop.call_at(self._due, self._tick)

    def forgive(self) -> Verdict:
        """After a CancelledError of ours: takes it back and says why. Re-raises one that isn't ours."""
        verdict, self.verdict = self.verdict, None
        if verdict is None or self._task is None:
            raise asyncio.CancelledError
        self._task.uncancel()
        return verdict

    def _end(self, verdict: Verdict) -> None:
        if self.verdict is None and self._task is not None:
            self.verdict = verdict
            self._task.cancel()

    def _tick(self) -> None:
        if self._loop.time() >= self._due:
            self._timer = None
            self._end(self._kind)
        else:
            self._timer = self._loop.call_at(self._due, self._tick)

    def _watch(self, receive: Receive) -> None:
        self._watcher = self._loop.create_task(self._wait_for_disconnect(receive))

    async def _wait_for_disconnect(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._end(Verdict.CLIENT_GONE)
