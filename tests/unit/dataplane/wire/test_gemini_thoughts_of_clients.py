"""Signatures of Gemini's thoughts, through clients that speak Anthropic's or Responses, and back to Gemini."""

import json
from typing import Any

import msgspec
import pytest

from merit_dataplane.wire.anthropic_openai.renderer import MessageRenderer
from merit_dataplane.wire.anthropic_openai.request import parse_messages
from merit_dataplane.wire.dialects import DIALECTS
from merit_dataplane.wire.openai_request import Call, Operation
from merit_dataplane.wire.responses_openai.renderer import ResponseRenderer
from merit_dataplane.wire.responses_openai.request import parse_responses
from tests.support.cassettes import cassettes

GEMINI = DIALECTS["Gemini"]
CALL = {"functionCall": {"name": "weather", "args": {"at": 1}}, "thoughtSignature": "c2lnbmVk"}
MADE = {
    "candidates": [{"content": {"role": "model", "parts": [CALL]}, "finishReason": "STOP"}],
    "usageMetadata": {"promptTokenCount": 1, "candidatesTokenCount": 1, "totalTokenCount": 2},
}
RECORDED = [("made", json.dumps(MADE).encode())]
RECORDED += [
    (c.name, c.body)
    for vendor in ("gemini", "vertex")
    for c in cassettes(vendor, "generateContent")
    if c.status == 200 and b"thoughtSignature" in c.body and b"executableCode" not in c.body
]  # what a server ran is no block of another protocol's


def signatures(value: Any) -> set[str]:
    if isinstance(value, dict):
        own = {value["thoughtSignature"]} if "thoughtSignature" in value else set()
        return own.union(*(signatures(inner) for inner in value.values()))
    return set[str]().union(*(signatures(inner) for inner in value)) if isinstance(value, list) else set()


def sent_back(call: Call) -> set[str]:
    return signatures(json.loads(GEMINI.request(call, msgspec.Raw(b'"gemini"'), 0)))


def messages(*turns: dict[str, Any]) -> Call:
    request = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "?"}, *turns]}
    return parse_messages(json.dumps(request).encode(), (), Operation.MESSAGES)


@pytest.mark.parametrize("said", [body for _, body in RECORDED], ids=[name for name, _ in RECORDED])
def test_an_anthropic_client_brings_them_back(said: bytes) -> None:
    asked = messages()
    body, _ = GEMINI.answer(said, asked, "gemini", 1)
    _, message = MessageRenderer(asked, "req_1").whole(body, 200)
    content = json.loads(message)["content"]
    results = [
        {"type": "tool_result", "tool_use_id": b["id"], "content": "x"} for b in content if b["type"] == "tool_use"
    ]
    turns = ({"role": "assistant", "content": content}, {"role": "user", "content": results or "Go on."})
    assert sent_back(messages(*turns)) == signatures(json.loads(said))


@pytest.mark.parametrize("said", [body for _, body in RECORDED], ids=[name for name, _ in RECORDED])
def test_a_responses_client_brings_them_back(said: bytes) -> None:
    asked = parse_responses(b'{"model":"m","input":"?"}')
    body, _ = GEMINI.answer(said, asked, "gemini", 1)
    _, response = ResponseRenderer(asked, "req_1").whole(body, 200)
    items = [{"role": "user", "content": "?"}, *json.loads(response)["output"]]
    called = [item["call_id"] for item in items if item.get("type") == "function_call"]
    items += [{"type": "function_call_output", "call_id": identity, "output": "x"} for identity in called]
    items.append({"role": "user", "content": "Go on."})
    request = json.dumps({"model": "m", "input": items}).encode()
    assert sent_back(parse_responses(request)) == signatures(json.loads(said))


def test_an_anthropic_client_of_a_stream_brings_them_back() -> None:
    chunk = {"id": "c", "model": "g", "choices": [{"index": 0, "delta": {"tool_calls": [
        {"index": 0, "id": "a:1", "function": {"name": "weather", "arguments": "{}"},
         "extra_content": {"google": {"thought_signature": "c2lnbmVk"}}}]}}]}  # fmt: skip
    stream = MessageRenderer(messages(), "req_1")
    out = stream.feed(b"data: " + json.dumps(chunk).encode() + b"\n\ndata: [DONE]\n\n").decode()
    events = [json.loads(line[6:]) for line in out.splitlines() if line.startswith("data: ")]
    blocks = [e["content_block"] for e in events if e["type"] == "content_block_start"]
    signature = next(e["delta"]["signature"] for e in events if e.get("delta", {}).get("type") == "signature_delta")
    assert [block["type"] for block in blocks] == ["thinking", "tool_use"]
    blocks[0]["signature"] = signature
    result = {"type": "tool_result", "tool_use_id": blocks[1]["id"], "content": "x"}
    turns = ({"role": "assistant", "content": blocks}, {"role": "user", "content": [result]})
    assert sent_back(messages(*turns)) == {"c2lnbmVk"}
