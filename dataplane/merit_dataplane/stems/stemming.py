"""One request's part in stems: what it is given, and what its answer may teach."""

from dataclasses import dataclass
from typing import NamedTuple

from merit_dataplane.stems.opening import Opening, number_of


class Stem(NamedTuple):
    """A beginning that a model is given."""

    key: bytes
    text: str
    tokens: int
    """About."""

    @property
    def tag(self) -> str:
        """8 hex digits: names it in the ids of its answers."""
        return self.key[:4].hex()


@dataclass(slots=True)
class Stemming:
    """Of one request."""

    owner: bytes
    openings: tuple[Opening, ...]
    stem: Stem | None = None
    used: bool = False
    """Whether the answer begins with it, since a model was given it."""
    repeats: bool = False
    """The model wrote it once more, so that nothing was saved."""
    refused: bool = False
    """A model would not go on from it."""

    @property
    def question(self) -> int:
        """Tells questions apart, as far as they matter."""
        return number_of(self.openings)

    @property
    def result(self) -> str:
        """What became of the stem."""
        if self.used:
            return "repeated" if self.repeats else "used"
        return "refused" if self.refused else "unused"

    @property
    def saves(self) -> bool:
        """Whether the model was spared the beginning."""
        return self.used and not self.repeats
