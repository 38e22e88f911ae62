"""Recorded answers of all vendors, read by Anthropic's own types: nothing that a vendor said is lost or invented."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from anthropic.types import Message, RawMessageStreamEvent
from pydantic import TypeAdapter

from merit_crds.pricing import CostDetails, Usage
from merit_dataplane.wire.anthropic_anthropic.answer import passed_answer
from merit_dataplane.wire.anthropic_anthropic.stream import PassedStream
from merit_dataplane.wire.anthropic_openai.answer import message_body
from merit_dataplane.wire.anthropic_openai.errors import error_body
from merit_dataplane.wire.anthropic_openai.request import parse_messages
from merit_dataplane.wire.anthropic_openai.stream import MessageStream
from merit_dataplane.wire.openai_anthropic.answer import answer_body
from merit_dataplane.wire.openai_anthropic.stream import AnthropicStream
from merit_dataplane.wire.openai_request import Operation
from merit_dataplane.wire.openai_response import usage_of, with_cost
from merit_dataplane.wire.openai_stream import StreamTranslator
from merit_dataplane.wire.streamed import StreamedAnswer
from tests.support.cassettes import Cassette, cassettes

OPENAIS = ["openai", "azure", "deepseek", "gpustack", "groq", "mistral", "ollama", "openrouter", "perplexity"]
OPENAIS += ["together", "xai", "zai"]
CHATS = [c for vendor in OPENAIS for c in cassettes(vendor, "chat.completions") if c.body]
MESSAGES = [c for c in cassettes("anthropic", "messages") if c.body]
EVENT: TypeAdapter[Any] = TypeAdapter(RawMessageStreamEvent)
STOP = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "content_filter": "refusal"}
ASKED = parse_messages(
    b'{"model":"m","max_tokens":9,"stream":true,"messages":[{"role":"user","content":"?"}]}', (), Operation.MESSAGES
)
SIZES = (1, 7, 64, 1000)


def streamed(cassette: Cassette) -> bool:
    return b"\ndata:" in cassette.body or cassette.body.startswith(b"data:")


def name(cassette: Cassette) -> str:
    return cassette.name


def of(recorded: list[Cassette], *, stream: bool) -> list[Cassette]:
    return [c for c in recorded if c.status == 200 and streamed(c) is stream]


def free(_: Usage) -> CostDetails:
    return CostDetails(input=1, output=2, request=0)


class Both:
    """A provider's translator and the client's, as a request has them one after the other."""

    def __init__(self, provider: StreamedAnswer):
        self.provider, self.client = provider, MessageStream(())

    def feed(self, data: bytes) -> bytes:
        return self.client.feed(self.provider.feed(data))

    def finish(self) -> bytes:
        return self.client.feed(self.provider.finish()) + self.client.finish()


def fed(stream: Both, data: bytes, size: int) -> bytes:
    return b"".join([stream.feed(data[at : at + size]) for at in range(0, len(data), size)]) + stream.finish()


def of_openais() -> Both:
    return Both(StreamTranslator(wants_usage=True, price=free))


def passed() -> Both:
    return Both(PassedStream(ASKED, "m", free, 1))


def events(data: bytes, *, ours: bool) -> Iterator[dict[str, Any]]:
    for event in data.decode().split("\n\n"):
        lines = event.splitlines()
        if lines and lines[0].startswith("event: "):
            read = json.loads(lines[1].removeprefix("data: "))
            assert read["type"] == lines[0].removeprefix("event: ")
            if ours:  # older recordings are not what today's types say
                EVENT.validate_python(read)
            yield read


def accumulated(data: bytes, *, ours: bool = True) -> dict[str, Any]:
    """The message, put together as Anthropic's docs tell: blocks one after the other, each with its start and stop."""
    message: dict[str, Any] = {}
    open_block = -1
    for event in events(data, ours=ours):
        match event["type"]:
            case "message_start":
                assert not message
                message = event["message"]
            case "content_block_start":
                assert open_block == -1
                assert event["index"] == len(message["content"])
                open_block = event["index"]
                message["content"].append({**event["content_block"], "json": ""})
            case "content_block_delta":
                assert event["index"] == open_block
                block, delta = message["content"][open_block], event["delta"]
                for field in ("text", "thinking", "signature"):
                    if field in delta:
                        block[field] += delta[field]
                block["json"] += delta.get("partial_json", "")
                if "citation" in delta:
                    block.setdefault("citations", []).append(delta["citation"])
            case "content_block_stop":
                assert event["index"] == open_block
                open_block = -1
            case "message_delta":
                message |= event["delta"]
                message["usage"] |= event["usage"]
            case "message_stop":
                message["stopped"] = True
    assert message.pop("stopped")
    for block in message["content"]:
        if text := block.pop("json"):
            block["input"] = json.loads(text)
    return message


