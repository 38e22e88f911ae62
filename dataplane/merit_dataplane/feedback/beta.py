"""The Beta distribution, as far as accuracy needs it: probabilities, quantiles, and the prior that a statement is."""

from functools import lru_cache
from math import exp, inf, lgamma, log, log1p, sqrt
from statistics import NormalDist
from typing import NamedTuple

_NORMAL = NormalDist()
_TINY = 1e-300
_PRECISE = 1e-10
_MOST_TERMS = 10_000
_CERTAIN = 1e-6
"""Nobody knows that a model never errs."""


class Beta(NamedTuple):
    """Right answers and wrong ones, neither of which has to be a whole number."""

    right: float
    wrong: float

    @property
    def mean(self) -> float:
        """The expected share of right ones."""
        return self.right / (self.right + self.wrong)

    def below(self, share: float) -> float:
        """Probability that the true share of right ones is less: the regularised incomplete beta function."""
        a, b = self
        if share <= 0.0 or share >= 1.0:
            return 0.0 if share <= 0.0 else 1.0
        front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(share) + b * log1p(-share))
        if share < (a + 1) / (a + b + 2):
            return min(1.0, front * _fraction(a, b, share) / a)
        return max(0.0, 1.0 - front * _fraction(b, a, 1 - share) / b)

    def quantile(self, probability: float) -> float:
        """The share below which the true one lies with this probability. By Newton's steps, inside of a bracket."""
        a, b = self
        scale = lgamma(a + b) - lgamma(a) - lgamma(b)
        low, high = 0.0, 1.0
        spread = sqrt(a * b / (a + b + 1)) / (a + b)
        share = min(max(self.mean + _NORMAL.inv_cdf(probability) * spread, self.mean / 2), (1 + self.mean) / 2)
        for _ in range(200):
            error = self.below(share) - probability
            if error > 0:
                high = share
            else:
                low = share
            if abs(error) < _PRECISE or high - low < _PRECISE:
                break
            density = exp(scale + (a - 1) * log(share) + (b - 1) * log1p(-share)) if 0 < share < 1 else inf
            step = share - error / density if density > _TINY else inf
            share = step if low < step < high else (low + high) / 2
        return share

    def and_seen(self, right: float, wrong: float) -> "Beta":
        """What is believed after these answers."""
        return Beta(self.right + right, self.wrong + wrong)


@lru_cache(maxsize=8192)
def stated(accuracy: float, weight: float, confidence: float) -> Beta:
    """The prior of a statement that is worth so many answers: the accuracy is at least that, with this confidence.

    So the bound starts at what is stated, and moves from there without a jump. Where nothing is stated (0) all is
    equally likely, and only answers count.
    """
    if accuracy <= 0.0:
        return Beta(1.0, 1.0)
    least = min(accuracy, 1.0 - _CERTAIN)
    low, high = 0.0, weight
    for _ in range(100):
        right = (low + high) / 2
        if Beta(right, weight - right).below(least) > 1 - confidence:
            low = right
        else:
            high = right
        if high - low < _PRECISE * weight:
            break
    right = (low + high) / 2
    return Beta(right, weight - right)


def _fraction(a: float, b: float, x: float) -> float:
    """The continued fraction of the incomplete beta function (DLMF 8.17.22), by Lentz's method."""
    c, d = 1.0, _guarded(1.0 - (a + b) * x / (a + 1))
    d = 1.0 / d
    value = d
    for m in range(1, _MOST_TERMS):
        for term in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1.0 / _guarded(1.0 + term * d)
            c = _guarded(1.0 + term / c)
            value *= c * d
        if abs(c * d - 1.0) < 1e-15:
            break
    return value


def _guarded(number: float) -> float:
    return number if abs(number) > _TINY else _TINY
