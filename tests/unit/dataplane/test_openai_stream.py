"""The stream translator: any split of the provider's bytes gives the client the same bytes."""

import json
from collections.abc import Iterable, Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from merit_crds.pricing import CostDetails, Usage
from merit_dataplane.wire.openai_stream import StreamTranslator
from merit_dataplane.wire.server_sent_events import MAX_EVENT_BYTES, MalformedStreamError

DONE = b"data: [DONE]\n\n"
USAGE = {"prompt_tokens": 7, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 2}}


def event(document: object, end: bytes = b"\n\n") -> bytes:
    return b"data: " + json.dumps(document, separators=(",", ":")).encode() + end


def text(content: str) -> dict[str, object]:
    return {"id": "c", "choices": [{"index": 0, "delta": {"content": content}}], "usage": None}


TEXT = event(text("Hi"))
USAGE_EVENT = event({"id": "c", "choices": [], "usage": USAGE})


def price(usage: Usage) -> CostDetails:
    return CostDetails(input=usage.input * 1_000_000, output=usage.output * 2_000_000, request=0)


def translate(pieces: Iterable[bytes], *, wants_usage: bool = False) -> tuple[bytes, StreamTranslator]:
    translator = StreamTranslator(wants_usage=wants_usage, price=price)
    out = [translator.feed(piece) for piece in pieces]
    out.append(translator.finish())
    return b"".join(out), translator


def split(data: bytes, cuts: Sequence[int]) -> list[bytes]:
    places = sorted({0, len(data), *(c % (len(data) + 1) for c in cuts)})
    return [data[a:b] for a, b in pairwise(places)]


documents = st.one_of(
    st.text(max_size=20).map(lambda t: event(text(t))),
    st.sampled_from(["data: [DONE]", "[DONE]", '"usage": {"prompt_tokens": 9}', '"error": {}', "data: x", "é"]).map(
        lambda t: event(text(t))
    ),
    st.just(b": keep-alive\n\n"),
    st.just(b"event: ping\ndata: {}\n\n"),
    st.just(event({"id": "c", "choices": [{"delta": {}}], "usage": USAGE})),
    st.just(event({"id": "c", "error": None, "choices": []})),
)


@given(
    events=st.lists(documents, max_size=8),
    has_usage=st.booleans(),
    is_done=st.booleans(),
    wants_usage=st.booleans(),
    crlf=st.booleans(),
    cuts=st.lists(st.integers(0, 10_000), max_size=30),
)
def test_any_split_gives_the_same(
    events: list[bytes], has_usage: bool, is_done: bool, wants_usage: bool, crlf: bool, cuts: list[int]
) -> None:
    data = b"".join(events) + (USAGE_EVENT if has_usage else b"") + (DONE if is_done else b"")
    if crlf:
        data = data.replace(b"\n", b"\r\n")
    expected, whole = translate([data], wants_usage=wants_usage)
    for pieces in (split(data, cuts), [bytes([b]) for b in data], [*_by_event(data)]):
        got, one = translate(pieces, wants_usage=wants_usage)
        assert got == expected
        assert (one.usage, one.complete, one.failed) == (whole.usage, whole.complete, whole.failed)
    assert whole.complete is is_done
    assert not whole.failed
    if has_usage:
        assert whole.usage == Usage(5, 3, 2)


def _by_event(data: bytes) -> Iterable[bytes]:
    end = b"\r\n\r\n" if b"\r\n" in data else b"\n\n"
    return (piece + end for piece in data.split(end)[:-1])


def test_without_the_wish_the_usage_event_is_hidden_and_the_rest_keeps_its_bytes() -> None:
    out, translator = translate([TEXT, USAGE_EVENT, DONE])
    assert out == TEXT + DONE
    assert translator.usage == Usage(5, 3, 2)
    assert translator.complete


