"""The circuit of one model at one endpoint: a state machine without a clock of its own.

    closed --it looks broken--> open (5 s, doubling to 15 s) --> half open: one probe --success--> closed
                                                                             `--failure--> open, for longer

It looks broken after 5 failures in a row; when half of at least 20 calls of the last 15 to 30 s failed; or when half of
them took far longer than usual. A rate limit is no failure: see `account`. Times are `loop.time()` seconds.

Where pods share what they know (`shared_health`), it also hears of the other pods' circuits. Its own fresh success
weighs more than their word: then their word makes it suspicious, and the first failure of its own opens it.
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
_FRESH_SECONDS = 5.0
"""For so long a success of its own weighs more than what others say."""
_LONGEST_HEARD_SECONDS = 60.0


class Kind(StrEnum):
    """What a duration is of."""

    FIRST_ONE = "first token"
    EACH_ONE = "output token"


class Evidence(StrEnum):
    """What it opened on."""

    TOLD = "told"
    """The endpoint itself said it: a status, an error event."""
    SILENCE = "silence"
    """Nothing came, or too slowly, or not to its end: that may be this pod's own network."""
    OTHERS = "others"
    """The word of other pods."""


Place = tuple[tuple[str, str, str], str]
"""(provider, endpoint, URL), model."""


