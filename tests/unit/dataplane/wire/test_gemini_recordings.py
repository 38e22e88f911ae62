"""Real answers of Gemini's, also on Vertex AI, read by OpenAI's own types: nothing of them is lost or invented."""

import json
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from merit_crds.pricing import CostDetails, Usage
from merit_dataplane.wire.openai_gemini.answer import answer_body
from merit_dataplane.wire.openai_gemini.errors import read_error
from merit_dataplane.wire.openai_gemini.messages import conversation
from merit_dataplane.wire.openai_gemini.stream import GeminiStream
from merit_dataplane.wire.openai_response import usage_of
from tests.support.cassettes import Cassette, cassettes

ALL = [
    cassette
    for vendor in ("gemini", "vertex")
    for endpoint in ("generateContent", "streamGenerateContent")
    for cassette in cassettes(vendor, endpoint)
    if cassette.body
]
WHOLE = [c for c in ALL if c.status == 200 and c.endpoint == "generateContent" and b'"candidates"' in c.body]
STREAMED = [c for c in ALL if c.status == 200 and c.endpoint == "streamGenerateContent"]
REFUSED = [c for c in ALL if c.status >= 400]
FINISH = {"STOP": "stop", "MAX_TOKENS": "length", 1: "stop"}


def name(cassette: Cassette) -> str:
    return cassette.name


def free(_: Usage) -> CostDetails:
    return CostDetails(input=0, output=0, request=0)


def stream(*, wants_usage: bool = True) -> GeminiStream:
    return GeminiStream(wants_usage=wants_usage, price=free, model="asked-for", created=1)


def translated(data: bytes, size: int) -> tuple[bytes, GeminiStream]:
    made = stream()
    pieces = [made.feed(data[at : at + size]) for at in range(0, len(data), size)]
    return b"".join(pieces) + made.finish(), made


def events(data: bytes) -> Iterator[dict[str, Any]]:
    for line in data.decode().splitlines():
        if line.startswith("data:") and "[DONE]" not in line:
            yield json.loads(line[5:])


def pieces(data: bytes) -> list[dict[str, Any]]:
    """Of a stream of Gemini's in either framing, with nothing of the translator's."""
    return list(events(data)) if data.startswith(b"data:") else json.loads(data)


class Said:
    """What Gemini said, put together without the translator."""

    def __init__(self, answers: list[dict[str, Any]]):
        self.parts: list[dict[str, Any]] = []
        self.usage: dict[str, Any] = {}
        self.finish: Any = None
        for answer in answers:
            self.usage |= answer.get("usageMetadata", {})
            for candidate in answer.get("candidates", ()):
                self.parts += candidate.get("content", {}).get("parts", ())
                self.finish = candidate.get("finishReason", self.finish)

    @property
    def text(self) -> str:
        return "".join(p["text"] for p in self.parts if "text" in p and not p.get("thought"))

    @property
    def thoughts(self) -> str:
        return "".join(p["text"] for p in self.parts if p.get("thought"))

    @property
    def calls(self) -> list[tuple[Any, ...]]:
        return [
            (p["functionCall"]["name"], p["functionCall"].get("args", {}), p.get("thoughtSignature"))
            for p in self.parts
            if "functionCall" in p
        ]

    @property
    def signatures(self) -> list[str]:
        """Of text and thoughts."""
        return [p["thoughtSignature"] for p in self.parts if "text" in p and p.get("thoughtSignature")]

    @property
    def others(self) -> list[dict[str, Any]]:
        return [p for p in self.parts if "text" not in p and "functionCall" not in p]


def check(said: Said, message: dict[str, Any], finish: str, usage: dict[str, Any] | None) -> None:
    assert (message.get("content") or "") == said.text
    assert (message.get("reasoning_content") or "") == said.thoughts
    calls = message.get("tool_calls") or []
    assert [
        (
            c["function"]["name"],
            json.loads(c["function"]["arguments"]),
            c.get("extra_content", {}).get("google", {}).get("thought_signature"),
        )
        for c in calls
    ] == said.calls
    assert len({c["id"] for c in calls}) == len(calls)
    details = message.get("reasoning_details") or []
    assert [d.get("signature") or d.get("data") for d in details if d.get("signature") or d.get("data")] == (
        said.signatures
    )
    assert message.get("provider_blocks", []) == said.others
    assert finish == ("tool_calls" if calls else FINISH[said.finish])
    check_usage(said.usage, usage)


def check_usage(vendors: dict[str, Any], ours: dict[str, Any] | None) -> None:
    if not vendors:
        assert ours is None
        return
    assert ours is not None
    thoughts, tools = vendors.get("thoughtsTokenCount", 0), vendors.get("toolUsePromptTokenCount", 0)
    cached = vendors.get("cachedContentTokenCount", 0)
    assert ours["prompt_tokens"] == vendors["promptTokenCount"] + tools
    assert ours["completion_tokens"] == vendors.get("candidatesTokenCount", 0) + thoughts
    if "totalTokenCount" in vendors:
        assert ours["total_tokens"] == vendors["totalTokenCount"]
    booked = usage_of(json.dumps({"usage": ours}).encode())
    assert booked is not None
    assert booked.input == ours["prompt_tokens"]
    assert booked.all_cached == cached
    assert booked.all_output == ours["completion_tokens"]
    assert (booked.special.reasoning if booked.special else 0) == thoughts


