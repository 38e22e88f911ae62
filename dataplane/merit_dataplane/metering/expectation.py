"""How many output tokens an answer will have: a decayed mean of what was seen.

How long an answer is depends on the question first, and on the model second. So all candidates of a tier share one
mean, and each moves away from it as its own answers show: a candidate that nobody has asked yet is expected to write as
much as the others do, else a price cut on it would not be believed.
"""

_MEMORY = 1000.0
"""Answers after which an old one weighs 1/e."""
_PRIOR_WEIGHT = 5.0
"""Answers that the tier's stated number is worth."""
_POOL_WEIGHT = 200.0
"""Answers of its own after which a candidate's mean weighs as much as its tier's.

Lengths scatter: with 20 answers, chance alone moved a candidate's mean by more than a price difference of 10 %, and the
merit order with it.
"""


class TierOutput:
    """Output tokens of one tier of one route, whoever answered. Starts at the tier's stated number."""

    __slots__ = ("_weight", "mean")

    def __init__(self, prior: int):
        self.mean = float(prior)
        self._weight = _PRIOR_WEIGHT

    def observe(self, tokens: int) -> None:
        """An answer had this many output tokens."""
        if self._weight < _MEMORY:
            self._weight += 1.0
        self.mean += (tokens - self.mean) / self._weight


class ExpectedOutput:
    """Output tokens of one candidate in its tier."""

    __slots__ = ("_mean", "_tier", "_weight")

    def __init__(self, tier: TierOutput):
        self._tier = tier
        self._mean = 0.0
        self._weight = 0.0

    def observe(self, tokens: int) -> None:
        """An answer of this candidate had this many output tokens."""
        if self._weight < _MEMORY:
            self._weight += 1.0
        self._mean += (tokens - self._mean) / self._weight
        self._tier.observe(tokens)

    def tokens(self, limit: int) -> int:
        """Expected output tokens of one answer, bounded by `limit` (0 is no limit)."""
        weight = self._weight
        expected = int((self._tier.mean * _POOL_WEIGHT + self._mean * weight) / (_POOL_WEIGHT + weight) + 0.5)
        return min(expected, limit) if limit else expected
