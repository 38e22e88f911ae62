"""Which words of a question no answer may be indifferent to. In doubt a word is one of them: that costs only a stem."""

import re
import unicodedata
from enum import IntFlag

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
_REFERENCE = re.compile(r"[#(]?[0-9]{1,32}[).,?]?")
_ADDRESS = re.compile(r"@|://|www\.|[^\W\d_]\.[^\W\d_]|_|/|#|\\")


class Critical(IntFlag):
    """Kinds."""

    NUMBER = 1
    NAME = 2
    DATE = 4
    NEGATION = 8
    CURRENCY = 16


def criticals(words: list[Word]) -> list[Critical]:
    """Of each word; none is 0."""
    found, after_title = [], False
    for word in words:
        kind = _kind(word)
        if after_title:
            kind |= Critical.NAME
        after_title = plain(word.said) in TITLES
        found.append(kind)
    return found


def is_reference(word: Word, kind: Critical) -> bool:
    """Whether it is a number that only names something: digits alone, as written in a reference."""
    return kind == Critical.NUMBER and _REFERENCE.fullmatch(word.said) is not None


def is_name(kind: Critical) -> bool:
    """Whether it is a name and nothing else."""
    return kind == Critical.NAME


def _kind(word: Word) -> Critical:
    kind, said, known = Critical(0), word.said, plain(word.said)
    if any(letter.isnumeric() for letter in said):
        kind |= Critical.NUMBER
    if any(unicodedata.category(letter) == "Sc" or letter in "%‰" for letter in said):
        kind |= Critical.CURRENCY
    for part in {known, *_PARTS.split(known)} - {""}:
        kind |= _of_part(part)
    if known.endswith(NEGATED_ENDS) or (len(known) > 4 and known.startswith(NEGATED_STARTS)):
        kind |= Critical.NEGATION
    if not said.isascii() and any(sign in said for sign in NEGATED_SIGNS):
        kind |= Critical.NEGATION
    if _ADDRESS.search(said) or _capital(word, known):
        kind |= Critical.NAME
    return kind


def _of_part(part: str) -> Critical:
    kind = Critical(0)
    if part in NUMBERS or (_COMPOUND.fullmatch(part) and part not in _NO_NUMBERS):
        kind |= Critical.NUMBER
    if part in CURRENCIES:
        kind |= Critical.CURRENCY
    if part in DATES:
        kind |= Critical.DATE
    if part in NEGATIONS:
        kind |= Critical.NEGATION
    return kind


def _capital(word: Word, known: str) -> bool:
    """A capital where grammar asks for none."""
    letters = [letter for letter in word.said if letter.isalpha()]
    if not letters or not any(letter.isupper() or letter.istitle() for letter in letters):
        return False
    if known in {"i", "i'm", "i've", "i'd", "i'll", "ok"}:
        return False
    if any(letter.isupper() for letter in letters[1:]):
        return True
    return not word.opens or known not in OPENERS
