"""The plain events of a stream in OpenAI's format: some text or a thought, and no usage, error or end.

Nearly all events of nearly all answers are plain, and they come one by one: what is done for each is most of what a
stream costs.
"""

import re
from typing import Literal, NamedTuple

import msgspec

from merit_dataplane.wire.passenger import PASSENGER

SPECIAL = re.compile(rb'["\\\x00-\x1f\x80-\xff]')
"""In a JSON string it is not itself, or not allowed, or a part of a character."""
_CONTENT = re.compile(rb'"content"\s*:\s*"')
_PLACE = "merit \u22a2"
_SEAM = 16
"""Bytes."""
_MOST_MOULDS = 4
"""That are made for one stream: some vendors have something else in each event."""


class _Delta(msgspec.Struct, gc=False):
    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: None = None
    function_call: None = None
    refusal: None = None
    audio: None = None
    provider_blocks: None = None


class _Choice(msgspec.Struct, gc=False):
    delta: _Delta
    index: Literal[0] = 0
    finish_reason: None = None


class _Chunk(msgspec.Struct, gc=False):
    """Whatever is more than plain is no such chunk: it can't be decoded as one."""

    choices: tuple[_Choice]
    usage: None = None
    error: None = None
    native: None = msgspec.field(default=None, name=PASSENGER)


_chunk = msgspec.json.Decoder(_Chunk).decode


class Mould:
    """What the plain events of a stream have before and after their text: nearly all the same, byte for byte.

    With another text in its place such an event is what the one was that it was made of: nobody has to read it.
    """

    __slots__ = ("_head", "_made", "_seam", "_tail", "after", "before", "size", "start", "stop")

    def __init__(self) -> None:
        self._made = 0
        self._set(b"\0", b"\0")  # no event has this one

    def _set(self, before: bytes, after: bytes) -> None:
        self.before, self.after = before, after + b"\n\n"
        self.size, self.start, self.stop = len(before) + len(self.after), len(before), -len(self.after)
        # short, since a search for long ones takes long
        self._head, self._seam = before[:-_SEAM], before[-_SEAM:]
        self._tail = self.after + self._head

    def texts(self, data: bytes) -> list[bytes]:
        """Of whole events, if all of them are of this mould and their texts are what they look like; else none."""
        first, *others = data.split(self._seam)
        if first != self._head or not others or not data.endswith(self.after):
            return []
        last, tail = others.pop(), self._tail
        cut = -len(tail)
        texts = [other[:cut] for other in others if other.endswith(tail)]
        if len(texts) < len(others):
            return []
        texts.append(last[: self.stop])
        return [] if SPECIAL.search(b"".join(texts)) else texts

    def learn(self, event: bytes, text: str) -> None:
        """From a plain event that says this: if it is certain where, its mould is the one that others may have."""
        place, said = _CONTENT.search(event), b'%b"' % text.encode()
        if self._made >= _MOST_MOULDS or place is None or not event.startswith(said, place.end()):
            return
        self._made += 1
        before, after = event[: place.end()], event[place.end() + len(said) - 1 :]
        try:  # another text there has to be the answer's, and nothing else
            sure = _delta(before + _PLACE.encode() + after).content == _PLACE
        except ValueError:
            return
        if sure:
            self._set(before, after)


NO_MOULD = Mould()
"""Of answers that are no stream, and of streams that have only begun."""


class Plain(NamedTuple):
    """What plain events say."""

    pieces: int
    """Events that say something."""
    size: int
    """Bytes."""
    text: str
    thinks: bool


def plain_of(data: bytes, mould: Mould) -> Plain:
    """Of the events at the beginning that are whole and plain."""
    if texts := mould.texts(data):
        return Plain(sum(map(bool, texts)), len(data), b"".join(texts).decode(), thinks=False)
    pieces, size, whole, thinks = 0, 0, "", False
    *complete, _ = data.split(b"\n\n")
    try:
        for event in complete:
            delta = _delta(event)
            if delta.content:
                whole += delta.content
                pieces += 1
                mould.learn(event, delta.content)
            elif delta.reasoning_content or delta.reasoning:
                thinks = True
                pieces += 1
            size += len(event) + 2
    except (ValueError, RecursionError):  # also bytes that are no UTF-8
        pass
    return Plain(pieces, size, whole, thinks)


def _delta(event: bytes) -> _Delta:
    """Raises msgspec.DecodeError for an event that is not plain."""
    if not event.startswith(b"data: {") or b"\n" in event:
        raise msgspec.DecodeError
    return _chunk(event[6:]).choices[0].delta
