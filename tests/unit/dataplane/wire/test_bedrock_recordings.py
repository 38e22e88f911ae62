"""Real answers of Bedrock's, read by OpenAI's own types: nothing of what the vendor said is lost or invented."""

import json
import struct
from collections.abc import Iterator
from typing import Any

import pytest
from openai.types.chat import ChatCompletion

from merit_crds.pricing import CostDetails, Usage
from merit_dataplane.wire.openai_bedrock.answer import answer_body
from merit_dataplane.wire.openai_bedrock.errors import error_answer
from merit_dataplane.wire.openai_bedrock.messages import conversation
from merit_dataplane.wire.openai_bedrock.stream import BedrockStream
from merit_dataplane.wire.openai_response import usage_of
from tests.support.cassettes import Cassette, cassettes
from tests.support.chunks import put_together

ALL = [c for endpoint in ("converse", "converse-stream") for c in cassettes("bedrock", endpoint) if c.body]
WHOLE = [c for c in ALL if c.status == 200 and not c.streamed]
STREAMED = [c for c in ALL if c.status == 200 and c.streamed]
REFUSED = [c for c in ALL if c.status >= 400]
FINISH = {"end_turn": "stop", "tool_use": "tool_calls", "max_tokens": "length", "stop_sequence": "stop"}


def name(cassette: Cassette) -> str:
    return cassette.name


def free(_: Usage) -> CostDetails:
    return CostDetails(input=0, output=0, request=0)


def opened(cassette: Cassette, *, wants_usage: bool = True) -> BedrockStream:
    return BedrockStream(wants_usage=wants_usage, price=free, identity="i", model=cassette.model, created=1)


def translated(cassette: Cassette, size: int) -> tuple[bytes, BedrockStream]:
    stream, data = opened(cassette), cassette.body
    pieces = [stream.feed(data[at : at + size]) for at in range(0, len(data), size)]
    return b"".join(pieces) + stream.finish(), stream


def whole(cassette: Cassette) -> dict[str, Any]:
    made: dict[str, Any] = json.loads(answer_body(cassette.body, identity="i", model=cassette.model, created=1))
    return made


def frames(data: bytes) -> Iterator[tuple[str, dict[str, Any]]]:
    """Events of a recording, with nothing of the translator's."""
    at = 0
    while at < len(data):
        total, headers = struct.unpack_from(">II", data, at)
        head, payload = data[at + 12 : at + 12 + headers], data[at + 12 + headers : at + total - 4]
        kind = head.split(b":event-type\x07")[1]
        length = struct.unpack(">H", kind[:2])[0]
        yield kind[2 : 2 + length].decode(), json.loads(payload)
        at += total


def said(data: bytes) -> dict[str, Any]:
    """Bedrock's message, put together from its events."""
    blocks: dict[int, dict[str, Any]] = {}
    message: dict[str, Any] = {}
    for kind, event in frames(data):
        block = blocks.setdefault(event.get("contentBlockIndex", -1), {})
        if kind == "contentBlockStart":
            block["toolUse"] = {**event["start"]["toolUse"], "input": ""}
        elif kind == "contentBlockDelta":
            delta = event["delta"]
            if "text" in delta:
                block["text"] = block.get("text", "") + delta["text"]
            if "toolUse" in delta:
                block["toolUse"]["input"] += delta["toolUse"]["input"]
            if "citation" in delta:
                block.setdefault("citations", []).append(delta["citation"])
            for field, piece in delta.get("reasoningContent", {}).items():
                thought = block.setdefault("reasoning", {})
                thought[field] = thought.get(field, "") + piece
        elif kind in {"messageStop", "metadata"}:
            message |= event
    return {**message, "content": [blocks[i] for i in sorted(blocks) if i >= 0]}


def check_usage(vendors: dict[str, Any], ours: dict[str, Any]) -> None:
    cached, written = vendors.get("cacheReadInputTokens", 0), vendors.get("cacheWriteInputTokens", 0)
    assert ours["prompt_tokens"] == vendors["inputTokens"] + cached + written
    assert (ours["completion_tokens"], ours["total_tokens"]) == (vendors["outputTokens"], vendors["totalTokens"])
    booked = usage_of(json.dumps({"usage": ours}).encode())
    assert booked is not None
    assert (booked.uncached_input, booked.all_cached, booked.all_written) == (vendors["inputTokens"], cached, written)
    assert booked.all_output == vendors["outputTokens"]


def text_of(block: dict[str, Any]) -> str | None:
    if "citationsContent" in block:
        return "".join(part["text"] for part in block["citationsContent"]["content"])
    return block.get("text")


