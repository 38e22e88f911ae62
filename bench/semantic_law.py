"""What a semantic layer does to a stream of questions, at a threshold, with Merit's guard and without.

Questions are Banking77's and NLU++'s own wordings in the order of `support_workload`. Two of them should have the same
answer if the data set gives them the same intent, and, of those that name something of the customer's own, the same
reference. The decisions are the product's: exact first, then the nearest question of the last `ttl` whose answer was
made for it, if it is as alike as the threshold says, and says the same of what matters (`merit_dataplane.semantic`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from math import inf, sqrt
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bench.support_workload import Asked, own_wordings, wordings
from merit_dataplane.semantic.question import critical
from merit_dataplane.stems.wording import words

_REFERENCE = " My reference is "
_SAME = frozenset({"Case", "WhiteSpace", "Punctuation"})
LEAST = 0.8
"""Lowest threshold that can be tried."""


class Questions:
    """All distinct texts: which are alike, what matters in them, and which should have the same answer."""

    def __init__(self, folder: Path, texts: Sequence[str], vectors: Any):
        intents: dict[str, int] = {}
        for number, alike in enumerate([*wordings(folder), *own_wordings(folder)]):
            intents.update(dict.fromkeys(alike, number))
        self.number = {text: place for place, text in enumerate(texts)}
        self.vectors = vectors
        self.near = _near(vectors)
        """Of each, all others from LEAST on, with their cosines."""
        self.matters = [tuple(critical(words(text, _SAME))) for text in texts]
        self.label: list[tuple[object, str]] = []
        for text in texts:
            plain, _, reference = text.partition(_REFERENCE)
            self.label.append((intents.get(plain, plain), reference))


def _near(vectors: Any) -> list[list[tuple[float, int]]]:
    made: list[list[tuple[float, int]]] = []
    for at in range(0, len(vectors), 256):
        cosines = vectors[at : at + 256] @ vectors.T
        for row, found in enumerate(cosines):
            places = np.flatnonzero(found >= LEAST)
            made.append([(float(found[place]), int(place)) for place in places if place != at + row])
    return made


def half_of(text: str) -> int:
    """0 or 1: the same wording is always in the same half, whatever reference it has."""
    return blake2b(text.partition(_REFERENCE)[0].encode(), digest_size=1).digest()[0] & 1


def is_own(text: str) -> bool:
    """Whether it names something of the customer's own."""
    return _REFERENCE in text


@dataclass
class Share:
    """What became of some questions."""

    asked: int = 0
    exact: int = 0
    alike: int = 0
    wrong: int = 0
    """Of these: those that got the answer to another question."""

    @property
    def false_hits(self) -> float:
        """Share of the semantic hits."""
        return self.wrong / self.alike if self.alike else 0.0

    @property
    def interval(self) -> tuple[float, float]:
        """Of the true share, with 95 % confidence."""
        return wilson(self.wrong, self.alike)


def replayed(
    asked: Sequence[Asked], questions: Questions, threshold: float, ttl: float, *, guard: bool
) -> tuple[Share, list[str]]:
    """One request after the other, each answered at once; and what became of each, in the words of `x-merit-cache`."""
    share, decided = Share(), []
    fetched: dict[int, float] = {}
    matters, label = questions.matters, questions.label
    for one in asked:
        share.asked += 1
        place = questions.number[one.text]
        if one.at - fetched.get(place, -inf) < ttl:
            share.exact += 1
            decided.append("hit")
            continue
        alike = [
            (cosine, other)
            for cosine, other in questions.near[place]
            if cosine >= threshold
            and one.at - fetched.get(other, -inf) < ttl
            and not (guard and matters[other] != matters[place])
        ]
        if alike:
            share.alike += 1
            share.wrong += label[max(alike)[1]] != label[place]
            decided.append("semantic")
            continue
        decided.append("miss")
        fetched[place] = one.at
    return share, decided


class Taken(NamedTuple):
    """Of pairs of questions with different answers."""

    pairs: int
    taken: int
    """That share an answer all the same."""


def paired(pairs: Sequence[tuple[str, str]], questions: Questions, threshold: float, *, guard: bool) -> Taken:
    """The second of each right after the first."""
    taken = 0
    for one, other in pairs:
        first, second = questions.number[one], questions.number[other]
        same = not guard or questions.matters[first] == questions.matters[second]
        taken += bool(same and questions.vectors[first] @ questions.vectors[second] >= threshold)
    return Taken(len(pairs), taken)


def wilson(count: int, of: int, z: float = 1.96) -> tuple[float, float]:
    """Of a share. E. B. Wilson, JASA 22 (1927)."""
    if not of:
        return 0.0, 1.0
    share = count / of
    middle = (share + z * z / (2 * of)) / (1 + z * z / of)
    spread = z * sqrt(share * (1 - share) / of + z * z / (4 * of * of)) / (1 + z * z / of)
    return max(0.0, middle - spread), min(1.0, middle + spread)
