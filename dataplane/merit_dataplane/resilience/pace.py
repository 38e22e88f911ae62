"""How long an endpoint usually takes with a model, so that what takes much longer stands out."""

_ENOUGH = 20
"""Calls before anything is usual."""
_TIMES_USUAL = 8.0
_LEAST_SLOW_SECONDS = 1.0
"""Nobody is slow below this, whatever is usual."""
_WEIGHT = 0.02
_MOST_AT_ONCE = 2.0
"""How many times as long as usual a call counts at most: a new normal is learned, an outage isn't."""


class Pace:
    """A slow mean of one kind of duration, in seconds."""

    __slots__ = ("_seen", "_usual")

    def __init__(self) -> None:
        self._seen = 0
        self._usual = 0.0

    @property
    def usual(self) -> float | None:
        """Seconds; None while too few calls are known."""
        return self._usual if self._seen >= _ENOUGH else None

    def observe(self, seconds: float) -> bool:
        """A call took this long. Whether that is an outlier."""
        if self._seen < _ENOUGH:
            self._seen += 1
            self._usual += (seconds - self._usual) / self._seen
            return False
        usual = self._usual
        self._usual += _WEIGHT * (min(seconds, _MOST_AT_ONCE * usual) - usual)
        return seconds > _LEAST_SLOW_SECONDS and seconds > _TIMES_USUAL * usual
