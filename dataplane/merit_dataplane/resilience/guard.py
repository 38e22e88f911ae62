"""Ends a request's task when its client goes away or one of its time limits passes.

One timer per request, however many limits it goes through: a limit only moves the due time, and the timer looks at it
when it fires. Watching for the client costs a task, so it starts when the request has lasted a little; until then the
timer is set for that.
"""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from enum import StrEnum
from math import inf
from typing import Any

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
_WATCH_AFTER_SECONDS = 0.03
CLIENT_STALL_SECONDS = 60.0
"""How long a client may leave unread what is sent to it."""


class Verdict(StrEnum):
    """Why a task was ended."""

    CLIENT_GONE = "client_gone"
    FIRST_BYTE = "first_byte_timeout"
    FIRST_TOKEN = "first_token_timeout"  # noqa: S105 # of an answer
    IDLE = "idle_timeout"
    TOTAL = "total_timeout"
    OUTPACED = "outpaced"


class Guard:
    """For the current task. Use as a context manager around the whole request.

    Without `receive` nobody watches for the client: for one attempt of several, in a task of its own.
    """

    __slots__ = (
        "_at", "_deadline", "_due", "_kind", "_loop", "_receive", "_soon", "_soon_at", "_task", "_timer", "_watch_at",
        "_watcher", "sending", "verdict",
    )  # fmt: skip

    def __init__(self, receive: Receive | None, *, total_seconds: float):
        self._loop = loop = asyncio.get_running_loop()
        now = loop.time()
        self._task = asyncio.current_task(loop)
        self._deadline = self._due = now + total_seconds
        self._kind = Verdict.TOTAL
        self._receive, self._watch_at = receive, now + _WATCH_AFTER_SECONDS
        """None once its client is watched for, or need not be."""
        self._timer: asyncio.TimerHandle | None = None
        self._at = inf
        """When the timer fires."""
        self._watcher: asyncio.Task[None] | None = None
        self._soon: Callable[[], object] | None = None
        self._soon_at = 0.0
        self.verdict: Verdict | None = None
        self.sending = False
        """The task waits for the client, not for a provider: a limit that passes then is none of the provider's."""
        if receive is not None:
            self._set(self._watch_at)

    def __enter__(self) -> "Guard":
        return self

    def __exit__(self, *_: object) -> None:
        self._receive = self._soon = None
        if self._watcher is not None:
            self.unwatch()
        if self._timer is not None:
            self._timer.cancel()

    def unwatch(self) -> None:
        """The answer is complete: from now on the client's going away ends nothing."""
        self._receive = None
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
        self.until(self._loop.time() + seconds, kind)

    def until(self, due: float, kind: Verdict) -> None:
        """The same, for a `loop.time()`."""
        if due < self._deadline:
            self._due, self._kind = due, kind
        else:
            self._due = due = self._deadline
            self._kind = Verdict.TOTAL
        if due < self._at:
            self._set(due)

    def later(self, seconds: float, then: Callable[[], object]) -> None:
        """Calls `then` once, in so many seconds, whatever the limit is."""
        self._soon, self._soon_at = then, self._loop.time() + seconds
        if self._soon_at < self._at:
            self._set(self._soon_at)

    def never_mind(self) -> None:
        """Takes back what was to be called later."""
        self._soon = None

    def outpaced(self) -> None:
        """What the task waits for is not wanted any more: another attempt has answered."""
        self._end(Verdict.OUTPACED)

    def _set(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._at, self._timer = when, self._loop.call_at(when, self._tick)

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
        self._timer, self._at, now = None, inf, self._loop.time()
        if self._receive is not None and now >= self._watch_at:
            self._watcher = self._loop.create_task(self._wait_for_disconnect(self._receive))
            self._receive = None
        if self._soon is not None and now >= self._soon_at:
            then, self._soon = self._soon, None
            then()
        if now >= self._due:
            if not self.sending or self._kind is Verdict.CLIENT_GONE:
                self._end(self._kind)
                return
            self._due, self._kind = now + CLIENT_STALL_SECONDS, Verdict.CLIENT_GONE
        when = self._due if self._soon is None else min(self._due, self._soon_at)
        self._set(when if self._receive is None else min(when, self._watch_at))

    async def _wait_for_disconnect(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._end(Verdict.CLIENT_GONE)
