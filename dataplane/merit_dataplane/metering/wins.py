"""Which candidates of a tier have been first in its merit order lately: what hysteresis and ramps go by.

Times are `loop.time()` seconds. A candidate is **established** when it may take all requests for which it is first.
Requests differ in length, so several candidates of a tier may be first in turn: being established is each one's own.
"""

from dataclasses import dataclass

Name = tuple[str, str]
"""provider, model."""
_SETTLING = 100
"""Requests of a tier from its beginning whose winners are established at once: a new pod knows nothing of before."""
_LAPSE = 1000
"""Requests in a row that an established candidate may lose, in at least the ramp's time, before it rises anew."""


@dataclass(slots=True)
class _Win:
    since: float
    at: float
    count: int


class Wins:
    """Of one tier of one route."""

    __slots__ = ("_count", "_wins", "first")

    def __init__(self) -> None:
        self.first: Name | None = None
        """Who was first for the last request."""
        self._count = 0
        self._wins: dict[Name, _Win] = {}

    def share(self, name: Name, ramp: float, now: float) -> float:
        """Of the requests for which it is first, those that it may take: 0 to 1. `ramp` in seconds."""
        if ramp <= 0 or self._count < _SETTLING:
            return 1.0
        win = self._wins.get(name)
        return 0.0 if win is None or self._lapsed(win, ramp, now) else min(1.0, (now - win.since) / ramp)

    def won(self, name: Name, ramp: float, now: float) -> None:
        """It was first for a request, whoever took it."""
        win = self._wins.get(name)
        if win is None:
            win = self._wins[name] = _Win(now - ramp if self._count < _SETTLING else now, now, 0)
        elif self._lapsed(win, ramp, now):
            win.since = now
        win.at, win.count = now, self._count
        self._count += 1
        self.first = name

    def _lapsed(self, win: _Win, ramp: float, now: float) -> bool:
        return self._count - win.count > _LAPSE and now - win.at > ramp