@pytest.mark.parametrize("cassette", WHOLE, ids=name)
def test_a_whole_answer(cassette: Cassette) -> None:
    vendors = json.loads(cassette.body)
    ours = json.loads(answer_body(cassette.body, "asked-for", created=1))
    ChatCompletion.model_validate(ours)
    choice = ours["choices"][0]
    check(Said([vendors]), choice["message"], choice["finish_reason"], ours.get("usage"))
    assert ours["model"] == vendors.get("modelVersion", "asked-for")
    grounding = vendors["candidates"][0].get("groundingMetadata")
    assert choice.get("grounding_metadata") == grounding
    content = choice["message"]["content"] or ""
    for annotation in choice["message"].get("annotations", ()):
        cited = annotation["url_citation"]
        passages = [s["segment"]["text"] for s in grounding["groundingSupports"]]
        assert content[cited["start_index"] : cited["end_index"]] in passages
        assert cited["url"] in [chunk["web"]["uri"] for chunk in grounding["groundingChunks"]]


def put_together(data: bytes) -> tuple[dict[str, Any], str, dict[str, Any] | None]:
    """Message, finish reason and usage, as a client's code adds its chunks up."""
    message: dict[str, Any] = {}
    finish, usage = "", None
    for event in events(data):
        ChatCompletionChunk.model_validate(event)
        usage = event.get("usage") or usage
        for choice in event["choices"]:
            finish = choice["finish_reason"] or finish
            for field, value in choice["delta"].items():
                if field == "tool_calls":
                    assert [c["index"] for c in value] == [len(message.get(field, ()))]
                if field != "role":
                    message[field] = message[field] + value if field in message else value
    return message, finish, usage


@pytest.mark.parametrize("cassette", STREAMED, ids=name)
def test_a_stream_at_any_chunking(cassette: Cassette) -> None:
    data = cassette.body
    whole, made = translated(data, len(data))
    for size in (1, 7, 64, 1000):
        assert translated(data, size)[0] == whole
    assert made.complete
    assert not made.failed
    check(Said(pieces(data)), *put_together(whole))
    assert whole.endswith(b"data: [DONE]\n\n")


@pytest.mark.parametrize("cassette", STREAMED, ids=name)
def test_usage_that_nobody_asked_for_is_hidden_and_booked(cassette: Cassette) -> None:
    made = stream(wants_usage=False)
    out = made.feed(cassette.body) + made.finish()
    assert b'"usage"' not in out
    assert made.usage is not None


@pytest.mark.parametrize("cassette", STREAMED, ids=name)
def test_a_cut_stream_is_not_complete(cassette: Cassette) -> None:
    end = cassette.body.index(b'"finishReason"')
    made = stream()
    out = made.feed(cassette.body[:end]) + made.finish()
    assert not made.complete
    assert b"[DONE]" not in out


@pytest.mark.parametrize("cassette", WHOLE, ids=name)
def test_a_conversation_sent_back_is_what_gemini_said(cassette: Cassette) -> None:
    said = Said([json.loads(cassette.body)])
    message = json.loads(answer_body(cassette.body, "m", created=1))["choices"][0]["message"]
    results = [{"role": "tool", "tool_call_id": c["id"], "content": "7"} for c in message.get("tool_calls", ())]
    _, contents = conversation([{"role": "user", "content": "?"}, message, *results])
    back = json.loads(_json(contents))
    parts = back[1]["parts"]
    assert "".join(p["text"] for p in parts if "text" in p and not p.get("thought")) == said.text
    assert [p["thoughtSignature"] for p in parts if "text" in p and "thoughtSignature" in p] == said.signatures
    assert [
        (p["functionCall"]["name"], p["functionCall"]["args"], p.get("thoughtSignature"))
        for p in parts
        if "functionCall" in p
    ] == said.calls
    ids = [p["functionCall"].get("id") for p in said.parts if "functionCall" in p]
    assert [p["functionCall"].get("id") for p in parts if "functionCall" in p] == ids
    assert [p for p in parts if "text" not in p and "functionCall" not in p] == said.others
    if results:
        answered = [p["functionResponse"] for p in back[2]["parts"]]
        assert [(a["name"], a.get("id")) for a in answered] == [(c[0], i) for c, i in zip(said.calls, ids, strict=True)]


def _json(value: Any) -> bytes:
    return msgspec.json.encode(value)


@pytest.mark.parametrize("cassette", REFUSED, ids=name)
def test_an_error_keeps_its_words(cassette: Cassette) -> None:
    vendors = json.loads(cassette.body)["error"]
    status, body, retry_after = read_error(cassette.status, cassette.body)
    ours = json.loads(body)["error"]
    assert ours["message"] == vendors["message"]
    if "token count" in vendors["message"] and cassette.status == 400:
        assert ours["code"] == "context_length_exceeded"
    if "API key" in vendors["message"]:
        assert status == 401
    if "Please retry in 48.9" in vendors["message"]:
        assert retry_after == pytest.approx(48, abs=1)
