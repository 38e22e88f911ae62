"""Messages of `application/vnd.amazon.eventstream`, written as Amazon does."""

import struct
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID
from zlib import crc32


def message(headers: Mapping[str, Any], payload: bytes) -> bytes:
    """One message. Values: bool, int (64 bits), (size, int), bytes, str, datetime, UUID."""
    packed = b"".join(bytes([len(name.encode())]) + name.encode() + value(v) for name, v in headers.items())
    prelude = struct.pack(">II", 16 + len(packed) + len(payload), len(packed))
    whole = prelude + struct.pack(">I", crc32(prelude)) + packed + payload
    return whole + struct.pack(">I", crc32(whole))


def event(kind: str, payload: bytes) -> bytes:
    """An event of Bedrock's."""
    return message({":event-type": kind, ":content-type": "application/json", ":message-type": "event"}, payload)


def exception(kind: str, payload: bytes) -> bytes:
    """An exception within a stream."""
    return message(
        {":exception-type": kind, ":content-type": "application/json", ":message-type": "exception"}, payload
    )


def value(given: Any) -> bytes:
    """A header's value with its type before it."""
    match given:
        case True:
            return b"\x00"
        case False:
            return b"\x01"
        case (1, int(number)):
            return struct.pack(">bb", 2, number)
        case (2, int(number)):
            return struct.pack(">bh", 3, number)
        case (4, int(number)):
            return struct.pack(">bi", 4, number)
        case int():
            return struct.pack(">bq", 5, given)
        case bytes():
            return struct.pack(">bH", 6, len(given)) + given
        case str():
            return struct.pack(">bH", 7, len(given.encode())) + given.encode()
        case datetime():
            return struct.pack(">bq", 8, int(given.timestamp() * 1000))
        case UUID():
            return b"\x09" + given.bytes
        case _:
            raise TypeError(given)
