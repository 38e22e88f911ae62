"""Streams of pictures, sound and transcripts: the same bytes come out, whatever they are and however they are split."""

import json
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from merit_dataplane.wire.openai_passed.stream import PassedStream
from merit_dataplane.wire.openai_passed.usage import usage_of
from merit_dataplane.wire.openai_request import Operation
from merit_dataplane.wire.server_sent_events import MAX_EVENT_BYTES

USAGE = {"input_tokens": 50, "output_tokens": 7, "input_tokens_details": {"text_tokens": 10, "image_tokens": 40}}
LAST = b"data: " + json.dumps({"type": "image_generation.completed", "usage": USAGE}).encode()
PARTIAL = b'event: x\r\ndata: {"type":"image_generation.partial_image","b64_json":"aGk="}'


def fed(data: bytes, cuts: list[int], operation: Operation = Operation.IMAGES) -> tuple[PassedStream, bytes]:
    stream = PassedStream(operation, events=True)
    places = sorted({min(cut, len(data)) for cut in cuts} | {0, len(data)})
    out = b"".join(stream.feed(data[a:b]) for a, b in pairwise(places))
    return stream, out + stream.finish()


@given(
    st.lists(st.sampled_from([LAST, PARTIAL, b": ping", b"data: [DONE]"]), min_size=1, max_size=6),
    st.sampled_from([b"\n\n", b"\r\n\r\n"]),
    st.lists(st.integers(0, 1500), max_size=30),
)
def test_usage_is_the_same_at_any_split(events: list[bytes], end: bytes, cuts: list[int]) -> None:
    data = b"".join(event + end for event in events)
    stream, out = fed(data, cuts)
    pictures = events.count(LAST)
    assert out == data
    assert (
        (stream.usage.input, stream.usage.all_output) == (50 * pictures, 7 * pictures) if stream.usage else not pictures
    )
    ended = LAST in events or b"data: [DONE]" in events
    assert stream.complete == (ended or PARTIAL not in events)


@given(st.binary(max_size=3000), st.lists(st.integers(0, 3000), max_size=20), st.sampled_from(list(Operation)))
def test_any_bytes_pass(data: bytes, cuts: list[int], operation: Operation) -> None:
    for given_data in (data, b"data: " + data + b"\n\n", b'data: {"type":"x.done","usage":' + data + b"}\n\n"):
        assert fed(given_data, cuts, operation)[1] == given_data
        usage_of(given_data, operation)


COUNTS = st.dictionaries(
    st.sampled_from([*USAGE, "image_tokens", "cached_tokens"]),
    st.recursive(
        st.none() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
        lambda inner: st.dictionaries(st.sampled_from(["text_tokens", "image_tokens", "cached_tokens"]), inner),
    ),
)


@given(COUNTS | st.none() | st.text())
def test_a_usage_of_any_shape_gives_whole_counts_or_none(told: object) -> None:
    for operation in (Operation.IMAGES, Operation.SPEECH, Operation.TRANSCRIPTIONS):
        usage = usage_of(json.dumps({"usage": told}).encode(), operation)
        if usage is not None:
            assert isinstance(told, dict)
            assert (usage.input, usage.all_output) == (told["input_tokens"], told["output_tokens"])
            assert min(*usage[:4], *(usage.special or (0,))) >= 0


def test_an_event_that_is_too_long_passes_unread() -> None:
    piece = b"data: " + b"x" * (MAX_EVENT_BYTES // 4)
    stream = PassedStream(Operation.IMAGES, events=True)
    assert [stream.feed(piece) for _ in range(6)] == [piece] * 6
    stream.finish()
    assert stream.complete
    assert stream.usage is None
