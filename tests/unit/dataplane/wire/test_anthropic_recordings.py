"""Real answers of Anthropic's, read by OpenAI's own types: nothing of what the vendor said is lost or invented."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from merit_crds.pricing import CostDetails, Usage
from merit_dataplane.wire.openai_anthropic.answer import answer_body, error_answer
from merit_dataplane.wire.openai_anthropic.messages import conversation
from merit_dataplane.wire.openai_anthropic.stream import AnthropicStream
from merit_dataplane.wire.openai_response import usage_of
from tests.support.cassettes import Cassette, cassettes
from tests.support.chunks import grow

ALL = [c for c in cassettes("anthropic", "messages") if c.body]
WHOLE = [c for c in ALL if c.status == 200 and not c.streamed]
STREAMED = [c for c in ALL if c.status == 200 and c.streamed]
REFUSED = [c for c in ALL if c.status >= 400]
FINISH = {"end_turn": "stop", "tool_use": "tool_calls", "max_tokens": "length"}
PLAIN = {"text", "thinking", "redacted_thinking", "tool_use"}


def name(cassette: Cassette) -> str:
    return cassette.name


def free(_: Usage) -> CostDetails:
    return CostDetails(input=0, output=0, request=0)


def translated(data: bytes, size: int) -> tuple[bytes, AnthropicStream]:
    stream = AnthropicStream(wants_usage=True, price=free, created=1)
    pieces = [stream.feed(data[at : at + size]) for at in range(0, len(data), size)]
    return b"".join(pieces) + stream.finish(), stream


def events(data: bytes) -> Iterator[dict[str, Any]]:
    for line in data.decode().splitlines():
        if line.startswith("data:") and "[DONE]" not in line:
            yield json.loads(line[5:])


def said(data: bytes) -> dict[str, Any]:
    """Anthropic's message, put together from its events, with nothing of the translator's."""
    message: dict[str, Any] = {"content": []}
    for event in events(data):
        if event["type"] == "message_start":
            message |= {k: v for k, v in event["message"].items() if k != "content"}
        elif event["type"] == "content_block_start":
            message["content"].append({**event["content_block"], "json": ""})
        elif event["type"] == "content_block_delta":
            block, delta = message["content"][event["index"]], event["delta"]
            for field in ("text", "thinking", "signature"):
                if field in delta:
                    block[field] = block.get(field, "") + delta[field]
            block["json"] += delta.get("partial_json", "")
            if "citation" in delta:
                block.setdefault("citations", []).append(delta["citation"])
        elif event["type"] == "message_delta":
            message |= event["delta"]
            message["usage"] |= {k: v for k, v in event["usage"].items() if v is not None}
    for block in message["content"]:
        if block["json"]:
            block["input"] = json.loads(block["json"])
    return message


def put_together(data: bytes) -> dict[str, Any]:
    """OpenAI's message, as a client's code adds its chunks up."""
    message: dict[str, Any] = {"content": "", "tool_calls": [], "reasoning_content": "", "details": {}}
    for event in events(data):
        ChatCompletionChunk.model_validate(event)
        if event.get("usage"):
            message["usage"] = event["usage"]
        for choice in event["choices"]:
            delta = choice["delta"]
            message["content"] += delta.get("content") or ""
            message["reasoning_content"] += delta.get("reasoning_content") or ""
            for part in delta.get("reasoning_details") or ():
                detail = message["details"].setdefault(part["index"], {"text": "", "signature": ""})
                detail["text"] += part.get("text") or ""
                detail["signature"] += part.get("signature") or ""
            for part in delta.get("tool_calls") or ():
                if part["index"] == len(message["tool_calls"]):
                    message["tool_calls"].append({"id": part["id"], "name": part["function"]["name"], "arguments": ""})
                message["tool_calls"][part["index"]]["arguments"] += part["function"]["arguments"]
            for kept in ("citations", "provider_blocks"):
                grow(message.setdefault(kept, []), delta.get(kept) or [])
            if choice["finish_reason"]:
                message["finish_reason"] = choice["finish_reason"]
    return message


def check_usage(vendors: dict[str, Any], ours: dict[str, Any]) -> None:
    cached, written = vendors.get("cache_read_input_tokens") or 0, vendors.get("cache_creation_input_tokens") or 0
    assert ours["prompt_tokens"] == vendors["input_tokens"] + cached + written
    assert ours["completion_tokens"] == vendors["output_tokens"]
    booked = usage_of(json.dumps({"usage": ours}).encode())
    assert booked is not None
    assert (booked.uncached_input, booked.all_cached, booked.all_written) == (vendors["input_tokens"], cached, written)
    assert booked.all_output == vendors["output_tokens"]


@pytest.mark.parametrize("cassette", WHOLE, ids=name)
def test_a_whole_answer(cassette: Cassette) -> None:
    vendors = json.loads(cassette.body)
    ours = json.loads(answer_body(cassette.body, created=1))
    ChatCompletion.model_validate(ours)
    message, blocks = ours["choices"][0]["message"], vendors["content"]
    texts = [b["text"] for b in blocks if b["type"] == "text"]
    assert message["content"] == ("".join(texts) if texts else None)
    calls = [(b["id"], b["name"], b["input"]) for b in blocks if b["type"] == "tool_use"]
    assert [
        (c["id"], c["function"]["name"], json.loads(c["function"]["arguments"])) for c in message.get("tool_calls", ())
    ] == calls
    thoughts = [(b["thinking"], b["signature"]) for b in blocks if b["type"] == "thinking"]
    assert [(d["text"], d["signature"]) for d in message.get("reasoning_details", ())] == thoughts
    assert message.get("provider_blocks", []) == [b for b in blocks if b["type"] not in PLAIN]
    cited = [c for b in blocks for c in b.get("citations") or ()]
    assert [{k: v for k, v in c.items() if k in cited[0]} for c in message.get("citations", ())] == cited
    for citation in message.get("citations", ()):
        assert message["content"][citation["start_index"] : citation["end_index"]]
    assert ours["choices"][0]["finish_reason"] == FINISH[vendors["stop_reason"]]
    check_usage(vendors["usage"], ours["usage"])


@pytest.mark.parametrize("cassette", STREAMED, ids=name)
def test_a_stream_at_any_chunking(cassette: Cassette) -> None:
    data = cassette.body
    whole, stream = translated(data, len(data))
    for size in (1, 7, 64, 1000):
        assert translated(data, size)[0] == whole
    assert stream.complete
    assert not stream.failed
    vendors, ours = said(data), put_together(whole)
    blocks = vendors["content"]
    assert ours["content"] == "".join(b["text"] for b in blocks if b["type"] == "text")
    assert [(c["id"], c["name"], json.loads(c["arguments"])) for c in ours["tool_calls"]] == [
        (b["id"], b["name"], b["input"]) for b in blocks if b["type"] == "tool_use"
    ]
    thoughts = [b for b in blocks if b["type"] == "thinking"]
    assert ours["reasoning_content"] == "".join(b["thinking"] for b in thoughts)
    assert list(ours["details"].values()) == [{"text": b["thinking"], "signature": b["signature"]} for b in thoughts]
    assert len(ours.get("citations", ())) == sum(len(b.get("citations") or ()) for b in blocks)
    others = [{k: v for k, v in b.items() if k != "json"} for b in blocks if b["type"] not in PLAIN]
    assert ours.get("provider_blocks", []) == others
    assert ours["finish_reason"] == FINISH[vendors["stop_reason"]]
    check_usage(vendors["usage"], ours["usage"])
    assert whole.endswith(b"data: [DONE]\n\n")


@pytest.mark.parametrize("cassette", STREAMED, ids=name)
def test_usage_that_nobody_asked_for_is_hidden_and_booked(cassette: Cassette) -> None:
    stream = AnthropicStream(wants_usage=False, price=free, created=1)
    out = stream.feed(cassette.body) + stream.finish()
    assert b'"usage"' not in out
    assert stream.usage is not None


@pytest.mark.parametrize("cassette", STREAMED, ids=name)
def test_a_cut_stream_is_not_complete(cassette: Cassette) -> None:
    end = cassette.body.index(b"event: message_stop")
    stream = AnthropicStream(wants_usage=True, price=free, created=1)
    out = stream.feed(cassette.body[:end]) + stream.finish()
    assert not stream.complete
    assert b"[DONE]" not in out


@pytest.mark.parametrize("cassette", REFUSED, ids=name)
def test_an_error_keeps_its_words(cassette: Cassette) -> None:
    vendors, ours = json.loads(cassette.body)["error"], json.loads(error_answer(cassette.body))["error"]
    assert (ours["message"], ours["type"]) == (vendors["message"], vendors["type"])
    too_long = "prompt is too long" in vendors["message"]
    assert ours["code"] == ("context_length_exceeded" if too_long else vendors["type"])


@pytest.mark.parametrize("cassette", WHOLE, ids=name)
def test_an_answer_sent_back_is_restored(cassette: Cassette) -> None:
    message = json.loads(answer_body(cassette.body, created=1))["choices"][0]["message"]
    followed = [{"role": "user", "content": "?"}, message, {"role": "user", "content": "Go on."}]
    _, turns = conversation(followed)
    restored = json.loads(json.dumps(turns[1]["content"], default=lambda raw: json.loads(bytes(raw))))
    given = json.loads(cassette.body)["content"]
    for kind, fields in (("thinking", ("thinking", "signature")), ("tool_use", ("id", "name", "input"))):
        assert [[b[f] for f in fields] for b in restored if b["type"] == kind] == [
            [b[f] for f in fields] for b in given if b["type"] == kind
        ]
    assert "".join(b["text"] for b in restored if b["type"] == "text") == "".join(
        b["text"] for b in given if b["type"] == "text"
    )
    assert [b for b in restored if b["type"] not in PLAIN] == [b for b in given if b["type"] not in PLAIN]


def test_there_are_recordings_of_each_kind() -> None:
    assert len(WHOLE) >= 6
    assert len(STREAMED) >= 4
    assert len(REFUSED) >= 2
