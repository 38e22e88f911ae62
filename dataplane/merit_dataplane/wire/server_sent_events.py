"""Server-sent events, read from any split of their bytes (WHATWG HTML, section 9.2)."""

import re
from collections.abc import Iterator

BOM = b"\xef\xbb\xbf"
"""It may stand before a stream or a JSON document."""
MAX_EVENT_BYTES = 1024 * 1024 * 16
_LINE = re.compile(rb"\r\n|\n|\r(?!\Z)")
"""A CR at the very end may be half of a CRLF: it waits."""


class MalformedStreamError(ValueError):
    """The provider sent an event without end, or one that is not what its protocol says."""


class EventReader:
    """One stream. `feed` gives the data of each event that has become whole; comments and event names are skipped."""

    def __init__(self) -> None:
        self._pending = b""
        self._data: list[bytes] = []
        self._size = 0
        self._begun = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Data of the events that end here. Raises MalformedStreamError when one grows past MAX_EVENT_BYTES."""
        lines = _LINE.split(self._pending + data)
        self._pending = lines.pop()
        if lines and not self._begun:
            self._begun, lines[0] = True, lines[0].removeprefix(BOM)
        for line in lines:
            if line:
                self._line(line)
            elif self._data:
                yield self._take()
        if self._size + len(self._pending) > MAX_EVENT_BYTES:
            raise MalformedStreamError(f"an event has more than {MAX_EVENT_BYTES} bytes")

    def finish(self) -> Iterator[bytes]:
        """Data of a last event whose blank line is missing."""
        if self._pending:
            self._line(self._pending.rstrip(b"\r") if self._begun else self._pending.rstrip(b"\r").removeprefix(BOM))
            self._pending = b""
        if self._data:
            yield self._take()

    def _line(self, line: bytes) -> None:
        if line.startswith(b"data:"):
            value = line[6:] if line[5:6] == b" " else line[5:]
            self._data.append(value)
            self._size += len(value)

    def _take(self) -> bytes:
        data, self._data, self._size = b"\n".join(self._data), [], 0
        return data
