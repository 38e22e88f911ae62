"""What requests would draw from a commitment, by how much they gain: decaying units per second by break-even.

Every request that could draw is counted, whether it did or not: so the demand is known at all prices, and nothing has
to be tried out. It is counted by what it is expected to draw, times by how much those that did have drawn more.
"""

from math import log

from merit_crds.commitments import GRID, place_of

_HALVINGS = 64.0
"""New weights grow instead of old ones shrinking; after so many halvings all are scaled back."""
_LEAST_SECONDS = 1.0
_MEMORY = 1000
"""Requests after which an old one weighs 1/e in what expectations are off by."""


class Demand:
    """Of one commitment. Times are epoch seconds that don't decrease."""

    __slots__ = ("_actual", "_began", "_expected", "_first", "_half_life", "_weights", "count")

    def __init__(self, half_life: float):
        self._half_life = half_life
        self._weights = [0.0] * GRID
        self._began = self._first = self._expected = self._actual = 0.0
        self.count = 0
        """Requests that were counted."""

    def observe(self, break_even: float, units: int, now: float) -> None:
        """A request would draw so many units while the shadow price is below its break-even."""
        if not self.count:
            self._began = self._first = now
        self.count += 1
        halvings = (now - self._began) / self._half_life
        if halvings > _HALVINGS:
            scale = 2.0**-halvings
            self._weights = [weight * scale for weight in self._weights]
            self._began, halvings = now, 0.0
        self._weights[place_of(break_even)] += units * 2.0**halvings

    def settled(self, expected: int, actual: int) -> None:
        """A request was expected to draw so many units, and would have drawn so many with its usage."""
        keep = 1 - 1 / _MEMORY
        self._expected, self._actual = self._expected * keep + expected, self._actual * keep + actual

    def rates(self, now: float) -> list[float]:
        """Units per second by place of the grid."""
        if not self.count:
            return []
        scale = 2.0 ** (-(now - self._began) / self._half_life)
        seen = 1 - 2.0 ** (-(now - self._first) / self._half_life)
        seconds = max(_LEAST_SECONDS, seen * self._half_life / log(2))
        factor = scale / seconds * (self._actual / self._expected if self._expected else 1.0)
        return [weight * factor for weight in self._weights]
