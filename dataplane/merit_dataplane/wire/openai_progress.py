"""What of an answer a client has by now: read from the events of a stream in OpenAI's format, before they are sent.

Every event is checked here: one that is no JSON, or says that the provider failed, is held back, so that somebody else
can go on from what was sent before it.
"""

import re
from io import StringIO
from typing import Any

import msgspec

from merit_dataplane.wire.openai_plain import NO_MOULD, SPECIAL, Mould, plain_of
from merit_dataplane.wire.openai_response import decoded
from merit_dataplane.wire.passenger import CLOSED

_BLANK_LINE = re.compile(rb"\r?\n\r?\n")
_ABSENT = msgspec.Raw(b"")
_MOST_TEXT = 1024 * 1024
"""Characters of an answer beyond which it is not continued: nobody takes so long a beginning."""


class _Delta(msgspec.Struct, gc=False):
    content: Any = None
    reasoning_content: Any = None
    reasoning: Any = None
    tool_calls: msgspec.Raw = _ABSENT
    function_call: msgspec.Raw = _ABSENT
    refusal: Any = None
    audio: msgspec.Raw = _ABSENT
    provider_blocks: msgspec.Raw = _ABSENT


class _Choice(msgspec.Struct, gc=False):
    index: int = 0
    delta: _Delta | None = None
    text: Any = None
    finish_reason: Any = None


class _Chunk(msgspec.Struct, gc=False):
    choices: list[_Choice] | None = None
    error: msgspec.Raw = _ABSENT
    closed: bool = msgspec.field(default=False, name=CLOSED)


_chunk = msgspec.json.Decoder(_Chunk)


def _said(raw: msgspec.Raw) -> bool:
    return raw is not _ABSENT and bytes(raw) not in (b"null", b"[]", b"{}", b'""')


class Progress:
    """Of one answer, over all attempts that write it."""

    __slots__ = (
        "_length",
        "_mould",
        "_written",
        "calls",
        "error",
        "finished",
        "fixed",
        "malformed",
        "pieces",
        "reason",
        "started",
    )

    def __init__(self) -> None:
        self._written: StringIO | None = None  # most answers are whole, and never read here
        self._length = 0
        self._mould = NO_MOULD
        self.pieces = 0
        """In which text, thoughts and calls have come: an estimate of the output tokens where none are reported."""
        self.started = False
        """Something of an answer has come: text, a thought, a call, an end."""
        self.finished = False
        """The model has said why it ended, or an answer without choices has come."""
        self.reason: Any = None
        """The model's `finish_reason`."""
        self.calls = False
        """Something of a tool call has come."""
        self.fixed = False
        """Something has come that nobody else can go on from: several choices, sound, a refusal."""
        self.error = b""
        """The provider's own error event."""
        self.malformed = False
        """An event is no JSON."""

    @property
    def text(self) -> str:
        """All text so far."""
        return self._written.getvalue() if self._written is not None else ""

    @property
    def broken(self) -> bool:
        """Whether an event was held back: nothing after it can be sent."""
        return self.malformed or bool(self.error)

    def renewed(self) -> None:
        """Another attempt goes on: its own faults and end are to come."""
        self.error, self.malformed, self.started, self.finished = b"", False, False, False

    def plain(self, data: bytes) -> int:
        """How many bytes at the beginning are whole events that are nothing but text; `feed` takes the rest.

        What it takes for plain has no usage, no error, no end.
        """
        if self.fixed:
            return 0
        mould = self._mould
        if data.startswith(mould.before) and data.endswith(mould.after) and len(data) > mould.size:
            text = data[mould.start : mould.stop]
            if not SPECIAL.search(text):  # one event, as most come
                if text:
                    self._says(text.decode())
                    self.pieces += 1
                return len(data)
        if mould is NO_MOULD:
            mould = self._mould = Mould()
        found = plain_of(data, mould)
        if found.text:
            self._says(found.text)
        elif found.thinks:
            self.started = True
        self.pieces += found.pieces
        return found.size

    def feed(self, data: bytes) -> bytes:
        """Whole events in, those that may be sent out."""
        size = self.plain(data)
        return data if size == len(data) else data[:size] + self.look(data[size:])

    def look(self, data: bytes) -> bytes:
        """The same, where the first of them is not plain."""
        if b"\r" in data:
            return self._feed_any(data)
        start = 0
        for event in data.split(b"\n\n"):
            size = len(event) + 2
            plain = event[:7] == b"data: {" and b"\n" not in event
            if not (self._read(event[6:]) if plain else self._other(event)):
                return self._held_back(data, start, start + size)
            start += size
        return data

    def _feed_any(self, data: bytes) -> bytes:
        """The same, for line ends of any kind."""
        start = 0
        for end in _BLANK_LINE.finditer(data):
            if not self._other(data[start : end.start()]):
                return self._held_back(data, start, end.end())
            start = end.end()
        return data

    def _other(self, event: bytes) -> bool:
        payload = b"\n".join(line[5:].strip() for line in event.splitlines() if line.startswith(b"data:"))
        return not payload or payload == b"[DONE]" or self._read(payload)

    def _held_back(self, data: bytes, start: int, end: int) -> bytes:
        if self.error:
            self.error = data[start:end]
        return data[:start]

    def _read(self, payload: bytes) -> bool:
        """Whether the event may be sent."""
        try:
            chunk = _chunk.decode(payload)
        except (msgspec.ValidationError, RecursionError):
            return self._unusual(payload)
        except ValueError:  # also bytes that are no UTF-8
            self.malformed = True
            return False
        if chunk.error is not _ABSENT and _said(chunk.error):
            self.error = payload
            return False
        self.fixed = self.fixed or chunk.closed
        if chunk.choices:
            for choice in chunk.choices:
                self._choice(choice)
        return True

    def _choice(self, choice: _Choice) -> None:
        if choice.finish_reason is not None:
            self.started = self.finished = True
            self.reason = choice.finish_reason
        delta = choice.delta
        content = choice.text if delta is None else delta.content
        if content:
            self.started = True
            self.pieces += 1
            if choice.index or not isinstance(content, str):
                self.fixed = True
            else:
                self._says(content)
        if delta is None:
            return
        if not content and (delta.reasoning_content or delta.reasoning):
            self.started = True
            self.pieces += 1
        if _said(delta.tool_calls) or _said(delta.function_call):
            self.started = self.calls = True
            self.pieces += 1
        if delta.refusal or _said(delta.audio) or _said(delta.provider_blocks):
            self.started = self.fixed = True
            self.pieces += 1

    def _says(self, text: str) -> None:
        self.started = True
        self._length += len(text)
        if self._length > _MOST_TEXT:
            self.fixed, self._written = True, None
        elif self._written is None:
            self._written = StringIO()
            self._written.write(text)
        else:
            self._written.write(text)

    def _unusual(self, payload: bytes) -> bool:
        """JSON of another shape than we know: it is sent, and nobody else can go on from it."""
        if decoded(payload) is None:
            self.malformed = True
            return False
        self.started = self.fixed = True
        self.pieces += 1
        return True
