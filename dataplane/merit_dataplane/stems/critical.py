"""Which words of a question no answer may be indifferent to. In doubt a word is one of them: that costs only a stem."""

import re
import unicodedata
from enum import IntFlag
from functools import lru_cache

from merit_dataplane.stems.vocabulary import (
    CURRENCIES,
    DATES,
    NEGATED_ENDS,
    NEGATED_SIGNS,
    NEGATED_STARTS,
    NEGATIONS,
    NUMBER_PARTS,
    NUMBERS,
    OPENERS,
    TITLES,
)
from merit_dataplane.stems.wording import Word, plain

_COMPOUND = re.compile(f"(?:{NUMBER_PARTS})+")
_NO_NUMBERS = frozenset({"ein", "en", "und", "een", "undein"})
_PARTS = re.compile(r"[-/'+&,.]")
_REFERENCE = re.compile(r"(?:#[0-9]{3,32}|[0-9]{6,32})[.,?]?")
_ADDRESS = re.compile(r"@|://|www\.|[^\W\d_]\.[^\W\d_]|_|/|#[^\W\d]|\\")


class Critical(IntFlag):
    """Kinds."""

    NUMBER = 1
    NAME = 2
    DATE = 4
    NEGATION = 8
    CURRENCY = 16


_NUMBER, _NAME, _DATE, _NEGATION, _CURRENCY = (int(kind) for kind in Critical)
"""Plain ints: arithmetic of flags is slow."""
_KINDS: dict[str, int] = {}
for _kind, _vocabulary in (
    (_NUMBER, NUMBERS),
    (_CURRENCY, CURRENCIES),
    (_DATE, DATES),
    (_NEGATION, NEGATIONS),
):
    for _word in _vocabulary:
        _KINDS[_word] = _KINDS.get(_word, 0) | _kind
_REMEMBERED = 16_384


def criticals(words: list[Word]) -> list[int]:
    """Bits of `Critical`, of each word."""
    found, after_title = [], False
    for word in words:
        kind, title = _of_word(word.said, word.opens)
        found.append(kind | _NAME if after_title else kind)
        after_title = title
    return found


def references(words: list[Word], kinds: list[int]) -> list[bool]:
    """Of each word, whether it is a number that only names something: six digits or more, or three after a #, and no
    currency or date beside it.
    """
    beside = [0, *kinds, 0]
    return [
        kind == _NUMBER
        and _REFERENCE.fullmatch(word.said) is not None
        and not (beside[place] | beside[place + 2]) & (_CURRENCY | _DATE)
        for place, (word, kind) in enumerate(zip(words, kinds, strict=True))
    ]


def is_name(kind: int) -> bool:
    """Whether it is a name and nothing else."""
    return kind == _NAME


@lru_cache(maxsize=_REMEMBERED)
def _of_word(said: str, opens: bool) -> tuple[int, bool]:
    """Its kinds, and whether it is a title, so that a name comes next."""
    kind, known = 0, plain(said)
    if any(letter.isnumeric() for letter in said):
        kind |= _NUMBER
    if any(unicodedata.category(letter) == "Sc" or letter in "%‰" for letter in said):
        kind |= _CURRENCY
    for part in {known, *_PARTS.split(known)} - {""}:
        kind |= _KINDS.get(part, 0)
        if _COMPOUND.fullmatch(part) and part not in _NO_NUMBERS:
            kind |= _NUMBER
    if known.endswith(NEGATED_ENDS) or (len(known) > 4 and known.startswith(NEGATED_STARTS)):
        kind |= _NEGATION
    if not said.isascii() and any(sign in said for sign in NEGATED_SIGNS):
        kind |= _NEGATION
    if _ADDRESS.search(said) or _capital(said, known, opens=opens):
        kind |= _NAME
    return kind, known in TITLES


def _capital(said: str, known: str, *, opens: bool) -> bool:
    """A capital where grammar asks for none."""
    letters = [letter for letter in said if letter.isalpha()]
    if not letters or not any(letter.isupper() or letter.istitle() for letter in letters):
        return False
    if known in {"i", "i'm", "i've", "i'd", "i'll", "ok"}:
        return False
    if any(letter.isupper() for letter in letters[1:]):
        return True
    return not opens or known not in OPENERS
