"""The pieces of a stream: server-sent events with `alt=sse`, else the elements of one JSON array."""

import re
from collections.abc import Iterator

from merit_dataplane.wire.server_sent_events import BOM, MAX_EVENT_BYTES, EventReader, MalformedStreamError

_NOTABLE = re.compile(rb'[\\"{}\[\]]')


class ArrayReader:
    """Elements of a JSON array as they become whole. A lone object is its own element."""

    def __init__(self) -> None:
        self._pending = bytearray()  # grows without being copied each time
        self._at = self._depth = self._base = 0
        self._start = -1
        self._in_string = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Elements that end here. Raises MalformedStreamError when one grows past MAX_EVENT_BYTES."""
        self._pending += data
        while (found := _NOTABLE.search(self._pending, self._at)) is not None:
            mark, self._at = found[0], found.end()
            if self._in_string:
                if mark == b"\\":
                    self._at += 1
                self._in_string = mark != b'"'
            elif mark == b'"':
                self._in_string = True
            elif mark in b"{[":
                if mark == b"[" and not self._depth and self._start < 0:
                    self._base = 1
                elif self._depth == self._base:
                    self._start = found.start()
                self._depth += 1
            else:
                self._depth -= 1
                if self._depth == self._base and self._start >= 0:
                    element = bytes(self._pending[self._start : self._at])
                    del self._pending[: self._at]
                    self._at, self._start = 0, -1
                    yield element
                elif self._depth < 0:
                    raise MalformedStreamError("a bracket closes that none opened")
        self._at = max(self._at, len(self._pending))
        if len(self._pending) > MAX_EVENT_BYTES:
            raise MalformedStreamError(f"an element has more than {MAX_EVENT_BYTES} bytes")

    def finish(self) -> Iterator[bytes]:
        """Nothing: an element without its end is none."""
        return iter(())


class FrameReader:
    """One stream of either framing, told apart by its first byte."""

    def __init__(self) -> None:
        self._reader: ArrayReader | EventReader | None = None
        self._before = b""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """JSON of each piece that has become whole. Raises MalformedStreamError."""
        if self._reader is None:
            data = self._before = (self._before + data).lstrip()
            if len(data) < len(BOM) and BOM.startswith(data):
                return iter(())
            data = data.removeprefix(BOM).lstrip()
            if not data:
                return iter(())
            self._reader = ArrayReader() if data[:1] in b"[{" else EventReader()
        return self._reader.feed(data)

    def finish(self) -> Iterator[bytes]:
        """JSON of a last piece."""
        return iter(()) if self._reader is None else self._reader.finish()