class Circuit:
    """State of one model at one endpoint. Whoever calls passes the time; nothing here waits."""

    __slots__ = (
        "_before", "_calls", "_draw", "_failed", "_failures", "_news", "_open_seconds", "_opened_at", "_paces",
        "_reason", "_slow", "_succeeded_at", "_suspect_until", "_told", "_told_calls", "_window", "evidence",
        "leave_until", "led_until", "open_until", "place", "probe_until", "wanted_at",
    )  # fmt: skip

    def __init__(
        self,
        draw: Callable[[], float] = random.random,
        *,
        place: Place | None = None,
        news: "Callable[[Circuit], None] | None" = None,
    ):
        self.place, self._news = place, news
        """Whose it is, and who is told when it opens by what this pod saw, or closes."""
        self.evidence = Evidence.TOLD
        self.wanted_at = 0.0
        """When a request last met it open."""
        self.led_until = self.leave_until = 0.0
        """Until then a probe needs leave, since other pods may be probing; until then it has it."""
        self._succeeded_at = -_FRESH_SECONDS
        self._suspect_until = 0.0
        self._told = self._told_calls = 0
        """Failures in a row, and of this window, that the endpoint told itself."""
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
        self._before = (0, 0, 0, 0)
        """Calls, failures, slow calls and told failures of the window before this one."""
        self._paces: dict[Kind, Pace] = {}

    def unavailable(self, now: float) -> str:
        """Why it should not be tried now; empty when it may be."""
        if self.open_until:
            self.wanted_at = now
            if now < self.open_until:
                return f"circuit open for {self.open_until - now:.0f} s more: {self._reason}"
            if now < self.probe_until:
                return "circuit half open, a probe is under way"
            if self.leave_until <= now < self.led_until:
                return "circuit half open, one pod at a time probes it"
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
        self._failures = self._told = 0
        self._succeeded_at = now
        if self.open_until and began >= self._opened_at:  # an older one says how things were before they broke
            self._close()

    def answers(self, now: float, began: float, kind: Kind, seconds: float) -> None:
        """It took `seconds` for what `kind` says. Whether the answer reaches its end is another matter."""
        if self.open_until:
            if began < self._opened_at:
                return
            self._close()
        self._succeeded_at = now
        pace = self._paces.get(kind)
        if pace is None:
            pace = self._paces[kind] = Pace()
        if pace.observe(seconds):
            if now >= self._window:
                self._next_window(now)
            self._slow += 1
            if self._share(self._slow, self._before[2]):
                reason = f"half of its answers are far slower than usual ({seconds:.1f} s per {kind})"
                self._open(now, reason, Evidence.SILENCE)

    def failed(self, now: float, *, told: bool = False) -> None:
        """The endpoint erred or kept silent. `told`: it said so itself."""
        if now >= self._window:
            self._next_window(now)
        self._calls += 1
        self._failed += 1
        self._failures += 1
        self._told = self._told + 1 if told else 0
        self._told_calls += told
        if self.open_until:
            if now < self.open_until:
                return  # an attempt from before it opened says nothing new
            self._open_seconds = min(_LONGEST_OPEN_SECONDS, self._open_seconds * 2)
            self._open(now, "the probe failed", _evidence(told))
        elif self._failures >= _FAILURES_TO_OPEN:
            self._open(now, f"{self._failures} failures in a row", _evidence(self._told >= _FAILURES_TO_OPEN))
        elif self._share(self._failed, self._before[1]):
            told = self._share(self._told_calls, self._before[3])
            self._open(now, "half of its answers are failures", _evidence(told))
        elif now < self._suspect_until:
            self._open(now, "a failure, as other pods had", _evidence(told))

    def shut(self, now: float, reason: str) -> None:
        """It said what another try won't change soon: it doesn't know the model, or doesn't let us use it."""
        self._set(now, now + _SHUT_SECONDS, reason, Evidence.TOLD)

    # ---- what other pods say

    def heard(self, now: float, seconds: float, reason: str) -> bool:
        """Others' circuits are open for `seconds` more. Whether that is believed: else it makes suspicious."""
        until = now + min(seconds, _LONGEST_HEARD_SECONDS)
        if not self.open_until and self.fresh(now):
            self.suspect(now, seconds)
            return False
        if until <= self.open_until:
            return False
        if self.open_until:
            self.open_until, self.probe_until = until, 0.0  # somebody's probe has failed
        else:
            self._set(now, until, f"{reason}, by the word of other pods", Evidence.OTHERS)
        return True

    def suspect(self, now: float, seconds: float) -> None:
        """Others have trouble that may be their own: for `seconds` the first failure here is enough."""
        self._suspect_until = now + min(seconds, _LONGEST_HEARD_SECONDS)

    def recovered(self, now: float) -> None:
        """Another pod had an answer. What this pod saw itself is probed at once, a word of others is taken back."""
        self._suspect_until = 0.0
        if self.open_until and self.evidence is Evidence.OTHERS:
            self._reset()
        elif self.open_until:
            self.open_until, self.leave_until = min(self.open_until, now), now + _PROBE_SECONDS

    # ---- its states

    def fresh(self, now: float) -> bool:
        """Whether it has had a success of its own a moment ago."""
        return now < self._succeeded_at + _FRESH_SECONDS

    @property
    def reason(self) -> str:
        """Why it opened last."""
        return self._reason

    def _open(self, now: float, reason: str, evidence: Evidence) -> None:
        self._set(now, now + self._open_seconds * (1 - _JITTER * self._draw()), reason, evidence)

    def _set(self, now: float, until: float, reason: str, evidence: Evidence) -> None:
        self._reason, self._opened_at, self.evidence = reason, now, evidence
        self.open_until, self.probe_until, self.leave_until, self._suspect_until = until, 0.0, 0.0, 0.0
        if self._news is not None and evidence is not Evidence.OTHERS:
            self._news(self)

    def _close(self) -> None:
        self._reset()
        if self._news is not None:
            self._news(self)

    def _reset(self) -> None:
        self.open_until = self.probe_until = self.leave_until = 0.0
        self._open_seconds = _FIRST_OPEN_SECONDS
        self._calls, self._failed, self._slow, self._told_calls, self._before = 0, 0, 0, 0, (0, 0, 0, 0)

    def _share(self, bad: int, before: int) -> bool:
        calls = self._calls + self._before[0]
        return calls >= _ENOUGH_CALLS and bad + before >= calls * _SHARE_TO_OPEN

    def _next_window(self, now: float) -> None:
        fresh = now < self._window + _WINDOW_SECONDS
        self._before = (self._calls, self._failed, self._slow, self._told_calls) if fresh else (0, 0, 0, 0)
        self._calls = self._failed = self._slow = self._told_calls = 0
        self._window = now + _WINDOW_SECONDS


def _evidence(told: bool) -> Evidence:
    return Evidence.TOLD if told else Evidence.SILENCE
