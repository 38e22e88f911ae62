"""What the recordings don't show: the rest of Bedrock's format, its exceptions, and bytes that are none of its."""

import base64
import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from merit_crds.pricing import CostDetails, Usage
from merit_dataplane.wire.openai_bedrock.answer import answer_body
from merit_dataplane.wire.openai_bedrock.errors import error_answer
from merit_dataplane.wire.openai_bedrock.stream import BedrockStream
from merit_dataplane.wire.openai_response import usage_of
from merit_dataplane.wire.server_sent_events import MalformedStreamError
from tests.support.chunks import events, put_together
from tests.support.event_stream import event, exception, message

USAGE = {"inputTokens": 1, "outputTokens": 2, "totalTokens": 3}


def opened(model: str = "anthropic.claude-3-haiku-20240307-v1:0") -> BedrockStream:
    return BedrockStream(
        wants_usage=True,
        price=lambda _: CostDetails(input=0, output=0, request=0),
        identity="i",
        model=model,
        created=1,
    )


def streamed(
    *told: tuple[str, dict[str, Any]], stop: str = "end_turn", usage: Any = None
) -> tuple[dict[str, Any], Any]:
    stream = opened()
    ends = [("messageStop", {"stopReason": stop}), ("metadata", {"usage": usage or USAGE, "metrics": {"latencyMs": 7}})]
    out = stream.feed(b"".join(event(kind, json.dumps(data).encode()) for kind, data in (*told, *ends)))
    return put_together(out + stream.finish()), stream


def delta(index: int, **piece: Any) -> tuple[str, dict[str, Any]]:
    return "contentBlockDelta", {"contentBlockIndex": index, "delta": piece}


def stopped(index: int) -> tuple[str, dict[str, Any]]:
    return "contentBlockStop", {"contentBlockIndex": index}


def answered(*content: dict[str, Any], stop: str = "end_turn", **more: Any) -> dict[str, Any]:
    body = {
        "output": {"message": {"role": "assistant", "content": content}},
        "stopReason": stop,
        "usage": USAGE,
        **more,
    }
    made: dict[str, Any] = json.loads(answer_body(json.dumps(body).encode(), identity="i", model="m", created=1))
    return made


def test_thoughts_with_signature_and_redacted_ones() -> None:
    ours, _ = streamed(
        delta(0, reasoningContent={"text": "Let me "}),
        delta(0, reasoningContent={"text": "see."}),
        delta(0, reasoningContent={"signature": "sig"}),
        stopped(0),
        delta(1, reasoningContent={"redactedContent": "aGk="}),
        stopped(1),
        delta(2, text="42"),
        stopped(2),
    )
    assert ours["reasoning_content"] == "Let me see."
    assert list(ours["details"].values()) == [
        {"text": "Let me see.", "signature": "sig", "data": ""},
        {"text": "", "signature": "", "data": "aGk="},
    ]


def test_an_answer_by_the_tool_of_the_schema_is_text() -> None:
    use = {"toolUse": {"name": "merit_answer", "toolUseId": "t"}}
    ours, _ = streamed(
        ("contentBlockStart", {"contentBlockIndex": 0, "start": use}),
        delta(0, toolUse={"input": '{"a"'}),
        delta(0, toolUse={"input": ": 1}"}),
        stopped(0),
        stop="tool_use",
    )
    assert (ours["content"], ours["tool_calls"], ours["finish_reason"]) == ('{"a": 1}', [], "stop")
    whole = answered({"toolUse": {**use["toolUse"], "input": {"a": 1}}}, stop="tool_use")["choices"][0]
    assert json.loads(whole["message"]["content"]) == {"a": 1}
    assert whole["finish_reason"] == "stop"


