"""Scores of one candidate, summed by the time at which it answered, so that old ones fade.

Sums, not single scores: they are small, they add up in any order and from any pod, and an answer that is scored anew
changes the sum that it is in already. Scores are whole millionths there.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

SPAN_SECONDS = 6 * 3600
"""Of one sum."""
MILLION = 10**6
HALF_LIVES = 6
"""After which a score no longer counts: it would weigh less than a sixtieth."""
LONGEST_HALF_LIFE_SECONDS = 2160 * 3600


class Sum(NamedTuple):
    """Answers of one span of time."""

    answers: int
    score: int
    """Of all of them, in millionths."""


class Faded(NamedTuple):
    """What is left of all scores at one moment."""

    weight: float
    """Answers."""
    right: float
    """Of these."""
    answers: int
    """Unfaded."""


NOTHING = Faded(0.0, 0.0, 0)


class Tally:
    """Of one candidate in one tier of one route."""

    __slots__ = ("spans",)

    def __init__(self, spans: Mapping[int, Sum] | None = None) -> None:
        self.spans: dict[int, Sum] = dict(spans or {})

    @classmethod
    def of(cls, spans: Mapping[int, tuple[int, int]]) -> "Tally":
        """From what was written down."""
        return cls({span: Sum(*known) for span, known in spans.items()})

    def score(self, answered_at: float, score: int, before: int | None) -> None:
        """An answer given then (epoch seconds) is scored (millionths); `before`: its score until now."""
        span = span_of(answered_at)
        known = self.spans.get(span, Sum(0, 0))
        self.spans[span] = Sum(known.answers + (before is None), known.score + score - (before or 0))

    def faded(self, now: float, half_life: float, *more: "Tally") -> Faded:
        """With those of other tallies of the same candidate. `now`: epoch seconds; `half_life` in seconds."""
        weight, right, answers = 0.0, 0.0, 0
        for tally in (self, *more):
            for span, known in tally.spans.items():
                age = max(0.0, now - (span + 0.5) * SPAN_SECONDS)
                if age > HALF_LIVES * half_life:
                    continue
                part = 0.5 ** (age / half_life)
                weight += part * known.answers
                right += part * known.score / MILLION
                answers += known.answers
        return Faded(weight, right, answers) if weight > 0 else NOTHING

    def forget(self, now: float) -> None:
        """Drops what is too old for any half-life."""
        oldest = span_of(now - HALF_LIVES * LONGEST_HALF_LIFE_SECONDS)
        for span in [span for span in self.spans if span < oldest]:
            del self.spans[span]

    def __iter__(self) -> Iterator[tuple[int, Sum]]:
        return iter(self.spans.items())


def span_of(epoch: float) -> int:
    """Number of the span of time that holds this second."""
    return int(epoch // SPAN_SECONDS)
