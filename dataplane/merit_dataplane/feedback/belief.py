"""What is believed of a candidate's accuracy: what its route states, moved by scores. Pure: time is an argument."""

from typing import NamedTuple

from merit_dataplane.feedback.beta import stated
from merit_dataplane.feedback.tally import Faded

_SOMETHING = 0.01
"""Answers, faded: less moves nothing."""


class Trust(NamedTuple):
    """How a tier weighs what it is told."""

    prior_weight: float
    """Answers that a stated accuracy is worth."""
    half_life: float
    """Seconds after which a score weighs half."""
    confidence: float
    """With which the floor must be met."""


class Belief(NamedTuple):
    """Of one candidate, once an answer of it has been scored."""

    lower: float
    """The accuracy is at least this, with the tier's confidence: what is held against the floor."""
    estimate: float
    """As likely more as less. The mean of so lopsided a distribution may lie outside of the other two."""
    upper: float
    """At most this, with the same confidence."""
    weight: float
    """Scored answers that it rests on, faded."""
    answers: int
    """The same, unfaded."""


def believed(accuracy: float, seen: Faded, trust: Trust) -> Belief | None:
    """None where nothing has been scored: then what is stated counts, as it stands."""
    if seen.weight < _SOMETHING:
        return None
    prior = stated(accuracy, trust.prior_weight, trust.confidence)
    now = prior.and_seen(seen.right, seen.weight - seen.right)
    return Belief(
        lower=now.quantile(1 - trust.confidence),
        estimate=now.quantile(0.5),
        upper=now.quantile(trust.confidence),
        weight=seen.weight,
        answers=seen.answers,
    )


class Accuracy:
    """Of one candidate, as the hot path looks at it."""

    __slots__ = ("belief", "counts", "stated")

    def __init__(self, stated_accuracy: float):
        self.stated = stated_accuracy
        """0 where the route states none."""
        self.counts = stated_accuracy
        """What is held against the floor."""
        self.belief: Belief | None = None

    def learn(self, belief: Belief | None) -> None:
        """From now on this is believed."""
        self.belief = belief
        self.counts = self.stated if belief is None else belief.lower

    def may_recover(self, floor: float) -> bool:
        """Stated to meet the floor, below it by scores, and by so little that it may be bad luck."""
        belief = self.belief
        return belief is not None and belief.lower < floor <= min(self.stated, belief.upper)
