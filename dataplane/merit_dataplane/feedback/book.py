"""Where scores are booked: an answer counts once, by its last score."""

from collections.abc import Iterable
from typing import NamedTuple, Protocol

import msgspec

from merit_dataplane.feedback.answer_id import Labels
from merit_dataplane.feedback.resolve import Answer
from merit_dataplane.feedback.scores import Half, Scores
from merit_dataplane.feedback.tally import Tally

Tallies = dict[Labels, Tally]


class Pending(NamedTuple):
    """A score that others don't know yet."""

    labels: Labels
    answered_at: int
    number: str
    score: int


class Kept(msgspec.Struct):
    """All that has to outlive the process."""

    tallies: list[tuple[Labels, dict[int, tuple[int, int]]]] = []
    scores: list[Half] = []
    pending: list[Pending] = []


class Book(Protocol):
    """Of one pod."""

    async def put(self, answer: Answer, score: int) -> int | None:
        """Books a score, in millionths. The one that it takes the place of, or None. Raises RequestError (503)."""

    async def follow(self) -> Iterable[Labels]:
        """Whose tallies others have changed since the last call."""

    def everything(self) -> None:
        """The snapshot is another: what others know of its candidates has to be looked up."""

    @property
    def pending(self) -> int:
        """Scores that others don't know yet."""

    def kept(self) -> Kept:
        """What to keep over a restart."""

    def load(self, kept: Kept) -> None:
        """Takes it up again."""


class OwnBook:
    """Of a pod that shares with nobody."""

    pending = 0

    def __init__(self, tallies: Tallies):
        self._tallies, self._scores = tallies, Scores()

    async def put(self, answer: Answer, score: int) -> int | None:
        """As Book's."""
        before = self._scores.put(answer.id.number, score)
        self._tallies.setdefault(answer.labels, Tally()).score(answer.id.answered_at, score, before)
        return before

    async def follow(self) -> Iterable[Labels]:
        """Nobody's."""
        return ()

    def everything(self) -> None:
        """There is nobody to ask."""

    def kept(self) -> Kept:
        """As Book's."""
        return Kept(tallies=spans_of(self._tallies), scores=self._scores.halves())

    def load(self, kept: Kept) -> None:
        """As Book's."""
        take_up(self._tallies, kept)
        for half in kept.scores:
            for number, score in half.items():
                self._scores.put(number, score)


def spans_of(tallies: Tallies) -> list[tuple[Labels, dict[int, tuple[int, int]]]]:
    """Copies, for another thread."""
    return [(labels, {**tally.spans}) for labels, tally in tallies.items()]


def take_up(tallies: Tallies, kept: Kept) -> None:
    """Puts kept tallies in place."""
    for labels, spans in kept.tallies:
        tallies[labels] = Tally.of(spans)
