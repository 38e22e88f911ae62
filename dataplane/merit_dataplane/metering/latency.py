"""Latency as decaying quantiles: a histogram with buckets 15 % apart whose counts halve every minute.

Where too few are left to know a quantile, what was known last is remembered, and new observations count from zero,
undecayed until there are enough: with little traffic a quantile is of the last 20.
"""

import math

_RATIO = math.log(1.15)
_BUCKETS = 96
_SMALLEST_SECONDS = 0.001
_LONGEST_SECONDS = _SMALLEST_SECONDS * math.exp(_RATIO * _BUCKETS)
_HALF_LIFE_SECONDS = 60.0
_PERCENTILES = (50, 90, 95, 99)
"""Those of an objective."""
_ENOUGH = 20.0
"""Decayed observations below which a quantile is not known."""


class Latency:
    """One kind of latency of one candidate, in seconds."""

    __slots__ = ("_cached", "_counts", "_decayed_at", "_remembered", "_total", "observed_at")

    def __init__(self) -> None:
        self._counts: list[float] = []  # made by the first observation: most candidates of 40,000 never have one
        self._total = 0.0
        self._decayed_at = 0.0
        self._cached: tuple[float, int, float | None] = (-1.0, 0, None)
        self._remembered: dict[int, float] = {}
        self.observed_at = 0.0
        """`loop.time()` of the last observation; 0 before the first."""

    def observe(self, seconds: float, now: float) -> None:
        """A request took this long. `now`: `loop.time()`."""
        if not self._counts:
            self._counts = [0.0] * _BUCKETS
        if now - self._decayed_at > _HALF_LIFE_SECONDS / 4:
            self._decay(now)
        self.observed_at = now
        index = int(math.log(seconds / _SMALLEST_SECONDS) / _RATIO) if seconds > _SMALLEST_SECONDS else 0
        self._counts[index if index < _BUCKETS else -1] += 1.0
        self._total += 1.0

    def never(self, now: float) -> None:
        """A request timed out: it counts as longer than any other."""
        self.observe(_LONGEST_SECONDS, now)

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

    def remembered(self, percent: int) -> float | None:
        """The quantile as it was when it was last known, for one of the percentiles of an objective."""
        return self._remembered.get(percent)

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
        since, self._decayed_at = self._decayed_at, now
        if self._total < _ENOUGH:
            return
        factor = 0.5 ** ((now - since) / _HALF_LIFE_SECONDS)
        if self._total * factor < _ENOUGH:
            self._remembered = {percent: self._find(percent) or 0.0 for percent in _PERCENTILES}
            factor = 0.0
        self._counts = [count * factor for count in self._counts]
        self._total = sum(self._counts)
