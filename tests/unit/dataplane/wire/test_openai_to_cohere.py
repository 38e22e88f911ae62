"""Requests in OpenAI's format, as Cohere gets them; and what the recordings of its answers don't show."""

import contextlib
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from merit_crds.pricing import CostDetails
from merit_dataplane.wire.errors import RequestError
from merit_dataplane.wire.openai_cohere.answer import answer_body, error_answer
from merit_dataplane.wire.openai_cohere.embeddings import embeddings_body, embeddings_request
from merit_dataplane.wire.openai_cohere.request import request_body
from merit_dataplane.wire.openai_cohere.stream import CohereStream
from merit_dataplane.wire.openai_request import Operation, parse
from merit_dataplane.wire.server_sent_events import MalformedStreamError
from merit_dataplane.wire.vectors import as_base64
from tests.support.chunks import events, put_together

MODEL = msgspec.Raw(b'"command-a"')
HELLO = [{"role": "user", "content": "Hello"}]
WEATHER = {
    "type": "function",
    "function": {"name": "weather", "description": "Now", "parameters": {"type": "object", "properties": {}}},
}
NOW: dict[str, Any] = {
    "type": "function",
    "function": {"name": "now", "parameters": {"type": "object", "properties": {}}},
}
CALL = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"at": 1.50}'}}
PDF = "data:application/pdf;base64,aGk="
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}}


def sent(request: dict[str, Any], *, most: int = 0) -> dict[str, Any]:
    call = parse(Operation.CHAT, json.dumps({"model": "chat", "messages": HELLO} | request).encode())
    made: dict[str, Any] = json.loads(request_body(call, MODEL, most))
    return made


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, {}),
        ({"max_completion_tokens": 5, "stream": True}, {"max_tokens": 5, "stream": True}),
        ({"temperature": 1.7, "top_p": 1}, {"temperature": 1.0, "p": 0.99}),
        ({"frequency_penalty": -1, "presence_penalty": 0.5}, {"frequency_penalty": 0.0, "presence_penalty": 0.5}),
        ({"top_k": 3, "seed": 7, "logprobs": True}, {"k": 3, "seed": 7, "logprobs": True}),
        ({"stop": "END"}, {"stop_sequences": ["END"]}),
        ({"logit_bias": {}, "metadata": {"a": "b"}, "user": "u", "parallel_tool_calls": True}, {}),
        ({"tools": [WEATHER]}, {"tools": [WEATHER]}),
        ({"functions": [NOW["function"]], "function_call": "auto"}, {"tools": [NOW]}),
        ({"tools": [WEATHER], "tool_choice": "none"}, {"tools": [WEATHER], "tool_choice": "NONE"}),
        ({"tools": [WEATHER], "tool_choice": "required"}, {"tools": [WEATHER], "tool_choice": "REQUIRED"}),
        ({"tools": [WEATHER, NOW], "tool_choice": NOW}, {"tools": [NOW], "tool_choice": "REQUIRED"}),
        (
            {
                "tools": [WEATHER, NOW],
                "tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [NOW]}},
            },
            {"tools": [NOW]},
        ),
        (
            {"tools": [{"type": "function", "function": {**NOW["function"], "strict": True}}]},
            {"tools": [NOW], "strict_tools": True},
        ),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}}},
            {"response_format": {"type": "json_object", "json_schema": SCHEMA}},
        ),
        ({"response_format": {"type": "json_object"}}, {"response_format": {"type": "json_object"}}),
        ({"response_format": {"type": "text"}}, {}),
        ({"reasoning_effort": "low"}, {"thinking": {"type": "enabled", "token_budget": 1638}}),
        ({"reasoning_effort": "none"}, {"thinking": {"type": "disabled"}}),
        ({"reasoning": {"enabled": True}}, {"thinking": {"type": "enabled"}}),
        ({"thinking": {"type": "disabled"}, "reasoning_effort": "high"}, {"thinking": {"type": "disabled"}}),
        ({"documents": ["a"]}, {"documents": ["a"]}),
        ({"citation_options": {"mode": "OFF"}}, {"citation_options": {"mode": "OFF"}}),
    ],
)  # fmt: skip
def test_a_field(given: dict[str, Any], expected: dict[str, Any]) -> None:
    assert sent(given) == {"model": "command-a", "messages": HELLO, "stream": False} | expected