def vendors_message(cassette: Cassette) -> dict[str, Any]:
    """What the vendor's own bytes say, whole or streamed, with nothing of the translators'."""
    if not streamed(cassette):
        answer = json.loads(cassette.body)
        choice = answer["choices"][0]
        said = choice.get("message") or {}
        return {
            "text": plain_text(said.get("content")) or said.get("refusal") or "",
            "refused": bool(said.get("refusal")),
            "thought": said.get("reasoning_content") or said.get("reasoning") or "",
            "calls": [(c["function"]["name"], c["function"]["arguments"]) for c in said.get("tool_calls") or ()],
            "finish": choice["finish_reason"],
            "usage": answer.get("usage"),
        }
    text = thought = finish = ""
    calls: dict[Any, list[str]] = {}
    usage = None
    for line in cassette.body.decode().splitlines():
        if not line.startswith("data:") or line[5:].strip() == "[DONE]":
            continue
        chunk = json.loads(line[5:])
        usage = chunk.get("usage") or usage
        for choice in [c for c in chunk.get("choices") or () if c["index"] == 0]:
            delta = choice.get("delta") or {}
            text += plain_text(delta.get("content"))
            thought += delta.get("reasoning_content") or delta.get("reasoning") or ""
            finish = choice.get("finish_reason") or finish
            for part in delta.get("tool_calls") or ():
                key = part.get("id") if part.get("index") is None else part["index"]
                call = calls.setdefault(key, ["", ""])
                call[0] = call[0] or part["function"].get("name") or ""
                call[1] += part["function"].get("arguments") or ""
    spoken = [(called, arguments) for called, arguments in calls.values()]
    return {"text": text, "thought": thought, "calls": spoken, "finish": finish, "usage": usage}


def plain_text(content: Any) -> str:
    if isinstance(content, list):
        return "".join(part.get("text") or "" for part in content)
    return content or ""


def check(message: dict[str, Any], vendors: dict[str, Any]) -> None:
    blocks = message["content"]
    assert "".join(b["text"] for b in blocks if b["type"] == "text") == vendors["text"]
    assert "".join(b["thinking"] for b in blocks if b["type"] == "thinking").startswith(vendors["thought"])
    calls = [(b["name"], b["input"]) for b in blocks if b["type"] == "tool_use"]
    assert calls == [(name, json.loads(arguments or "{}")) for name, arguments in vendors["calls"]]
    ids = [b["id"] for b in blocks if b["type"] == "tool_use"]
    assert all(ids)
    assert len(set(ids)) == len(ids)
    wanted = STOP.get(vendors["finish"], "end_turn")
    wanted = "tool_use" if calls and wanted == "end_turn" else wanted
    if vendors.get("refused"):
        wanted = "refusal"
    assert message["stop_reason"] == wanted
    booked = usage_of(json.dumps({"usage": vendors["usage"]}).encode())
    if booked is not None:
        usage = message["usage"]
        read, written = usage["cache_read_input_tokens"], usage["cache_creation_input_tokens"]
        assert usage["input_tokens"] + read + written == booked.input
        assert usage["output_tokens"] == booked.all_output


@pytest.mark.parametrize("cassette", of(CHATS, stream=False), ids=name)
def test_a_whole_answer_of_another_vendor(cassette: Cassette) -> None:
    body = message_body(cassette.body, ())
    Message.model_validate_json(body)
    check(json.loads(body), vendors_message(cassette))


@pytest.mark.parametrize("cassette", [c for c in of(CHATS, stream=True) if b"[DONE]" in c.body], ids=name)
def test_a_stream_of_another_vendor_at_any_chunking(cassette: Cassette) -> None:
    stream = of_openais()
    whole = fed(stream, cassette.body, len(cassette.body))
    assert stream.provider.complete
    for size in SIZES:
        assert fed(of_openais(), cassette.body, size) == whole
    message = accumulated(whole)
    check(message, vendors_message(cassette))
    if stream.provider.usage is not None:
        assert message["usage"]["cost"] == 3e-12


