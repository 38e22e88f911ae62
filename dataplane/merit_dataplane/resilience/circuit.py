"""The circuit of one model at one endpoint: a state machine without a clock of its own.

    closed --it looks broken--> open (5 s, doubling to 15 s) --> half open: one probe --success--> closed
                                                                             `--failure--> open, for longer

It looks broken after 5 failures in a row; when half of at least 20 calls of the last 15 to 30 s failed; or when half of
them took far longer than usual. A rate limit is no failure: see `account`. Times are `loop.time()` seconds.
"""

import random
from collections.abc import Callable
from enum import StrEnum

from merit_dataplane.resilience.pace import Pace

_FAILURES_TO_OPEN = 5
_WINDOW_SECONDS = 15.0
_ENOUGH_CALLS = 20
_SHARE_TO_OPEN = 0.5
_FIRST_OPEN_SECONDS = 5.0
_LONGEST_OPEN_SECONDS = 15.0
"""Who has recovered is back within so long and one request."""
_JITTER = 0.2
"""Taken off the time that it stays open, at most: pods that saw the same outage don't probe at once."""
_PROBE_SECONDS = 30.0
_SHUT_SECONDS = 60.0
_LEAST_PROBE_SECONDS = 3.0
_PROBE_TIMES_USUAL = 4.0


class Kind(StrEnum):
    """What a duration is of."""

    FIRST_ONE = "first token"
    EACH_ONE = "output token"


class Circuit:
    """State of one model at one endpoint. Whoever calls passes the time; nothing here waits."""

    __slots__ = (
        "_before", "_calls", "_draw", "_failed", "_failures", "_open_seconds", "_opened_at", "_paces", "_reason",
        "_slow", "_window", "open_until", "probe_until",
    )  # fmt: skip

    def __init__(self, draw: Callable[[], float] = random.random):
        self.open_until = 0.0
        """0 while it is closed."""
        self.probe_until = 0.0
        """A probe is under way, and believed to be until then."""
        self._draw = draw
        self._failures = 0
        self._open_seconds = _FIRST_OPEN_SECONDS
        self._opened_at = 0.0
        self._reason = ""
        self._window = 0.0
        self._calls = self._failed = self._slow = 0
        self._before = (0, 0, 0)
        """Calls, failures and slow calls of the window before this one."""
        self._paces: dict[Kind, Pace] = {}

    def unavailable(self, now: float) -> str:
        """Why it should not be tried now; empty when it may be."""
        if self.open_until:
            if now < self.open_until:
                return f"circuit open for {self.open_until - now:.0f} s more: {self._reason}"
            if now < self.probe_until:
                return "circuit half open, a probe is under way"
        return ""

    def started(self, now: float) -> None:
        """An attempt begins; with a half-open circuit it is the probe, and others wait for its outcome."""
        if self.open_until and now >= self.open_until:
            self.probe_until = now + _PROBE_SECONDS

    def abandoned(self) -> None:
        """The attempt ended without saying anything of the endpoint: its client went away."""
        self.probe_until = 0.0

    def patience(self, seconds: float) -> float:
        """How long to wait for the first sign of a probe, where `seconds` is what others may take."""
        if not self.open_until:
            return seconds
        pace = self._paces.get(Kind.FIRST_ONE)
        usual = pace.usual if pace is not None else None
        if usual is None:
            return max(_LEAST_PROBE_SECONDS, seconds / 2) if seconds > _LEAST_PROBE_SECONDS else seconds
        return min(seconds, max(_LEAST_PROBE_SECONDS, _PROBE_TIMES_USUAL * usual))

    def succeeded(self, now: float, began: float) -> None:
        """The answer to an attempt that began then is complete."""
        if now >= self._window:
            self._next_window(now)
        self._calls += 1
        self._failures = 0
        if self.open_until and began >= self._opened_at:  # an older one says how things were before they broke
            self._close()

    def answers(self, now: float, began: float, kind: Kind, seconds: float) -> None:
        """It took `seconds` for what `kind` says. Whether the answer reaches its end is another matter."""
        if self.open_until:
            if began < self._opened_at:
                return
            self._close()
        pace = self._paces.get(kind)
        if pace is None:
            pace = self._paces[kind] = Pace()
        if pace.observe(seconds):
            if now >= self._window:
                self._next_window(now)
            self._slow += 1
            if self._share(self._slow, self._before[2]):
                self._open(now, f"half of its answers are far slower than usual ({seconds:.1f} s per {kind})")

    def failed(self, now: float) -> None:
        """The endpoint erred or kept silent."""
        if now >= self._window:
            self._next_window(now)
        self._calls += 1
        self._failed += 1
        self._failures += 1
        if self.open_until:
            if now < self.open_until:
                return  # an attempt from before it opened says nothing new
            self._open_seconds = min(_LONGEST_OPEN_SECONDS, self._open_seconds * 2)
            self._open(now, "the probe failed")
        elif self._failures >= _FAILURES_TO_OPEN:
            self._open(now, f"{self._failures} failures in a row")
        elif self._share(self._failed, self._before[1]):
            self._open(now, "half of its answers are failures")

    def shut(self, now: float, reason: str) -> None:
        """It said what another try won't change soon: it doesn't know the model, or doesn't let us use it."""
        self._reason, self._opened_at = reason, now
        self.open_until, self.probe_until = now + _SHUT_SECONDS, 0.0

    def _open(self, now: float, reason: str) -> None:
        self._reason, self._opened_at = reason, now
        self.open_until = now + self._open_seconds * (1 - _JITTER * self._draw())
        self.probe_until = 0.0

    def _close(self) -> None:
        self.open_until = self.probe_until = 0.0
        self._open_seconds = _FIRST_OPEN_SECONDS
        self._calls, self._failed, self._slow, self._before = 0, 0, 0, (0, 0, 0)

    def _share(self, bad: int, before: int) -> bool:
        calls = self._calls + self._before[0]
        return calls >= _ENOUGH_CALLS and bad + before >= calls * _SHARE_TO_OPEN

    def _next_window(self, now: float) -> None:
        fresh = now < self._window + _WINDOW_SECONDS
        self._before = (self._calls, self._failed, self._slow) if fresh else (0, 0, 0)
        self._calls = self._failed = self._slow = 0
        self._window = now + _WINDOW_SECONDS
