"""When Redis is no longer asked. Pure: it is told what happened, and what time it is."""

_IN_A_ROW = 5
_OF = 32
_MOST_OF = 16
_ROW = (1 << _IN_A_ROW) - 1
_ALL = (1 << _OF) - 1


class Breaker:
    """Open at first: nothing is known yet. Whoever probes closes it."""

    __slots__ = ("_recent", "open", "reason", "since")

    def __init__(self, now: float):
        self.open = True
        self.reason = "starting"
        """Why it is open, or was last."""
        self.since = now
        """When it opened or closed last; `loop.time()` seconds."""
        self._recent = 0
        """The newest outcomes, one bit each: 1 is a failure, the lowest bit is the last."""

    def succeeded(self) -> None:
        """A command was answered in time."""
        if self._recent:
            self._recent = self._recent << 1 & _ALL

    def failed(self, reason: str, now: float) -> bool:
        """A command failed. True when that opened it."""
        recent = self._recent = (self._recent << 1 | 1) & _ALL
        if recent & _ROW == _ROW or recent.bit_count() >= _MOST_OF:
            return self.trip(reason, now)
        return False

    def trip(self, reason: str, now: float) -> bool:
        """Opens it. False when it was open."""
        if self.open:
            return False
        self.open, self.reason, self.since = True, reason, now
        return True

    def close(self, now: float) -> bool:
        """All is well again. False when it was closed."""
        self._recent = 0
        if not self.open:
            return False
        self.open, self.since = False, now
        return True
