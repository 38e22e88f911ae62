"""What is known of one opening. Values: whatever happens makes another one.

learning   answers are collected until enough of them begin alike
trial      they do; answers made without the stem are held against it, and nothing is used
open       it is given to models; the held-out share is held against it
"""

import msgspec


class Sample(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """How one answer begins."""

    text: str
    question: int
    """Tells questions apart."""
    rest: tuple[int, ...]
    """Hashes of the question's words after the opening."""
    values: tuple[int, ...]
    """Hashes of the numbers and names in the opening that do not matter."""
    tokens: float
    """Per character, as the provider counted."""


class Record(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Of one opening. Times are epoch seconds."""

    created: float
    touched: float
    """When an answer last had something to say of it."""
    samples: tuple[Sample, ...] = ()
    beginning: str = ""
    """The stem; empty while it is learned."""
    tokens: float = 0.0
    """Per character of it."""
    good: tuple[int, ...] = ()
    """Hashes of words after the opening with which answers have begun like that."""
    bad: tuple[int, ...] = ()
    """Of those with which they have not."""
    values: tuple[tuple[int, ...], ...] = ()
    """Hashes of different numbers and names with which they have, for each place of one."""
    agreed: float = 0.0
    differed: float = 0.0
    """Answers made without the stem, that begin with it and that don't; old ones fade."""
    open: bool = False
    failures: int = 0
    """How often it had to be learned anew."""
    right: float = 0.0
    scored: float = 0.0
    """Scores of answers by stem: their sum and number; old ones fade."""

    @property
    def size(self) -> int:
        """Bytes that it takes in memory, about."""
        texts = len(self.beginning) + sum(len(sample.text) + 8 * len(sample.rest) + 120 for sample in self.samples)
        return 400 + 2 * texts + 16 * (len(self.good) + len(self.bad) + 6 * len(self.values))

    @property
    def stem_tokens(self) -> int:
        """Of the beginning, about."""
        return max(1, round(self.tokens * len(self.beginning)))


class Tally(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Answers that begin with a stem which was right a few times before, and those that don't."""

    agreed: float = 0.0
    differed: float = 0.0


class Pool(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Of all stems of one owner. Those of first words say nothing of those of whole questions, nor these of them."""

    whole: Tally = Tally()
    first: Tally = Tally()

    def of(self, *, whole: bool) -> Tally:
        """Of one kind."""
        return self.whole if whole else self.first
