"""Amazon's framing, read from any split of its bytes; whatever else is told, nothing is read from broken ones."""

import contextlib
import json
import struct
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from merit_dataplane.wire.amazon_event_stream import Message, MessageReader
from merit_dataplane.wire.server_sent_events import MalformedStreamError
from tests.support.cassettes import cassettes
from tests.support.event_stream import message

TIMES = st.datetimes(datetime(1970, 1, 2), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
VALUES = st.one_of(
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.tuples(st.just(1), st.integers(-128, 127)),
    st.tuples(st.just(2), st.integers(-(2**15), 2**15 - 1)),
    st.tuples(st.just(4), st.integers(-(2**31), 2**31 - 1)),
    st.binary(max_size=300),
    st.text(max_size=80),
    TIMES,
    st.uuids(),
)
NAMES = st.text(min_size=1, max_size=60)
MESSAGES = st.lists(st.tuples(st.dictionaries(NAMES, VALUES, max_size=6), st.binary(max_size=400)), max_size=5)
GOOD = message({":message-type": "event", ":event-type": "x"}, b"{}")


def meant(value: Any) -> Any:
    if isinstance(value, tuple):
        return value[1]
    return int(value.timestamp() * 1000) if isinstance(value, datetime) else value


def read(data: bytes, cuts: list[int]) -> list[Message]:
    reader, places = MessageReader(), sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [found for a, b in pairwise(places) for found in reader.feed(data[a:b])]


@given(MESSAGES, st.lists(st.integers(0, 10_000), max_size=12))
def test_what_was_written_is_read_at_any_split(written: list[tuple[dict[str, Any], bytes]], cuts: list[int]) -> None:
    found = read(b"".join(message(headers, payload) for headers, payload in written), cuts)
    assert [(dict(m.headers), m.payload) for m in found] == [
        ({name: meant(value) for name, value in headers.items()}, payload) for headers, payload in written
    ]


@given(MESSAGES.filter(bool), st.integers(0, 10**6), st.integers(1, 255))
def test_a_byte_that_changed_is_noticed(
    written: list[tuple[dict[str, Any], bytes]], place: int, difference: int
) -> None:
    data = bytearray(b"".join(message(headers, payload) for headers, payload in written))
    data[place % len(data)] ^= difference
    with pytest.raises(MalformedStreamError):
        list(MessageReader().feed(bytes(data) + b"\xff" * 64))


@given(st.binary(max_size=600), st.lists(st.integers(0, 600), max_size=4))
def test_other_bytes_give_nothing_or_the_one_error(data: bytes, cuts: list[int]) -> None:
    with contextlib.suppress(MalformedStreamError):
        assert read(data, cuts) == []


def rebuilt(headers: bytes, payload: bytes = b"") -> bytes:
    prelude = struct.pack(">II", 16 + len(headers) + len(payload), len(headers))
    whole = prelude + struct.pack(">I", crc32(prelude)) + headers + payload
    return whole + struct.pack(">I", crc32(whole))


@pytest.mark.parametrize(
    "headers",
    [
        b"\x01a\x0a",  # no such type
        b"\x01a\x07\x00\x09short",
        b"\x01a\x07\x00\x01\xff",  # no UTF-8
        b"\x01a\x05\x00",
        b"\x01a\x09\x00\x01",
        b"\x09a",
        b"\x01a\x00\x01a\x01",  # twice
    ],
)
def test_headers_that_cant_be(headers: bytes) -> None:
    with pytest.raises(MalformedStreamError, match="headers"):
        list(MessageReader().feed(rebuilt(headers)))


@pytest.mark.parametrize(("total", "of_headers"), [(15, 0), (20, 5), (16 + 200_000, 200_000), (30 * 2**20, 0), (0, 0)])
def test_lengths_that_cant_be_are_refused_before_their_bytes_come(total: int, of_headers: int) -> None:
    prelude = struct.pack(">II", total, of_headers)
    with pytest.raises(MalformedStreamError):
        list(MessageReader().feed(prelude + struct.pack(">I", crc32(prelude))))


def test_a_message_is_given_as_soon_as_it_is_whole() -> None:
    reader = MessageReader()
    assert list(reader.feed(GOOD[:-1])) == []
    assert [m.text(":event-type") for m in reader.feed(GOOD[-1:] + GOOD)] == ["x", "x"]


STREAMS = ("converse-stream", "invoke-stream")


@pytest.mark.parametrize(
    "recorded", [c for e in STREAMS for c in cassettes("bedrock", e) if c.streamed], ids=lambda c: str(c.name)
)
def test_recordings_are_read_whole(recorded: Any) -> None:
    found = read(recorded.body, list(range(0, len(recorded.body), 97)))
    assert {m.text(":message-type") for m in found} == {"event"}
    assert sum(len(m.payload) for m in found) < len(recorded.body)
    if recorded.endpoint == "converse-stream":
        assert (found[0].text(":event-type"), found[-1].text(":event-type")) == ("messageStart", "metadata")
    assert all(isinstance(json.loads(m.payload), dict) for m in found)
