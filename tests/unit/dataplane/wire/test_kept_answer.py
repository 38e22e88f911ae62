"""What is kept of an answer tells all of it, whole and streamed, however it came: read by the vendors' SDKs."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from anthropic._models import construct_type
from anthropic.lib.streaming._messages import accumulate_event
from anthropic.types import Message, RawMessageStreamEvent
from hypothesis import given, settings
from hypothesis import strategies as st
from openai import omit
from openai._models import construct_type as construct_openai
from openai.lib.streaming.responses._responses import ResponseStreamState
from openai.types.responses import ResponseStreamEvent

from merit_crds.pricing import CostDetails, Usage
from merit_dataplane.wire.anthropic_anthropic.answer import passed_answer as passed_message
from merit_dataplane.wire.anthropic_anthropic.stream import PassedStream as PassedMessage
from merit_dataplane.wire.anthropic_anthropic.whole import events_of, message_of
from merit_dataplane.wire.anthropic_openai.renderer import MessageRenderer
from merit_dataplane.wire.anthropic_openai.request import parse_messages
from merit_dataplane.wire.kept_answer import kept_stream, kept_whole
from merit_dataplane.wire.openai_anthropic.stream import AnthropicStream
from merit_dataplane.wire.openai_request import Call, Operation
from merit_dataplane.wire.openai_stream import StreamTranslator
from merit_dataplane.wire.renderer import Renderer
from merit_dataplane.wire.responses_openai.renderer import ResponseRenderer
from merit_dataplane.wire.responses_openai.request import parse_responses
from merit_dataplane.wire.responses_responses.answer import passed_answer as passed_response
from merit_dataplane.wire.responses_responses.stream import PassedStream as PassedResponse
from merit_dataplane.wire.sealed import MARK
from merit_dataplane.wire.streamed import StreamedAnswer
from tests.support.cassettes import Cassette, cassettes

USAGE = Usage(7, output=3)
MESSAGES = [c for c in cassettes("anthropic", "messages") if c.body and c.status == 200]
VENDORS = ("openai", "azure", "xai", "deepseek", "bedrock")
RESPONSES = [c for vendor in VENDORS for c in cassettes(vendor, "responses") if c.body and c.status == 200]
OPENAIS = ("openai", "deepseek", "groq", "mistral", "openrouter", "xai")
CHATS = [c for v in OPENAIS for c in cassettes(v, "chat.completions") if c.streamed and c.status == 200]


def asks(operation: Operation, *, stream: bool) -> Call:
    said = b"true" if stream else b"false"
    if operation is Operation.RESPONSES:
        return parse_responses(b'{"model":"m","stream":' + said + b',"input":"?"}')
    body = b'{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"?"}],"stream":' + said + b"}"
    return parse_messages(body, (), operation)


def free(_: Usage) -> CostDetails:
    return CostDetails(input=0, output=0, request=0)


def fed(stream: StreamedAnswer | Renderer, data: bytes) -> bytes:
    return stream.feed(data) + stream.finish()


def datas(stream: bytes) -> Iterator[dict[str, Any]]:
    lines = (line[5:] for line in stream.splitlines() if line.startswith(b"data:"))
    return (json.loads(line) for line in lines if line.strip() != b"[DONE]")


def without_cost(whole: Any) -> Any:
    usage = {name: value for name, value in (whole.get("usage") or {}).items() if not name.startswith("cost")}
    return {**whole, "usage": usage}


def accumulated(stream: bytes) -> Any:
    """The message that Anthropic's own SDK makes of its events."""
    message, texts = None, dict[int, bytes]()
    for event in datas(stream):
        if event["type"] == "ping":
            continue
        read_event: Any = construct_type(type_=RawMessageStreamEvent, value=event)
        message = accumulate_event(event=read_event, current_snapshot=message, json_bufs=texts)
    assert message is not None
    return message.to_dict(mode="json")


def read(whole: bytes) -> Any:
    message: Any = construct_type(type_=Message, value=without_cost(json.loads(whole)))
    return message.to_dict(mode="json")


def alike(one: Any, other: Any) -> None:
    """Two messages that say the same; a client's SDK adds what it has parsed, and counts what a message_delta said."""
    for message in (one, other):
        for name in ("usage", "parsed_output"):
            message.pop(name, None)
        for block in message["content"]:
            for name in [name for name, value in block.items() if value is None or name == "parsed_output"]:
                del block[name]
        for name in [name for name, value in message.items() if value is None]:
            del message[name]
    assert one == other


def said(message: Any) -> dict[str, Any]:
    """By kind: OpenAI's words, in which another protocol's answer is kept, don't say what came between two texts."""
    blocks = message["content"]
    told: dict[str, Any] = {"text": "".join(block["text"] for block in blocks if block["type"] == "text").strip()}
    told["thinking"] = "".join(block["thinking"] for block in blocks if block["type"] == "thinking")
    for block in blocks:
        if block["type"] == "text":
            told.setdefault("cited", []).extend(block.get("citations") or ())
        elif block["type"] != "thinking":
            told.setdefault("others", []).append({name: v for name, v in block.items() if v is not None})
        elif not block["signature"].startswith(MARK):  # ours seals the pieces in which a thought came
            told.setdefault("signed", []).append(block["signature"])
    return told


