"""Latency as decaying quantiles: a histogram with buckets 15 % apart whose counts halve every minute."""

import math

_RATIO = math.log(1.15)
_BUCKETS = 96
_SMALLEST_SECONDS = 0.001
_HALF_LIFE_SECONDS = 60.0
_ENOUGH = 20.0
"""Decayed observations below which a quantile is not known."""


class Latency:
    """One kind of latency of one candidate, in seconds."""

    __slots__ = ("_cached", "_counts", "_decayed_at", "_total")

    def __init__(self) -> None:
        self._counts: list[float] = []  # made by the first observation: most candidates of 40,000 never have one
        self._total = 0.0
        self._decayed_at = 0.0
        self._cached: tuple[float, int, float | None] = (-1.0, 0, None)

    def observe(self, seconds: float, now: float) -> None:
        """A request took this long. `now`: `loop.time()`."""
        if not self._counts:
            self._counts = [0.0] * _BUCKETS
        if now - self._decayed_at > _HALF_LIFE_SECONDS / 4:
            self._decay(now)
        index = int(math.log(max(seconds, _SMALLEST_SECONDS) / _SMALLEST_SECONDS) / _RATIO)
        self._counts[min(index, _BUCKETS - 1)] += 1.0
        self._total += 1.0

    def quantile(self, percent: int, now: float) -> float | None:
        """Upper bound of the bucket that holds the percentile, in seconds; None while too little is known."""
        at, of, value = self._cached
        if of == percent and now - at < 1.0:
            return value
        if now - self._decayed_at > _HALF_LIFE_SECONDS / 4:
            self._decay(now)
        value = self._find(percent)
        self._cached = (now, percent, value)
        return value

    def _find(self, percent: int) -> float | None:
        if self._total < _ENOUGH:
            return None
        wanted, seen = self._total * percent / 100, 0.0
        for index, count in enumerate(self._counts):
            seen += count
            if seen >= wanted:
                return _SMALLEST_SECONDS * math.exp(_RATIO * (index + 1))
        return None

    def _decay(self, now: float) -> None:
        factor = 0.5 ** ((now - self._decayed_at) / _HALF_LIFE_SECONDS) if self._decayed_at else 1.0
        self._counts = [c * factor for c in self._counts]
        self._total = sum(self._counts)
        self._decayed_at = now
