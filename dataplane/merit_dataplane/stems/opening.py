"""The openings of a question: its first words, and all of them."""

import hashlib
from collections.abc import Collection, Sequence
from typing import NamedTuple

from merit_dataplane.stems.critical import criticals, is_name, references
from merit_dataplane.stems.wording import words

LENGTHS = (24, 16, 12, 8, 6, 4)
"""In words. Shorter ones say nothing of what is asked; every length is one more record for each question."""
MOST_WORDS = 200
"""A question with more is none that comes again."""
_REFERENCE, _NAME = "\0number", "\0name"


class Opening(NamedTuple):
    """Of one length."""

    key: bytes
    """16 bytes: hash of where it belongs and what it says."""
    whole: bool
    rest: frozenset[int]
    """Hashes of the words after it."""
    values: tuple[int, ...]
    """Hashes of the numbers and names in it that do not matter, each in its place."""


def openings(text: str, context: bytes, normalise: Collection[str]) -> tuple[Opening, ...]:
    """Longest first: only those that may have a stem, which is where nothing critical comes after them.

    `context` is all else that an answer depends on.
    """
    found = words(text, normalise)
    if not 0 < len(found) <= MOST_WORDS or "\0" in text:
        return ()
    kinds = criticals(found)
    free, values = [], []
    only_names = references(found, kinds) if "Numbers" in normalise else [False] * len(found)
    for word, kind, names in zip(found, kinds, only_names, strict=True):
        if names:
            free.append(_REFERENCE)
            values.append(word.said)
        elif "Names" in normalise and is_name(kind):
            free.append(_NAME)
            values.append(word.same)
        else:
            free.append(word.same)
            values.append("")
    last = max((place for place, kind in enumerate(kinds) if kind), default=-1)
    rests = [_hash(word.same) for word in found]
    lengths = (len(found), *(length for length in LENGTHS if last < length < len(found)))
    return tuple(
        Opening(
            key=_key(context, free[:length], whole=length == len(found)),
            whole=length == len(found),
            rest=frozenset(rests[length:]),
            values=tuple(_hash(value) for value in values[:length] if value),
        )
        for length in lengths
    )


def number_of(openings: Sequence[Opening]) -> int:
    """Tells questions apart: by the opening that is all of one."""
    return int.from_bytes(openings[0].key[:6])


def _key(context: bytes, said: list[str], *, whole: bool) -> bytes:
    digest = hashlib.blake2b(context, digest_size=16, person=b"merit stem")
    digest.update(b"whole" if whole else b"first")
    for word in said:
        part = word.encode("utf-8", "surrogatepass")
        digest.update(len(part).to_bytes(4) + part)
    return digest.digest()


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=6).digest())