def test_messages() -> None:
    image = {"type": "image_url", "image_url": {"url": "https://a.example/b.png", "detail": "low"}}
    text = {"type": "text", "text": "Look"}
    document = {"type": "document", "document": {"data": {"text": "x"}}}
    made = sent({
        "messages": [
            {"role": "developer", "content": "Be brief."},
            {"role": "user", "content": [text, image]},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [CALL],
                "reasoning_details": [{"type": "reasoning.text", "text": "Hm.", "format": "cohere-v2"}],
            },
            {"role": "tool", "tool_call_id": "c1", "content": [document]},
            {"role": "assistant", "content": "Rain."},
        ]
    })  # fmt: skip
    assert made["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [text, image]},
        {"role": "assistant", "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "c1", "content": [document]},
        {"role": "assistant", "content": "Rain."},
    ]


def test_files_of_text_are_documents() -> None:
    file = {"type": "file", "file": {"filename": "a.txt", "file_data": "data:text/plain;base64,aGk="}}
    made = sent({"messages": [{"role": "user", "content": [{"type": "text", "text": "?"}, file]}]})
    assert made["documents"] == [{"id": "file:0", "data": {"text": "hi", "title": "a.txt"}}]
    assert made["messages"][0]["content"] == [{"type": "text", "text": "?"}]


@pytest.mark.parametrize(
    ("given", "param"),
    [
        ({"messages": [{"role": "robot"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": [{"type": "input_audio"}]}]}, "messages[0].content[0].type"),
        (
            {"messages": [{"role": "user", "content": [{"type": "file", "file": {"file_data": PDF}}]}]},
            "messages[0].content[0].file.file_data",
        ),
        ({"temperature": "hot"}, "temperature"),
        ({"tools": [{"type": "web_search"}]}, "tools[0].type"),
        ({"tools": [WEATHER], "tool_choice": 7}, "tool_choice"),
        ({"reasoning_effort": "extreme"}, "reasoning_effort"),
    ],
)  # fmt: skip
def test_what_cant_be_said_is_named(given: dict[str, Any], param: str) -> None:
    with pytest.raises(RequestError) as refused:
        sent(given)
    assert (refused.value.status, refused.value.param) == (400, param)


def embedded(request: dict[str, Any]) -> dict[str, Any]:
    call = parse(Operation.EMBEDDINGS, json.dumps({"model": "e"} | request).encode())
    made: dict[str, Any] = json.loads(embeddings_request(call, MODEL))
    return made


def test_embeddings() -> None:
    least = {"model": "command-a", "input_type": "search_document", "embedding_types": ["float"]}
    assert embedded({"input": "a"}) == {**least, "texts": ["a"]}
    assert embedded({"input": ["a", "b"], "dimensions": 256, "input_type": "search_query"}) == {
        **least,
        "texts": ["a", "b"],
        "output_dimension": 256,
        "input_type": "search_query",
    }
    with pytest.raises(RequestError) as refused:
        embedded({"input": [1, 2, 3]})
    assert refused.value.param == "input"
    call = parse(Operation.EMBEDDINGS, b'{"model":"e","input":"a","encoding_format": "base64"}')
    assert as_base64(call)


def test_logprobs_are_told_for_each_piece() -> None:
    items = [
        {"text": "Hi", "token_ids": [5], "logprobs": [-0.5]},
        {"text": "é!", "token_ids": [6, 7], "logprobs": [-1, -2]},
    ]
    body = {"id": "i", "message": {"content": [{"type": "text", "text": "Hié!"}]}, "logprobs": items}
    made = json.loads(answer_body(json.dumps(body).encode(), model="m", created=1)[0])
    told = made["choices"][0]["logprobs"]["content"]
    assert [(t["token"], t["logprob"]) for t in told] == [("Hi", -0.5), ("é!", -3)]
    assert bytes(told[1]["bytes"]).decode() == "é!"


def stream(*told: dict[str, Any]) -> tuple[bytes, CohereStream]:
    opened = CohereStream(
        wants_usage=True, price=lambda _: CostDetails(input=0, output=0, request=0), model="m", created=1
    )
    out = opened.feed(b"".join(b"data: %b\n\n" % json.dumps(event).encode() for event in told))
    return out + opened.finish(), opened


HI = {"message": {"content": {"text": "Hi"}}}


def test_logprobs_in_a_stream() -> None:
    out, _ = stream(
        {"type": "message-start", "id": "i"},
        {"type": "content-delta", "delta": HI, "logprobs": {"text": "Hi", "logprobs": [-1]}},
    )
    assert [t["logprob"] for t in put_together(out)["logprobs"]] == [-1]


def test_a_stream_that_ends_with_an_error_failed() -> None:
    out, opened = stream(
        {"type": "message-start", "id": "i"},
        {"type": "message-end", "delta": {"finish_reason": "ERROR", "error": "Oh."}},
    )
    assert (opened.complete, opened.failed) == (True, True)
    assert list(events(out))[-1]["error"]["message"] == "Oh."
    with pytest.raises(ValueError, match="TIMEOUT"):
        answer_body(b'{"message":{},"finish_reason":"TIMEOUT"}', model="m", created=1)


def test_a_tool_without_arguments_has_an_empty_object() -> None:
    call = {"id": "c", "function": {"name": "now", "arguments": ""}}
    out, _ = stream(
        {"type": "message-start", "id": "i"},
        {"type": "tool-call-start", "index": 0, "delta": {"message": {"tool_calls": call}}},
        {"type": "tool-call-end", "index": 0},
    )
    assert put_together(out)["tool_calls"] == [{"id": "c", "name": "now", "arguments": "{}"}]


def test_a_cited_page_is_an_annotation_too() -> None:
    source = {"type": "document", "document": {"url": "https://a.example", "title": "T"}}
    citation = {"start": 1, "end": 3, "text": "bc", "sources": [source], "content_index": 1, "type": "TEXT_CONTENT"}
    content = [{"type": "text", "text": "xx"}, {"type": "text", "text": "abcd"}]
    body = {"message": {"content": content, "citations": [citation, {**citation, "type": "PLAN"}]}}
    message = json.loads(answer_body(json.dumps(body).encode(), model="m", created=1)[0])["choices"][0]["message"]
    assert message["content"][3:5] == "bc"
    place = {"start_index": 3, "end_index": 5}
    assert message["citations"] == [{**citation, **place}, {**citation, "type": "PLAN"}]
    page = {"url": "https://a.example", "title": "T", **place}
    assert message["annotations"] == [{"type": "url_citation", "url_citation": page}]


@pytest.mark.parametrize(
    ("status", "body", "told", "code"),
    [
        (429, {"message": "You are using a Trial key"}, 429, "rate_limit_exceeded"),
        (498, {"message": "invalid token"}, 498, "invalid_api_key"),
        (400, {"message": "model 'x' not found, make sure the name is right"}, 404, "model_not_found"),
        (404, {"message": "model 'command-r' was removed on September 15, 2025."}, 404, "model_not_found"),
        (400, {"message": "invalid request", "error_type": "BAD"}, 400, "BAD"),
        (503, {"message": "later"}, 503, None),
    ],
)
def test_errors(status: int, body: dict[str, Any], told: int, code: str | None) -> None:
    got, made = error_answer(json.dumps(body).encode(), status)
    error = json.loads(made)["error"]
    assert (got, error["code"], error["message"]) == (told, code, body["message"])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
FIELDS = ("tools", "tool_choice", "response_format", "reasoning", "documents", "stop", "top_p", "thinking", "functions")
MESSAGE = st.fixed_dictionaries(
    {"role": st.sampled_from(["system", "user", "assistant", "tool", "x"])},
    optional=dict.fromkeys(("content", "tool_calls", "tool_call_id", "function_call", "refusal"), JSON),
)
NAMES = st.sampled_from([
    "type", "delta", "message", "content", "text", "thinking", "tool_calls", "function", "arguments", "citations",
    "usage", "tokens", "billed_units", "input_tokens", "start", "end", "sources", "document", "logprobs", "index",
    "finish_reason", "content_index", "embeddings", "float", "meta", "url",
])  # fmt: skip
TREES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)
KINDS = st.sampled_from([
    "message-start", "content-start", "content-delta", "tool-plan-delta", "tool-call-start", "tool-call-delta",
    "tool-call-end", "citation-start", "message-end", "x",
])  # fmt: skip


@given(st.dictionaries(NAMES, TREES), st.sampled_from([None, "TEXT_CONTENT", "PLAN"]))
def test_any_citation_is_kept(citation: dict[str, Any], kind: str | None) -> None:
    body = {"message": {"citations": [{**citation, "type": kind}]}}
    message = json.loads(answer_body(json.dumps(body).encode(), model="m", created=1)[0])["choices"][0]["message"]
    assert {**message["citations"][0], **citation, "type": kind} == message["citations"][0]


@given(st.lists(MESSAGE, max_size=4), st.dictionaries(st.sampled_from(FIELDS), JSON))
def test_any_request_is_said_or_refused(messages: list[dict[str, Any]], more: dict[str, Any]) -> None:
    with contextlib.suppress(RequestError):
        sent({"messages": messages, **more})


@given(st.lists(st.tuples(KINDS, st.dictionaries(NAMES, TREES)), max_size=8))
def test_any_events_are_translated_or_refused(told: list[tuple[str, dict[str, Any]]]) -> None:
    with contextlib.suppress(MalformedStreamError):
        list(events(stream(*({**data, "type": kind} for kind, data in told))[0]))


@given(st.binary(max_size=200) | TREES.map(lambda tree: json.dumps(tree).encode()))
def test_any_body_is_translated_or_refused(body: bytes) -> None:
    with contextlib.suppress(ValueError):
        answer_body(body, model="m", created=1)
    with contextlib.suppress(ValueError):
        embeddings_body(body, model="m", base64_wanted=True)
    error_answer(body, 400)


@given(TREES, TREES, TREES)
def test_any_answer_is_translated_or_refused(message: Any, usage: Any, logprobs: Any) -> None:
    with contextlib.suppress(ValueError):
        answer_body(
            json.dumps({"message": message, "usage": usage, "logprobs": logprobs}).encode(), model="m", created=1
        )
