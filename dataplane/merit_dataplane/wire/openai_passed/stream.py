"""A stream that passes: events, or the bytes of a sound. Only its end is looked for, and the usage there."""

import re
from operator import add

import msgspec

from merit_crds.pricing import SpecialTokens, Usage
from merit_dataplane.wire.openai_passed.usage import usage_of
from merit_dataplane.wire.openai_request import Operation
from merit_dataplane.wire.server_sent_events import MAX_EVENT_BYTES

_END = re.compile(rb"\r?\n\r?\n")
_LAST = (".completed", ".done")
_DONE = b"[DONE]"


class _Event(msgspec.Struct):
    type: str = ""
    error: msgspec.Raw = msgspec.Raw(b"")


_event = msgspec.json.Decoder(_Event)


class PassedStream:
    """One stream. `feed` gives back what it gets."""

    def __init__(self, operation: Operation, *, events: bool):
        self._operation, self._reads = operation, events
        self._pending, self._any, self._seen = bytearray(), False, False
        self._ended = not events
        self.usage: Usage | None = None
        self.complete = False
        """Only a proper end of the body makes it so: several pictures have several last events."""
        self.failed = False
        self.told: Usage | None = None
        """Nothing before the end."""

    def feed(self, data: bytes) -> bytes:
        """The same bytes."""
        self._any = self._any or bool(data)
        if self._reads:
            looked_at = max(0, len(self._pending) - 3)
            self._pending += data
            self._read(looked_at)
        return data

    def finish(self) -> bytes:
        """Nothing is left; whether the provider had come to an end."""
        if self._reads and self._pending.strip():
            self._one(bytes(self._pending))
        self.complete = self._any and (self._ended or not self._seen)  # what is no stream of events has no last one
        return b""

    def _read(self, looked_at: int) -> None:
        start = 0
        while (end := _END.search(self._pending, looked_at)) is not None:
            self._one(bytes(self._pending[start : end.start()]))
            start = looked_at = end.end()
        del self._pending[:start]
        if len(self._pending) > MAX_EVENT_BYTES:
            self._reads, self._ended = False, True  # it passes unread
            self._pending.clear()

    def _one(self, event: bytes) -> None:
        data = b"\n".join(line[5:].strip() for line in event.splitlines() if line.startswith(b"data:"))
        if not data:
            return
        self._seen = True
        if data == _DONE:
            self._ended = True
            return
        try:
            read = _event.decode(data)
        except (ValueError, RecursionError):
            return
        self.failed = self.failed or read.type == "error" or bytes(read.error) not in (b"", b"null")
        if read.type.endswith(_LAST):
            self._ended = True
            if (usage := usage_of(data, self._operation)) is not None:
                self.usage = usage if self.usage is None else _sum(self.usage, usage)


def _sum(one: Usage, other: Usage) -> Usage:
    """Of two pictures."""
    special = SpecialTokens(*map(add, one.special or SpecialTokens(), other.special or SpecialTokens()))
    return Usage(
        one.uncached_input + other.uncached_input,
        one.output + other.output,
        one.cached_input + other.cached_input,
        special=special if any(special) else None,
    )
