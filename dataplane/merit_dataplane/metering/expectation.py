"""How many output tokens an answer will have: a decayed mean of what was seen, per route, tier and candidate."""

_MEMORY = 200.0
"""Answers after which an old one weighs 1/e."""
_PRIOR_WEIGHT = 5.0


class ExpectedOutput:
    """Starts at the tier's stated number and moves with traffic."""

    __slots__ = ("_mean", "_weight")

    def __init__(self, prior: int):
        self._mean = float(prior)
        self._weight = _PRIOR_WEIGHT

    def observe(self, tokens: int) -> None:
        """An answer had this many output tokens."""
        self._weight = min(self._weight + 1.0, _MEMORY)
        self._mean += (tokens - self._mean) / self._weight

    def tokens(self, limit: int) -> int:
        """Expected output tokens of one answer, bounded by `limit` (0 is no limit)."""
        expected = int(self._mean + 0.5)
        return min(expected, limit) if limit else expected
