"""Events of a response, numbered."""

from typing import Any

import msgspec

_encode = msgspec.json.Encoder().encode


class Events:
    """Of one stream."""

    def __init__(self) -> None:
        self._next = 0

    def passed(self, number: int) -> None:
        """The vendor's own event had this number."""
        self._next = max(self._next, number + 1)

    def send(self, kind: str, **fields: Any) -> bytes:
        """The bytes of one event."""
        event = {"type": kind, "sequence_number": self._next, **fields}
        self._next += 1
        return b"event: %b\ndata: %b\n\n" % (kind.encode(), _encode(event))