@pytest.mark.parametrize("cassette", [c for c in CHATS if c.status >= 400], ids=name)
def test_an_error_of_another_vendor(cassette: Cassette) -> None:
    told = json.loads(error_body(cassette.body, cassette.status, "req_1"))
    assert told["type"] == "error"
    given = json.loads(cassette.body) if cassette.body.startswith(b"{") else None
    words = given["error"].get("message") if given and isinstance(given.get("error"), dict) else None
    assert (words or "") in told["error"]["message"]
    assert told["error"]["message"]


@pytest.mark.parametrize("cassette", of(MESSAGES, stream=False), ids=name)
def test_a_message_of_anthropics_passes_through(cassette: Cassette) -> None:
    between, usage = passed_answer(cassette.body, 1)
    assert usage is not None
    given = json.loads(cassette.body)
    assert usage.all_output == given["usage"]["output_tokens"]
    ours = json.loads(message_body(with_cost(between, free(usage)), ()))
    assert ours["usage"].pop("cost") == 3e-12
    ours["usage"].pop("cost_details")
    assert ours == given
    assert list(ours) == list(given)


@pytest.mark.parametrize("cassette", of(MESSAGES, stream=True), ids=name)
def test_a_stream_of_anthropics_passes_through_byte_by_byte(cassette: Cassette) -> None:
    given = [e for e in cassette.body.replace(b"\r\n", b"\n").split(b"\n\n") if e.strip()]
    whole = fed(passed(), cassette.body, len(cassette.body))
    for size in SIZES:
        assert fed(passed(), cassette.body, size) == whole
    got = [e for e in whole.replace(b"\r\n", b"\n").split(b"\n\n") if e.strip()]
    assert len(got) == len(given)
    for ours, theirs in zip(got, given, strict=True):
        if b'"message_delta"' not in theirs:
            assert ours == theirs
            continue
        event, original = (json.loads(e.split(b"data:", 1)[1]) for e in (ours, theirs))
        assert event["usage"].pop("cost") == 3e-12
        event["usage"].pop("cost_details")
        assert event == original


@pytest.mark.parametrize("cassette", of(MESSAGES, stream=True), ids=name)
def test_a_stream_of_anthropics_is_booked_as_it_says(cassette: Cassette) -> None:
    stream, plain = passed(), Both(AnthropicStream(wants_usage=True, price=free, created=1))
    fed(stream, cassette.body, 100)
    fed(plain, cassette.body, 100)
    assert stream.provider.complete
    assert stream.provider.usage == plain.provider.usage
    assert stream.provider.told == plain.provider.told


@pytest.mark.parametrize("cassette", of(MESSAGES, stream=False), ids=name)
def test_a_message_translated_to_openais_and_back(cassette: Cassette) -> None:
    """As when a provider that speaks for Anthropic, such as Bedrock, is translated by its own translator."""
    given = json.loads(cassette.body)
    there = answer_body(cassette.body, created=1)
    back = json.loads(message_body(there, ()))
    kinds = {"thinking": ("thinking", "signature"), "tool_use": ("id", "name", "input"), "redacted_thinking": ("data",)}
    for kind, fields in kinds.items():
        assert [[b[f] for f in fields] for b in back["content"] if b["type"] == kind] == [
            [b[f] for f in fields] for b in given["content"] if b["type"] == kind
        ]
    for field in ("stop_reason", "stop_sequence", "role", "id", "model"):
        assert back[field] == given[field]
    for field in ("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens"):
        assert back["usage"].get(field, 0) == (given["usage"].get(field) or 0)


@pytest.mark.parametrize("cassette", of(MESSAGES, stream=True), ids=name)
def test_a_stream_translated_to_openais_and_back(cassette: Cassette) -> None:
    back = accumulated(fed(Both(AnthropicStream(wants_usage=True, price=free, created=1)), cassette.body, 50))
    given = accumulated(fed(passed(), cassette.body, 50), ours=False)
    for kind, field in (("thinking", "thinking"), ("thinking", "signature"), ("text", "text"), ("tool_use", "input")):
        ours, theirs = ([b[field] for b in m["content"] if b["type"] == kind] for m in (back, given))
        assert ("".join(ours) if kind == "text" else ours) == ("".join(theirs) if kind == "text" else theirs)
    assert back["stop_reason"] == given["stop_reason"]
    assert back["usage"]["output_tokens"] == given["usage"]["output_tokens"]


def test_there_are_recordings_of_anthropics() -> None:
    assert len(of(MESSAGES, stream=False)) >= 6
    assert len(of(MESSAGES, stream=True)) >= 4
