"""Requests of Responses clients: whatever comes is understood or refused."""

import contextlib
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from merit_dataplane.wire.anthropic_openai.renderer import MessageRenderer
from merit_dataplane.wire.errors import RequestError
from merit_dataplane.wire.openai_anthropic.request import request_body
from merit_dataplane.wire.plain import plain
from merit_dataplane.wire.responses_openai.renderer import ResponseRenderer
from merit_dataplane.wire.responses_openai.request import parse_responses
from merit_dataplane.wire.responses_responses.request import request_body as passed
from merit_dataplane.wire.server_sent_events import MalformedStreamError

MODEL = msgspec.Raw(b'"there"')
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
KINDS = "message function_call function_call_output custom_tool_call reasoning item_reference web_search_call"
PARTS = "input_text output_text input_image input_file refusal x"
OF_ITEMS = "role call_id name arguments output input summary encrypted_content id"
OF_REQUESTS = "instructions tools tool_choice text reasoning include store top_logprobs temperature stream metadata"


def fields(names: str) -> dict[str, Any]:
    return dict.fromkeys(names.split(), JSON)


PART = st.fixed_dictionaries(
    {"type": st.sampled_from(PARTS.split())}, optional=fields("text refusal image_url file_data filename")
)
ITEM = st.fixed_dictionaries(
    {"type": st.sampled_from(KINDS.split()), "content": st.lists(PART, max_size=3) | JSON}, optional=fields(OF_ITEMS)
)
REQUEST = st.fixed_dictionaries(
    {"model": st.just("m"), "input": st.lists(ITEM, min_size=1, max_size=4) | JSON}, optional=fields(OF_REQUESTS)
)


@settings(deadline=None, max_examples=100)
@given(REQUEST)
def test_any_json_is_understood_or_refused(request_: dict[str, Any]) -> None:
    with contextlib.suppress(RequestError):
        call = parse_responses(json.dumps(request_).encode())
        assert call.native is not None
        json.loads(passed(call.native, MODEL))
        json.loads(plain(call, MODEL).body_for(MODEL))
        ResponseRenderer(call, "req_1")
        json.loads(request_body(call, MODEL, 0))


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_understood_or_refused(body: bytes) -> None:
    with contextlib.suppress(RequestError):
        parse_responses(body)


OF_DELTAS = "content refusal reasoning_content reasoning_details tool_calls annotations"
DELTA = st.fixed_dictionaries({}, optional=fields(OF_DELTAS))
CHOICE = st.fixed_dictionaries({"delta": DELTA}, optional=fields("finish_reason logprobs"))
OF_CHUNKS = "id model usage error created merit_native"
CHUNK = st.fixed_dictionaries({"choices": st.lists(CHOICE, max_size=2)}, optional=fields(OF_CHUNKS))
ANSWER = st.fixed_dictionaries(
    {"choices": st.lists(JSON | st.fixed_dictionaries({"message": DELTA | JSON}), max_size=2)}
)


@settings(deadline=None, max_examples=100)
@given(st.lists(CHUNK, max_size=4))
def test_any_stream_of_chunks_is_written_or_malformed(chunks: list[Any]) -> None:
    for renderer in (ResponseRenderer(None, "req_1"), MessageRenderer(None, "req_1")):
        with contextlib.suppress(MalformedStreamError):
            for chunk in chunks:
                renderer.feed(b"data: " + json.dumps(chunk).encode() + b"\n\n")
            renderer.feed(b"data: [DONE]\n\n")
            renderer.finish()


@settings(deadline=None, max_examples=100)
@given(JSON | ANSWER, st.sampled_from([200, 400, 502]))
def test_any_whole_answer_is_written_or_told_to_be_none(answer: Any, status: int) -> None:
    for renderer in (ResponseRenderer(None, "req_1"), MessageRenderer(None, "req_1")):
        told, _ = renderer.whole(json.dumps(answer).encode(), status)
        assert told in (status, 502)


@pytest.mark.parametrize("field", ["input", "model"])
def test_what_is_missing_is_named(field: str) -> None:
    request = {"model": "m", "input": "?"}
    request.pop(field)
    with pytest.raises(RequestError) as refused:
        parse_responses(json.dumps(request).encode())
    assert refused.value.param == field


@pytest.mark.parametrize("item", [{"type": "web_search_call"}, {"type": "an_item_of_tomorrow"}])
def test_what_no_chat_can_say_needs_no_word_beside_it(item: dict[str, Any]) -> None:
    call = parse_responses(json.dumps({"model": "m", "input": [item]}).encode())
    assert call.native is not None
    assert call.native.only_there == ("input[0]",)
    assert json.loads(passed(call.native, MODEL))["input"] == [item]
