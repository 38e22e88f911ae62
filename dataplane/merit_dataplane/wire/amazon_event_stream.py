"""Amazon's event stream, `application/vnd.amazon.eventstream`, read from any split of its bytes.

A message, all numbers big-endian (https://docs.aws.amazon.com/lexv2/latest/dg/event-stream-encoding.html):

    total length  4 │ headers' length  4 │ CRC-32 of these 8 bytes  4 │ headers │ payload │ CRC-32 of all before  4

A header: length of its name 1, name, type 1, value; texts and bytes have their length, 2, before them.
"""

import struct
from collections.abc import Iterator, Mapping
from typing import NamedTuple
from uuid import UUID
from zlib import crc32

from merit_dataplane.wire.server_sent_events import MalformedStreamError

CONTENT_TYPE = "application/vnd.amazon.eventstream"
_PRELUDE = struct.Struct(">III")
_CRC = struct.Struct(">I")
_LENGTH = struct.Struct(">H")
_LEAST_BYTES = _PRELUDE.size + _CRC.size
_MOST_HEADER_BYTES = 128 * 1024
_MOST_PAYLOAD_BYTES = 24 * 1024 * 1024
"""Both as in Amazon's own clients."""
_TRUE, _FALSE, _BYTES, _TEXT, _TIME, _UUID = 0, 1, 6, 7, 8, 9
_NUMBERS = {2: struct.Struct(">b"), 3: struct.Struct(">h"), 4: struct.Struct(">i"), 5: struct.Struct(">q")}
_NUMBERS[_TIME] = _NUMBERS[5]

HeaderValue = bool | int | bytes | str | UUID
"""A time is an int: milliseconds since 1970."""


class Message(NamedTuple):
    """One message."""

    headers: Mapping[str, HeaderValue]
    payload: bytes

    def text(self, name: str) -> str:
        """A header that is a text; empty where it is absent or no text."""
        value = self.headers.get(name)
        return value if isinstance(value, str) else ""


class MessageReader:
    """One stream. `feed` gives the messages that have become whole."""

    def __init__(self) -> None:
        self._pending = bytearray()
        self._total = 0
        """Bytes of the message that has begun; 0 until its prelude is there."""

    def feed(self, data: bytes) -> Iterator[Message]:
        """The messages that end here. Raises MalformedStreamError at the first byte that can't be one's."""
        self._pending += data
        while True:
            if not self._total:
                if len(self._pending) < _PRELUDE.size:
                    return
                self._total = self._begun()
            if len(self._pending) < self._total:
                return
            whole = bytes(self._pending[: self._total])
            del self._pending[: self._total]
            self._total = 0
            yield _message(whole)

    def _begun(self) -> int:
        total, of_headers, crc = _PRELUDE.unpack_from(self._pending)
        if crc32(self._pending[:8]) != crc:
            raise MalformedStreamError("a message's prelude has another checksum than it says")
        of_payload = total - of_headers - _LEAST_BYTES
        if of_payload < 0:
            raise MalformedStreamError("a message is shorter than its headers")
        if of_headers > _MOST_HEADER_BYTES or of_payload > _MOST_PAYLOAD_BYTES:
            raise MalformedStreamError(f"a message has {total} bytes, more than any may have")
        return int(total)


def _message(whole: bytes) -> Message:
    if crc32(whole[: -_CRC.size]) != _CRC.unpack_from(whole, len(whole) - _CRC.size)[0]:
        raise MalformedStreamError("a message has another checksum than it says")
    end = _PRELUDE.size + _PRELUDE.unpack_from(whole)[1]
    try:
        headers = _headers(whole[_PRELUDE.size : end])
    except (struct.error, IndexError, UnicodeDecodeError, ValueError):
        raise MalformedStreamError("a message's headers can't be read") from None
    return Message(headers, whole[end : -_CRC.size])


def _headers(raw: bytes) -> dict[str, HeaderValue]:
    headers: dict[str, HeaderValue] = {}
    at = 0
    while at < len(raw):
        name_end = at + 1 + raw[at]
        name, kind = raw[at + 1 : name_end].decode(), raw[name_end]
        if name in headers:
            raise ValueError(name)
        headers[name], at = _value(raw, name_end + 1, kind)
    return headers


def _value(raw: bytes, at: int, kind: int) -> tuple[HeaderValue, int]:
    """A value and where it ends. Raises struct.error, ValueError."""
    if kind in (_TRUE, _FALSE):
        return kind == _TRUE, at
    if kind in _NUMBERS:
        return int(_NUMBERS[kind].unpack_from(raw, at)[0]), at + _NUMBERS[kind].size
    if kind == _UUID:
        return UUID(bytes=raw[at : at + 16]), at + 16
    if kind not in (_BYTES, _TEXT):
        raise ValueError(kind)
    start = at + _LENGTH.size
    end = start + _LENGTH.unpack_from(raw, at)[0]
    value = raw[start:end]
    if len(value) < end - start:
        raise ValueError(kind)
    return (value.decode() if kind == _TEXT else value), end