@pytest.mark.parametrize("cassette", MESSAGES, ids=lambda c: c.name)
def test_a_recorded_message_is_kept_once_for_both_ways(cassette: Cassette) -> None:
    call, streamed = asks(Operation.MESSAGES, stream=cassette.streamed), asks(Operation.MESSAGES, stream=True)
    if cassette.streamed:
        given = fed(PassedMessage(call, "m", free, 1), cassette.body)
        own = message_of(json.dumps(event).encode() for event in datas(cassette.body))
        alike(read(own), accumulated(cassette.body))
    else:
        given, own = passed_message(cassette.body, 1)[0], cassette.body
    kept = kept_whole(given, call, USAGE, estimated=False)
    assert kept is not None
    whole = MessageRenderer(call, "req_1").whole(kept, 200)[1]
    assert without_cost(json.loads(whole)) == without_cost(json.loads(own))
    told = fed(MessageRenderer(streamed, "req_1"), kept_stream(kept, streamed))
    alike(accumulated(told), read(own))
    assert json.loads(message_of(events_of(own))) == json.loads(own)


@pytest.mark.parametrize("cassette", RESPONSES, ids=lambda c: c.name)
def test_a_recorded_response_is_kept_once_for_both_ways(cassette: Cassette) -> None:
    call, streamed = asks(Operation.RESPONSES, stream=cassette.streamed), asks(Operation.RESPONSES, stream=True)
    if cassette.streamed:
        given = fed(PassedResponse(call, "m", free, 1), cassette.body)
        own = list(datas(cassette.body))[-1]["response"]
    else:
        own = json.loads(cassette.body)
        given = passed_response(cassette.body, 1)[0]
    kept = kept_whole(given, call, USAGE, estimated=False)
    assert kept is not None
    whole = ResponseRenderer(call, "req_1").whole(kept, 200)[1]
    assert without_cost(json.loads(whole)) == without_cost(own)
    state: Any = ResponseStreamState(input_tools=omit, text_format=omit)
    events = list(datas(fed(ResponseRenderer(streamed, "req_1"), kept_stream(kept, streamed))))
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    for event in events:
        state.handle_event(
            construct_openai(type_=ResponseStreamEvent, value=event)
        )  # recordings are older than the SDK
    assert without_cost(events[-1]["response"]) == without_cost(own)
    assert [e["item"] for e in events if e["type"] == "response.output_item.done"] == own["output"]


@pytest.mark.parametrize("cassette", [*CHATS, *(c for c in MESSAGES if c.streamed)], ids=lambda c: c.name)
def test_an_answer_in_another_protocol_is_kept_as_its_client_heard_it(cassette: Cassette) -> None:
    call = asks(Operation.MESSAGES, stream=True)
    translator: StreamedAnswer = (
        AnthropicStream(wants_usage=True, price=free, created=1)
        if cassette in MESSAGES
        else StreamTranslator(wants_usage=True, price=free)
    )
    given = fed(translator, cassette.body)
    kept = kept_whole(given, call, USAGE, estimated=False)
    if kept is None:
        return
    heard = accumulated(fed(MessageRenderer(call, "req_1"), given))
    again = accumulated(fed(MessageRenderer(call, "req_1"), kept_stream(kept, call)))
    whole = read(MessageRenderer(call, "req_1").whole(kept, 200)[1])
    assert said(again) == said(heard)
    assert said(whole) == said(heard)
    assert heard["stop_reason"] == again["stop_reason"] == whole["stop_reason"]
    assert heard["stop_sequence"] == again["stop_sequence"] == whole["stop_sequence"]


TEXT = st.text(max_size=20)
JSON = st.recursive(st.none() | st.booleans() | st.integers(-9, 9) | TEXT, lambda part: st.lists(part, max_size=3))
BLOCK = st.one_of(
    st.fixed_dictionaries({"type": st.just("text"), "text": TEXT}),
    st.fixed_dictionaries({"type": st.just("thinking"), "thinking": TEXT, "signature": TEXT}),
    st.fixed_dictionaries(
        {"type": st.just("text"), "text": TEXT, "citations": st.lists(st.dictionaries(TEXT, JSON), min_size=1)}
    ),
    st.fixed_dictionaries(
        {
            "type": st.sampled_from(["tool_use", "server_tool_use"]),
            "id": TEXT,
            "name": TEXT,
            "input": st.dictionaries(TEXT, JSON, max_size=3),
        }
    ),
    st.fixed_dictionaries({"type": st.just("web_search_tool_result"), "content": JSON}),
    st.fixed_dictionaries({"type": st.just("redacted_thinking"), "data": TEXT}),
)


@settings(max_examples=60)
@given(st.lists(BLOCK, max_size=5), st.sampled_from(["end_turn", "tool_use", "stop_sequence"]), st.data())
def test_any_message_survives_being_told_in_events(blocks: list[Any], reason: str, data: st.DataObject) -> None:
    message: dict[str, Any] = {"type": "message", "role": "assistant", "content": blocks, "stop_reason": reason}
    message |= {"id": "msg_1", "model": "m", "stop_sequence": None, "usage": {"input_tokens": 3, "output_tokens": 5}}
    events = list(events_of(json.dumps(message).encode()))
    assert json.loads(message_of(events)) == message
    cut = data.draw(st.integers(0, len(events) - 1))
    with pytest.raises(ValueError, match="no complete"):
        message_of(events[:cut])


@pytest.mark.parametrize(
    "event",
    [
        {"type": "content_block_delta", "index": 0, "delta": {"type": "hologram_delta", "hologram": "x"}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "x", "color": "red"}},
        {"type": "message_start", "message": {"content": []}},
        {"type": "surprise"},
    ],
)
def test_what_is_newer_than_this_is_not_guessed_at(event: dict[str, Any]) -> None:
    message = {"type": "message", "content": [{"type": "text", "text": "hello"}], "stop_reason": "end_turn"}
    events = list(events_of(json.dumps(message).encode()))
    events.insert(3, json.dumps(event).encode())
    with pytest.raises(ValueError, match=r"newer|order"):
        message_of(events)
