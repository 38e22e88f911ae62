"""Where a value stands in the text of a JSON document, so that it alone is replaced and every other byte stays.

Decoding and encoding a recorded answer again would lose its white space, number forms and escapes: what tells vendors
apart, and what a gateway must survive.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import msgspec

_SPACE = re.compile(r"[ \t\r\n]*")
_value_at = json.JSONDecoder().raw_decode


class _Member(NamedTuple):
    """One member of an object or element of a list."""

    name: str
    begin: int
    """Of the name; of an element, of its value."""
    start: int
    end: int


class Template(msgspec.Struct, frozen=True):
    """A text with places to fill in."""

    pieces: tuple[tuple[bytes, str, bytes], ...]
    """Text, the name of the place after it, what was recorded there."""
    tail: bytes

    def filled(self, values: Mapping[str, bytes]) -> bytes:
        """The text; a place without a value keeps what was recorded."""
        out: list[bytes] = []
        for text, place, recorded in self.pieces:
            out += (text, values.get(place, recorded))
        out.append(self.tail)
        return b"".join(out)


def template(text: str, places: Mapping[str, tuple[str, ...]]) -> Template:
    """The text of a JSON document with the values at these paths as places; `*` is each element of a list."""
    found = sorted((start, end, place) for place, path in places.items() for start, end in _spans(text, 0, path))
    pieces, at = [], 0
    for start, end, place in found:
        pieces.append((text[at:start].encode(), place, text[start:end].encode()))
        at = end
    return Template(tuple(pieces), text[at:].encode())


def without(text: str, name: str) -> str:
    """The text of a JSON object without one of its members."""
    members = list(_members(text, _after_space(text, 0)))
    for index, member in enumerate(members):
        if member.name == name:
            if index:
                return text[: members[index - 1].end] + text[member.end :]
            following = members[1].begin if len(members) > 1 else member.end
            return text[: member.begin] + text[following:]
    return text


def value_text(text: str, *path: str) -> str | None:
    """The first value at a path, as it is written."""
    return next((text[start:end] for start, end in _spans(text, 0, path)), None)


def _spans(text: str, at: int, path: tuple[str, ...]) -> Iterator[tuple[int, int]]:
    at = _after_space(text, at)
    if not path:
        yield at, _value_at(text, at)[1]
        return
    for member in _members(text, at):
        if path[0] in ("*", member.name):
            yield from _spans(text, member.start, path[1:])


def _members(text: str, at: int) -> Iterator[_Member]:
    """Of the object or list at `at`; of any other value, none."""
    opening = text[at]
    if opening not in "{[":
        return
    at = _after_space(text, at + 1)
    while text[at] not in "}]":
        begin, name = at, ""
        if opening == "{":
            name, at = _value_at(text, at)
            at = _after_space(text, _after_space(text, at) + 1)
        end = _value_at(text, at)[1]
        yield _Member(name, begin, at, end)
        at = _after_space(text, end)
        if text[at] == ",":
            at = _after_space(text, at + 1)


def _after_space(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at
