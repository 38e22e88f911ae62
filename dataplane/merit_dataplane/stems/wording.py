"""A question as words, without what its route says does not matter.

WhiteSpace    how words are set apart, and what stands before and after them
Case          capitals
Punctuation   marks at the edges of words, quotation marks and curly apostrophes; of a word with a digit only a full
              stop, comma or question mark after it: what else is there is part of the number
Greetings     at the beginning, and thanks at the end
"""

import re
import unicodedata
from collections.abc import Collection
from functools import lru_cache
from typing import NamedTuple

from merit_dataplane.stems.vocabulary import GREETINGS, THANKS

_WORD = re.compile(r"(\s*)(\S+)")
_EDGES = ".,;:!?…\"“”„«»‘’'¿¡()[]"  # noqa: RUF001 # as people write
_AFTER_NUMBERS = ".,?"
_APOSTROPHES = str.maketrans("’‘´`", "''''")  # noqa: RUF001
_LONGEST_GREETING = 4


class Word(NamedTuple):
    """One word."""

    said: str
    """As it stands in the question."""
    same: str
    """What is left of it."""
    opens: bool
    """Whether a sentence begins with it."""


def words(text: str, normalise: Collection[str]) -> list[Word]:
    """In their order; what is left of nothing is left out."""
    found: list[Word] = []
    opens = True
    spaces, case, marks = "WhiteSpace" in normalise, "Case" in normalise, "Punctuation" in normalise
    text = unicodedata.normalize("NFC", text)
    for lead, said in _WORD.findall(text):
        same = _without_marks(said) if marks else said
        if case:
            same = same.casefold()
        if same:
            usual = spaces or lead == (" " if found else "")
            found.append(Word(said, same if usual else lead + same, opens or "\n" in lead))
        opens = said[-1] in ".!?:…" or (opens and not same)
    if not spaces and text[-1:].isspace() and found:
        last = found[-1]
        found[-1] = last._replace(same=last.same + text[len(text.rstrip()) :])
    return _without_greetings(found) if "Greetings" in normalise else found


def canonical(text: str, normalise: Collection[str]) -> str:
    """Equal for two texts that are the same question."""
    return " ".join(word.same for word in words(text, normalise))


@lru_cache(maxsize=16_384)
def plain(said: str) -> str:
    """A word as vocabularies have it."""
    return said.translate(_APOSTROPHES).strip(_EDGES + "-–—").casefold()  # noqa: RUF001


@lru_cache(maxsize=16_384)
def _without_marks(said: str) -> str:
    if any(letter.isnumeric() for letter in said):
        return said.rstrip(_AFTER_NUMBERS)
    return said.translate(_APOSTROPHES).strip(_EDGES)


def _without_greetings(found: list[Word]) -> list[Word]:
    """Not what is a greeting alone: that is the question."""
    heads = [plain(word.said) for word in found]
    start, end = 0, len(found)
    while (length := _match(heads[start:end], GREETINGS_BY_LENGTH, end=False)) and start + length < end:
        start += length
    while (length := _match(heads[start:end], THANKS_BY_LENGTH, end=True)) and start < end - length:
        end -= length
    if start < end < len(found) and heads[end - 1] in _NO:
        end = len(found)  # no thanks
    kept = found[start:end]
    return [kept[0]._replace(opens=True), *kept[1:]] if kept else kept


def _by_length(phrases: tuple[str, ...]) -> list[set[tuple[str, ...]]]:
    """Index 0 has phrases of one word."""
    split = [tuple(phrase.split()) for phrase in phrases]
    return [{phrase for phrase in split if len(phrase) == length} for length in range(1, _LONGEST_GREETING + 1)]


def _match(heads: list[str], phrases: list[set[tuple[str, ...]]], *, end: bool) -> int:
    """How many words of a phrase stand at the beginning, or the end."""
    for length in range(min(_LONGEST_GREETING, len(heads)), 0, -1):
        part = heads[-length:] if end else heads[:length]
        if tuple(part) in phrases[length - 1]:
            return length
    return 0


_NO = frozenset({"no", "not", "without", "nein", "non", "ohne", "sin", "sans", "senza"})
GREETINGS_BY_LENGTH = _by_length(GREETINGS)
THANKS_BY_LENGTH = _by_length(THANKS)