def test_with_the_wish_the_usage_event_is_priced() -> None:
    out, _ = translate([TEXT + USAGE_EVENT + DONE], wants_usage=True)
    first, priced, done = out.split(b"\n\n")[:3]
    assert (first + b"\n\n", done + b"\n\n") == (TEXT, DONE)
    usage = json.loads(priced.removeprefix(b"data: "))["usage"]
    assert usage["cost"] == 0.000013
    assert usage["cost_details"]["upstream_inference_completions_cost"] == 0.000006
    assert usage["prompt_tokens_details"] == {"cached_tokens": 2}


def test_usage_in_a_chunk_that_has_choices_is_counted_and_the_chunk_stays() -> None:
    both = event({**text("last"), "usage": USAGE})
    out, translator = translate([TEXT, both, DONE])
    assert out == TEXT + both + DONE
    assert translator.usage == Usage(5, 3, 2)
    priced, _ = translate([TEXT, both, DONE], wants_usage=True)
    assert b'"cost":0.000013' in priced
    assert b'"content":"last"' in priced


def test_of_several_usages_the_last_counts() -> None:
    running = event({**text("a"), "usage": {"prompt_tokens": 7, "completion_tokens": 1}})
    _, translator = translate([running, USAGE_EVENT, DONE])
    assert translator.usage == Usage(5, 3, 2)


@pytest.mark.parametrize("done", [b"data: [DONE]\n\n", b"data:[DONE]\n\n", b"data: [DONE]\r\n\r\n", b"data: [DONE]"])
def test_the_end_marker_in_all_its_forms(done: bytes) -> None:
    for pieces in ([TEXT, done], [TEXT + done], [TEXT, *(bytes([b]) for b in done)]):
        out, translator = translate(pieces)
        assert translator.complete
        assert out.startswith(TEXT + done.strip())


def test_an_answer_that_talks_about_the_end_marker_does_not_end() -> None:
    chunk = event(text("SSE streams end with data: [DONE]"))
    out, translator = translate([chunk, TEXT])
    assert out == chunk + TEXT
    assert not translator.complete


def test_a_stream_without_end_marker_is_not_complete() -> None:
    assert not translate([TEXT, USAGE_EVENT])[1].complete


def test_an_error_event_is_passed_on_and_noticed() -> None:
    error = event({"error": {"message": "overloaded", "type": "server_error"}})
    for pieces in ([TEXT, error], [TEXT + error], [TEXT + error[:9], error[9:]]):
        out, translator = translate(pieces)
        assert out == TEXT + error
        assert translator.failed


def test_a_null_error_is_none() -> None:
    chunk = event({**text("x"), "error": None})
    assert not translate([chunk])[1].failed


def test_an_event_that_was_cut_off_is_not_passed_on() -> None:
    out, translator = translate([TEXT, TEXT[:-9]])
    assert out == TEXT
    assert not translator.complete


def test_a_whole_last_event_without_its_blank_line_is_passed_on() -> None:
    out, translator = translate([TEXT, USAGE_EVENT[:-2]], wants_usage=True)
    assert out.startswith(TEXT + b"data: {")
    assert out.endswith(b"\n\n")
    assert translator.usage == Usage(5, 3, 2)


def test_an_event_without_end_is_cut_off() -> None:
    translator = StreamTranslator(wants_usage=False, price=price)
    piece = b"data: " + b"x" * (1 << 20)
    for _ in range(MAX_EVENT_BYTES // len(piece) - 1):
        assert translator.feed(piece) == b""
    with pytest.raises(MalformedStreamError):
        translator.feed(piece * 2)


@pytest.mark.parametrize(
    "chunk",
    [
        b'data: {"usage":{"prompt_tokens":"many"},"choices":[]}\n\n',
        b'data: {"usage":{broken\n\n',
        b"data: \xff\xfe\n\n",
    ],
)
def test_what_makes_no_sense_is_passed_on(chunk: bytes) -> None:
    out, translator = translate([TEXT, chunk, DONE])
    assert out == TEXT + chunk + DONE
    assert translator.usage is None
