"""Recorded answers of all vendors, read by OpenAI's own types of a response: nothing is lost or invented."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from merit_crds.pricing import CostDetails, Usage
from merit_dataplane.wire.openai_request import Call
from merit_dataplane.wire.openai_response import usage_of, with_cost
from merit_dataplane.wire.openai_stream import StreamTranslator
from merit_dataplane.wire.responses_openai.renderer import ResponseRenderer
from merit_dataplane.wire.responses_openai.request import parse_responses
from merit_dataplane.wire.responses_responses.answer import passed_answer
from merit_dataplane.wire.responses_responses.stream import PassedStream
from merit_dataplane.wire.streamed import StreamedAnswer
from tests.support.cassettes import Cassette, cassettes

OPENAIS = ["openai", "azure", "deepseek", "gpustack", "groq", "mistral", "ollama", "openrouter", "perplexity"]
OPENAIS += ["together", "xai", "zai"]
CHATS = [c for vendor in OPENAIS for c in cassettes(vendor, "chat.completions") if c.body and c.status == 200]
RESPONSES = [c for v in ("openai", "azure", "xai", "deepseek", "bedrock") for c in cassettes(v, "responses") if c.body]
EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
ASKED = parse_responses(b'{"model":"m","stream":true,"input":"?"}')
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

    def __init__(self, provider: StreamedAnswer, call: Call = ASKED):
        self.provider, self.client = provider, ResponseRenderer(call, "req_1")

    def feed(self, data: bytes) -> bytes:
        return self.client.feed(self.provider.feed(data))

    def finish(self) -> bytes:
        return self.client.feed(self.provider.finish()) + self.client.finish()


def fed(stream: Both, data: bytes, size: int) -> bytes:
    return b"".join([stream.feed(data[at : at + size]) for at in range(0, len(data), size)]) + stream.finish()


def of_a_chat() -> Both:
    return Both(StreamTranslator(wants_usage=True, price=free))


def passed() -> Both:
    return Both(PassedStream(ASKED, "m", free, 1))


def events(data: bytes) -> Iterator[dict[str, Any]]:
    for number, event in enumerate(data.decode().split("\n\n")[:-1]):
        kind, _, rest = event.partition("\n")
        read = json.loads(rest.removeprefix("data: "))
        assert read["type"] == kind.removeprefix("event: ")
        assert read["sequence_number"] == number
        EVENT.validate_python(read)
        yield read


def accumulated(data: bytes) -> dict[str, Any]:
    """The output as its events tell it, checked against what `done` and the last event say."""
    items: list[dict[str, Any]] = []
    last: dict[str, Any] = {}
    open_item = False
    for event in events(data):
        kind = event["type"].removeprefix("response.")
        if kind == "output_item.added":
            assert not open_item
            assert event["output_index"] == len(items)
            items.append(event["item"])
            open_item = True
        elif kind == "content_part.added":
            assert event["content_index"] == len(items[-1]["content"])
            items[-1]["content"].append(event["part"])
        elif kind in ("output_text.delta", "reasoning_text.delta"):
            items[-1]["content"][event["content_index"]]["text"] += event["delta"]
        elif kind == "refusal.delta":
            items[-1]["content"][event["content_index"]]["refusal"] += event["delta"]
        elif kind == "reasoning_summary_part.added":
            items[-1]["summary"].append(event["part"])
        elif kind == "reasoning_summary_text.delta":
            items[-1]["summary"][event["summary_index"]]["text"] += event["delta"]
        elif kind == "output_text.annotation.added":
            items[-1]["content"][event["content_index"]]["annotations"].append(event["annotation"])
        elif kind == "function_call_arguments.delta":
            items[-1]["arguments"] += event["delta"]
        elif kind == "output_item.done":
            done = event["item"]
            for field in ("content", "arguments", "summary"):
                written = items[-1].get(field)
                if field == "content":
                    written = [{k: v for k, v in part.items() if k != "logprobs"} for part in written or ()]
                    said = [{k: v for k, v in part.items() if k != "logprobs"} for part in done.get(field) or ()]
                    assert written == said
                elif written is not None:
                    assert (written or "{}") == done[field] or not written
            items[-1] = done
            open_item = False
        elif kind in ("completed", "incomplete"):
            last = event["response"]
    assert not open_item
    assert last["output"] == items
    return last


def plain_text(content: Any) -> str:
    if isinstance(content, list):
        return "".join(part.get("text") or "" for part in content)
    return content or ""


def check(response: dict[str, Any], text: str, thought: str, calls: list[tuple[str, Any]], usage: Any) -> None:
    Response.model_validate(response)
    messages = [item for item in response["output"] if item["type"] == "message"]
    assert "".join(p.get("text") or p.get("refusal") or "" for m in messages for p in m["content"]) == text
    thoughts = [item for item in response["output"] if item["type"] == "reasoning"]
    said = "".join(p["text"] for t in thoughts for p in [*t["content"], *t["summary"]])
    assert said.startswith(thought)
    made = [item for item in response["output"] if item["type"] == "function_call"]
    assert [(c["name"], json.loads(c["arguments"])) for c in made] == [(n, json.loads(a or "{}")) for n, a in calls]
    assert len({item["id"] for item in response["output"]}) == len(response["output"])
    booked = usage_of(json.dumps({"usage": usage}).encode())
    if booked is not None:
        counted = response["usage"]
        assert (counted["input_tokens"], counted["output_tokens"]) == (booked.input, booked.all_output)
        assert counted["input_tokens_details"]["cached_tokens"] == booked.all_cached


@pytest.mark.parametrize("cassette", of(CHATS, stream=False), ids=name)
def test_a_whole_chat_as_a_response(cassette: Cassette) -> None:
    given = json.loads(cassette.body)
    said = given["choices"][0].get("message") or {}
    _, body = ResponseRenderer(ASKED, "req_1").whole(cassette.body, 200)
    calls = [(c["function"]["name"], c["function"]["arguments"]) for c in said.get("tool_calls") or ()]
    text = plain_text(said.get("content")) + (said.get("refusal") or "")
    thought = said.get("reasoning_content") or said.get("reasoning") or ""
    check(json.loads(body), text, thought, calls, given.get("usage"))
    cut = given["choices"][0]["finish_reason"] in ("length", "content_filter")
    assert json.loads(body)["status"] == ("incomplete" if cut else "completed")


@pytest.mark.parametrize("cassette", [c for c in of(CHATS, stream=True) if b"[DONE]" in c.body], ids=name)
def test_a_streamed_chat_as_a_response_at_any_chunking(cassette: Cassette) -> None:
    stream = of_a_chat()
    whole = fed(stream, cassette.body, len(cassette.body))
    clock = re.compile(rb'"(?:created|completed)_at":\d+')
    for size in SIZES:
        assert clock.sub(b"", fed(of_a_chat(), cassette.body, size)) == clock.sub(b"", whole)
    text = thought = ""
    usage = None
    calls: dict[Any, list[str]] = {}
    for line in cassette.body.decode().splitlines():
        if not line.startswith("data:") or line[5:].strip() == "[DONE]":
            continue
        chunk = json.loads(line[5:])
        usage = chunk.get("usage") or usage
        for choice in [c for c in chunk.get("choices") or () if c["index"] == 0]:
            delta = choice.get("delta") or {}
            text += plain_text(delta.get("content")) + (delta.get("refusal") or "")
            thought += delta.get("reasoning_content") or delta.get("reasoning") or ""
            for part in delta.get("tool_calls") or ():
                key = part.get("id") if part.get("index") is None else part["index"]
                call = calls.setdefault(key, ["", ""])
                call[0] = call[0] or part["function"].get("name") or ""
                call[1] += part["function"].get("arguments") or ""
    response = accumulated(whole)
    check(response, text, thought, [(called, arguments) for called, arguments in calls.values()], usage)
    if stream.provider.usage is not None:
        assert response["usage"]["cost"] == 3e-12


@pytest.mark.parametrize("cassette", of(RESPONSES, stream=False), ids=name)
def test_a_response_passes_through(cassette: Cassette) -> None:
    given = json.loads(cassette.body)
    if given.get("error") or given["object"] != "response":
        with pytest.raises(ValueError, match="response"):
            passed_answer(cassette.body, 1)
        return
    between, usage = passed_answer(cassette.body, 1)
    assert usage is not None
    assert (usage.input, usage.all_output) == (given["usage"]["input_tokens"], given["usage"]["output_tokens"])
    _, body = ResponseRenderer(ASKED, "req_1").whole(with_cost(between, free(usage)), 200)
    ours = json.loads(body)
    assert ours["usage"].pop("cost") == 3e-12
    ours["usage"].pop("cost_details")
    assert ours == given
    assert list(ours) == list(given)


@pytest.mark.parametrize("cassette", of(RESPONSES, stream=True), ids=name)
def test_a_streamed_response_passes_through_byte_by_byte(cassette: Cassette) -> None:
    given = [e for e in cassette.body.replace(b"\r\n", b"\n").split(b"\n\n") if b"data: {" in e]
    stream = passed()
    whole = fed(stream, cassette.body, len(cassette.body))
    for size in SIZES:
        assert fed(passed(), cassette.body, size) == whole
    got = [e for e in whole.split(b"\n\n") if e.strip()]
    assert len(got) == len(given)
    for ours, theirs in zip(got, given, strict=True):
        mine, original = (json.loads(e.split(b"data:", 1)[1]) for e in (ours, theirs))
        if mine["type"] in ("response.completed", "response.incomplete"):
            usage = mine["response"]["usage"]
            assert usage.pop("cost") == 3e-12
            usage.pop("cost_details")
            assert stream.provider.usage is not None
            assert stream.provider.usage.all_output == usage["output_tokens"]
        assert mine == original


@pytest.mark.parametrize("cassette", [c for c in RESPONSES if c.request and c.status == 200], ids=name)
def test_a_recorded_request_is_read(cassette: Cassette) -> None:
    request = {k: v for k, v in (cassette.request or {}).items() if k != "previous_response_id"}
    call = parse_responses(json.dumps(request).encode())
    assert call.native is not None
    if not call.native.only_there:
        items = request["input"] if isinstance(request["input"], list) else []
        called = [i["call_id"] for i in items if i.get("type") == "function_call"]
        results = [i["call_id"] for i in items if i.get("type") == "function_call_output"]
        messages = json.loads(bytes(call.messages))
        assert [c["id"] for m in messages for c in m.get("tool_calls", ())] == called
        assert [m["tool_call_id"] for m in messages if m["role"] == "tool"] == results