@pytest.mark.parametrize("cassette", WHOLE, ids=name)
def test_a_whole_answer(cassette: Cassette) -> None:
    vendors, ours = json.loads(cassette.body), whole(cassette)
    ChatCompletion.model_validate(ours)
    message, blocks = ours["choices"][0]["message"], vendors["output"]["message"]["content"]
    texts = [text for block in blocks if (text := text_of(block)) is not None]
    assert message["content"] == ("".join(texts) if texts else None)
    calls = [block["toolUse"] for block in blocks if "toolUse" in block]
    assert [
        (c["id"], c["function"]["name"], json.loads(c["function"]["arguments"])) for c in message.get("tool_calls", ())
    ] == [(c["toolUseId"], c["name"], c["input"]) for c in calls]
    thoughts = [b["reasoningContent"]["reasoningText"] for b in blocks if "reasoningContent" in b]
    assert [(d["text"], d.get("signature")) for d in message.get("reasoning_details", ())] == [
        (t["text"], t.get("signature")) for t in thoughts
    ]
    cited = [c for b in blocks for c in b.get("citationsContent", {}).get("citations", ())]
    assert [{k: v for k, v in c.items() if k in cited[0]} for c in message.get("citations", ())] == cited
    for citation in message.get("citations", ()):
        assert message["content"][citation["start_index"] : citation["end_index"]] in texts
    assert ours["choices"][0]["finish_reason"] == FINISH[vendors["stopReason"]]
    assert ours["choices"][0]["native_finish_reason"] == vendors["stopReason"]
    assert ours["provider_metadata"]["metrics"] == vendors["metrics"]
    check_usage(vendors["usage"], ours["usage"])


@pytest.mark.parametrize("cassette", STREAMED, ids=name)
def test_a_stream_at_any_chunking(cassette: Cassette) -> None:
    data, stream = translated(cassette, len(cassette.body))
    for size in (1, 7, 64, 1000):
        assert translated(cassette, size)[0] == data
    assert stream.complete
    assert not stream.failed
    vendors, ours = said(cassette.body), put_together(data)
    blocks = vendors["content"]
    assert ours["content"] == "".join(b.get("text", "") for b in blocks)
    assert [(c["id"], c["name"], c["arguments"]) for c in ours["tool_calls"]] == [
        (b["toolUse"]["toolUseId"], b["toolUse"]["name"], b["toolUse"]["input"] or "{}")
        for b in blocks
        if "toolUse" in b
    ]
    assert ours["reasoning_content"] == "".join(b["reasoning"].get("text", "") for b in blocks if "reasoning" in b)
    cited = [c for b in blocks for c in b.get("citations", ())]
    assert [{k: v for k, v in c.items() if k in cited[0]} for c in ours.get("citations", ())] == cited
    assert ours["finish_reason"] == FINISH[vendors["stopReason"]]
    check_usage(vendors["usage"], ours["usage"])
    assert data.endswith(b"data: [DONE]\n\n")


@pytest.mark.parametrize("cassette", STREAMED, ids=name)
def test_usage_that_nobody_asked_for_is_hidden_and_booked(cassette: Cassette) -> None:
    stream = opened(cassette, wants_usage=False)
    out = stream.feed(cassette.body) + stream.finish()
    assert b'"usage"' not in out
    assert stream.usage is not None


@pytest.mark.parametrize("cassette", STREAMED, ids=name)
def test_a_cut_stream_is_not_complete(cassette: Cassette) -> None:
    stream = opened(cassette)
    end = cassette.body.index(b"messageStop")
    out = stream.feed(cassette.body[:end]) + stream.finish()
    assert not stream.complete
    assert b"[DONE]" not in out


@pytest.mark.parametrize("cassette", STREAMED, ids=name)
def test_an_answer_whose_usage_never_came_is_whole(cassette: Cassette) -> None:
    stream = opened(cassette)
    end = cassette.body.index(b"metadata")
    out = stream.feed(cassette.body[:end]) + stream.finish()
    assert (stream.complete, stream.usage) == (True, None)
    assert out.endswith(b"data: [DONE]\n\n")


TOLD = {
    "The provided model identifier is invalid.": (404, "model_not_found"),
    "The security token included in the request is invalid.": (401, "invalid_api_key"),
}


@pytest.mark.parametrize("cassette", REFUSED, ids=name)
def test_an_error_keeps_its_words(cassette: Cassette) -> None:
    status, body = error_answer(cassette.body, cassette.status, cassette.headers.get("x-amzn-errortype"))
    words, ours = json.loads(cassette.body)["message"], json.loads(body)["error"]
    assert ours["message"] == words
    assert (status, ours["code"]) == TOLD.get(words, (400, "context_length_exceeded"))
    assert ours["type"] == "invalid_request_error"


@pytest.mark.parametrize("cassette", WHOLE, ids=name)
def test_an_answer_sent_back_is_restored(cassette: Cassette) -> None:
    message = whole(cassette)["choices"][0]["message"]
    _, turns = conversation([{"role": "user", "content": "?"}, message, {"role": "user", "content": "Go on."}])
    restored = json.loads(json.dumps(turns[1]["content"], default=lambda raw: json.loads(bytes(raw))))
    given = json.loads(cassette.body)["output"]["message"]["content"]
    for kind in ("reasoningContent", "toolUse"):
        assert [{k: v for k, v in b[kind].items() if k != "type"} for b in restored if kind in b] == [
            {k: v for k, v in b[kind].items() if k != "type"}
            for b in given
            if kind in b and (kind == "toolUse" or "signature" in b[kind]["reasoningText"])
        ]
    assert "".join(b["text"] for b in restored if "text" in b) == "".join(text_of(b) or "" for b in given)


def test_there_are_recordings_of_each_kind() -> None:
    assert len(WHOLE) >= 6
    assert len(STREAMED) >= 4
    assert len(REFUSED) >= 3
