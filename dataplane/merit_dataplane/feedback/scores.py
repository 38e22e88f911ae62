"""The last score of each answer, so that an answer counts once. Of this pod; bounded, the oldest go first."""

from collections import OrderedDict
from collections.abc import Iterator

MOST = 50_000


class Scores:
    """By an answer's number."""

    def __init__(self, most: int = MOST) -> None:
        self._scores: OrderedDict[int, int] = OrderedDict()
        self._most = most

    def put(self, number: str, score: int) -> int | None:
        """The score that this one takes the place of, in millionths; None where there is none, or it is forgotten."""
        key = int(number, 16)
        before = self._scores.get(key)
        self._scores[key] = score
        self._scores.move_to_end(key)
        if len(self._scores) > self._most:
            self._scores.popitem(last=False)
        return before

    def __len__(self) -> int:
        return len(self._scores)

    def __iter__(self) -> Iterator[tuple[str, int]]:
        """The one that goes first comes first."""
        return ((f"{number:024x}", score) for number, score in list(self._scores.items()))