def test_tools_of_the_server_pictures_and_results_are_handed_on() -> None:
    png = base64.b64encode(b"picture").decode()
    ours, _ = streamed(
        (
            "contentBlockStart",
            {
                "contentBlockIndex": 0,
                "start": {"toolUse": {"name": "nova_grounding", "toolUseId": "t", "type": "server_tool_use"}},
            },
        ),
        delta(0, toolUse={"input": "{}"}),
        stopped(0),
        (
            "contentBlockStart",
            {"contentBlockIndex": 1, "start": {"toolResult": {"toolUseId": "t", "status": "success"}}},
        ),
        delta(1, toolResult=[{"text": "found"}]),
        stopped(1),
        ("contentBlockStart", {"contentBlockIndex": 2, "start": {"image": {"format": "png"}}}),
        delta(2, image={"source": {"bytes": png}}),
        stopped(2),
    )
    assert ours["provider_blocks"] == [
        {"toolUse": {"name": "nova_grounding", "toolUseId": "t", "type": "server_tool_use", "input": {}}},
        {"toolResult": {"toolUseId": "t", "status": "success", "content": [{"text": "found"}]}},
        {"image": {"format": "png", "source": {"bytes": png}}},
    ]
    assert ours["tool_calls"] == []


def test_a_cited_page_is_an_annotation_too() -> None:
    page = {"title": "T", "location": {"web": {"url": "https://a.example/x", "domain": "a.example"}}}
    ours, _ = streamed(delta(0, text="It rains"), delta(0, citation=page), stopped(0))
    place = {"start_index": 0, "end_index": 8}
    assert ours["citations"] == [{**page, **place}]
    assert ours["annotations"] == [
        {"type": "url_citation", "url_citation": {"url": "https://a.example/x", "title": "T", **place}}
    ]


@pytest.mark.parametrize(
    ("native", "finish"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("guardrail_intervened", "content_filter"),
        ("content_filtered", "content_filter"),
        ("malformed_tool_use", "stop"),
        ("never_heard_of", "stop"),
    ],
)
def test_stop_reasons(native: str, finish: str) -> None:
    choice = answered({"text": "x"}, stop=native)["choices"][0]
    assert (choice["finish_reason"], choice["native_finish_reason"]) == (finish, native)
    assert streamed(delta(0, text="x"), stop=native)[0]["finish_reason"] == finish


def test_guardrail_traces_tiers_and_stop_sequences_are_kept() -> None:
    trace = {"guardrail": {"actionReason": "why"}}
    made = answered(
        {"text": "x"},
        metrics={"latencyMs": 3},
        trace=trace,
        serviceTier={"type": "flex"},
        additionalModelResponseFields={"stop_sequence": "END"},
    )
    assert made["provider_metadata"]["trace"] == trace
    assert made["service_tier"] == "flex"
    assert made["choices"][0]["stop_sequence"] == "END"


def test_writes_for_an_hour_are_booked_as_such() -> None:
    usage = {
        **USAGE,
        "cacheReadInputTokens": 10,
        "cacheWriteInputTokens": 30,
        "cacheDetails": [{"ttl": "1h", "inputTokens": 20}, {"ttl": "5m", "inputTokens": 10}],
        "totalTokens": 43,
    }
    _, stream = streamed(delta(0, text="x"), usage=usage)
    booked: Usage = stream.usage
    assert (booked.uncached_input, booked.cached_input, booked.cache_write) == (1, 10, 10)
    assert booked.special is not None
    assert booked.special.cache_write_1h == 20
    body = answer_body(
        json.dumps({"output": {"message": {"content": []}}, "usage": usage}).encode(),
        identity="i",
        model="m",
        created=1,
    )
    assert usage_of(body) == booked


INVALID = "invalid_request_error"
EXCEPTIONS = [
    ("ValidationException", "Bad field.", 400, 400, INVALID, "ValidationException"),
    ("ValidationException", "Input is too long for requested model.", 400, 400, INVALID, "context_length_exceeded"),
    ("ThrottlingException", "Too many requests, please wait.", 429, 429, "requests", "rate_limit_exceeded"),
    ("ThrottlingException", "Too many tokens, please wait.", 429, 429, "tokens", "rate_limit_exceeded"),
    ("ThrottlingException", "Rate exceeded", 400, 429, "requests", "rate_limit_exceeded"),
    ("AccessDeniedException", "No access to the model.", 403, 403, INVALID, "access_denied"),
    ("ResourceNotFoundException", "No such model.", 404, 404, INVALID, "model_not_found"),
    ("ModelTimeoutException", "Too slow.", 408, 504, "server_error", "timeout"),
    ("ModelErrorException", "It broke.", 424, 502, "server_error", "model_error"),
    ("ModelNotReadyException", "Not yet.", 429, 503, "server_error", "model_not_ready"),
    ("InternalServerException", "Oh.", 500, 500, "server_error", "InternalServerException"),
    ("ServiceUnavailableException", "Later.", 503, 503, "server_error", "overloaded"),
    ("ExpiredTokenException", "The token has expired", 403, 401, INVALID, "expired_token"),
    ("InvalidSignatureException", "Signature expired: 2026… is now earlier than …", 403, 401, INVALID, "clock_skew"),
    ("NewException", "Hm.", 418, 418, INVALID, "NewException"),
]


@pytest.mark.parametrize(("name", "words", "status", "told", "kind", "code"), EXCEPTIONS)
@pytest.mark.parametrize("place", ["header", "__type"])
def test_exceptions(name: str, words: str, status: int, told: int, kind: str, code: str, place: str) -> None:
    body: dict[str, Any] = {"message": words}
    header = None
    if place == "header":
        header = f"{name}:http://internal.amazon.com/coral/com.amazon.bedrock/"
    else:
        body = {"__type": f"com.amazon.bedrock#{name}", "Message": words}
    got, made = error_answer(json.dumps(body).encode(), status, header)
    assert got == told
    assert json.loads(made)["error"] == {"message": words, "type": kind, "param": None, "code": code}


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"{}", b'{"message": 5}'])
def test_a_body_that_is_no_error_stays(body: bytes) -> None:
    assert error_answer(body, 500) == (500, body)


@pytest.mark.parametrize(
    ("given", "code"),
    [
        (exception("throttlingException", b'{"message":"Too many requests"}'), "rate_limit_exceeded"),
        (exception("modelStreamErrorException", b'{"message":"x","originalStatusCode":500}'), "model_error"),
        (exception("validationException", b'{"message":"Input is too long for it"}'), "context_length_exceeded"),
        (
            message({":message-type": "error", ":error-code": "InternalFailure", ":error-message": "x"}, b""),
            "InternalFailure",
        ),
    ],
)
def test_an_exception_within_a_stream_is_an_error_event(given: bytes, code: str) -> None:
    stream = opened()
    out = stream.feed(event("messageStart", b'{"role":"assistant"}') + given) + stream.finish()
    assert list(events(out))[-1]["error"]["code"] == code
    assert (stream.failed, stream.complete) == (True, False)


def test_an_event_that_is_newer_than_this_is_passed_over() -> None:
    stream = opened()
    assert stream.feed(event("somethingNew", b"{}")) == b""


@pytest.mark.parametrize("payload", [b"", b"[]", b'{"contentBlockIndex":"x"}', b'{"delta":{"text":5}}'])
def test_an_event_that_is_none_of_bedrocks_ends_the_stream(payload: bytes) -> None:
    with pytest.raises(MalformedStreamError):
        opened().feed(event("contentBlockDelta", payload))


KINDS = ["messageStart", "contentBlockStart", "contentBlockDelta", "contentBlockStop", "messageStop", "metadata", "x"]
LEAVES = st.none() | st.booleans() | st.integers() | st.text(max_size=6)
NAMES = st.sampled_from(
    [
        "start",
        "delta",
        "toolUse",
        "text",
        "input",
        "name",
        "toolUseId",
        "usage",
        "stopReason",
        "contentBlockIndex",
        "image",
        "citation",
        "reasoningContent",
        "toolResult",
        "source",
        "bytes",
        "message",
        "content",
        "output",
        "metrics",
        "location",
    ]
)
JSON = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4), max_leaves=12
)


@given(st.lists(st.tuples(st.sampled_from(KINDS), st.dictionaries(NAMES, JSON)), max_size=8))
def test_any_events_are_translated_or_refused(told: list[tuple[str, dict[str, Any]]]) -> None:
    stream = opened()
    with contextlib.suppress(MalformedStreamError):
        out = stream.feed(b"".join(event(kind, json.dumps(data).encode()) for kind, data in told)) + stream.finish()
        list(events(out))


@given(st.binary(max_size=200) | JSON.map(lambda v: json.dumps(v).encode()))
def test_any_body_is_translated_or_refused(body: bytes) -> None:
    with contextlib.suppress(ValueError):
        answer_body(body, identity="i", model="m", created=1)
    error_answer(body, 400)


@given(st.dictionaries(NAMES, JSON))
def test_any_content_is_translated_or_refused(block: dict[str, Any]) -> None:
    with contextlib.suppress(ValueError):
        answered(block)
