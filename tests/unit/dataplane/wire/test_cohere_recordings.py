"""Real answers of Cohere's, read by OpenAI's own types: nothing of what the vendor said is lost or invented."""

import base64
import json
import struct
from typing import Any

import pytest
from openai.types import CreateEmbeddingResponse
from openai.types.chat import ChatCompletion

from merit_crds.pricing import CostDetails, Usage
from merit_dataplane.wire.openai_cohere.answer import answer_body, error_answer
from merit_dataplane.wire.openai_cohere.embeddings import embeddings_body
from merit_dataplane.wire.openai_cohere.stream import CohereStream
from tests.support.cassettes import Cassette, cassettes
from tests.support.chunks import events, put_together

CHATS = [c for c in cassettes("cohere", "chat") if c.body and "/v2/" in c.url]
WHOLE = [c for c in CHATS if c.status == 200 and not c.streamed]
STREAMED = [c for c in CHATS if c.status == 200 and c.streamed]
REFUSED = [c for c in CHATS if c.status >= 400]
EMBEDDED = [c for c in cassettes("cohere", "embeddings") if c.status == 200 and "/v2/" in c.url]
FINISH = {"COMPLETE": "stop", "TOOL_CALL": "tool_calls", "MAX_TOKENS": "length"}


def name(cassette: Cassette) -> str:
    return cassette.name


def free(_: Usage) -> CostDetails:
    return CostDetails(input=0, output=0, request=0)


def translated(data: bytes, size: int, *, wants_usage: bool = True) -> tuple[bytes, CohereStream]:
    stream = CohereStream(wants_usage=wants_usage, price=free, model="m", created=1)
    pieces = [stream.feed(data[at : at + size]) for at in range(0, len(data), size)]
    return b"".join(pieces) + stream.finish(), stream


def said(data: bytes) -> dict[str, Any]:
    """Cohere's message, put together from its events, with nothing of the translator's."""
    message: dict[str, Any] = {"text": "", "thinking": "", "plan": "", "calls": [], "citations": []}
    for event in events(data):
        told = event.get("delta", {}).get("message", {})
        match event["type"]:
            case "message-start":
                message["id"] = event["id"]
            case "content-start" | "content-delta":
                message["text"] += told["content"].get("text") or ""
                message["thinking"] += told["content"].get("thinking") or ""
            case "tool-plan-delta":
                message["plan"] += told["tool_plan"]
            case "tool-call-start":
                message["calls"].append({"id": told["tool_calls"]["id"], **told["tool_calls"]["function"]})
            case "tool-call-delta":
                message["calls"][-1]["arguments"] += told["tool_calls"]["function"]["arguments"]
            case "citation-start":
                message["citations"].append(told["citations"])
            case "message-end":
                message |= event["delta"]
    return message


def check_usage(vendors: dict[str, Any], ours: dict[str, Any], booked: Usage | None) -> None:
    tokens = vendors["tokens"]
    assert ours["prompt_tokens"] == tokens["input_tokens"] + tokens.get("image_tokens", 0)
    assert ours["completion_tokens"] == tokens["output_tokens"]
    assert ours["prompt_tokens_details"]["cached_tokens"] == vendors.get("cached_tokens", 0)
    assert ours.get("completion_tokens_details", {}).get("reasoning_tokens") == tokens.get("reasoning_tokens")
    assert ours["billed_units"] == vendors["billed_units"]
    assert booked is not None
    assert (booked.uncached_input, booked.all_output) == (
        vendors["billed_units"]["input_tokens"],
        vendors["billed_units"]["output_tokens"],
    )


@pytest.mark.parametrize("cassette", WHOLE, ids=name)
def test_a_whole_answer(cassette: Cassette) -> None:
    vendors = json.loads(cassette.body)
    body, booked = answer_body(cassette.body, model=cassette.model, created=1)
    ours = json.loads(body)
    ChatCompletion.model_validate(ours)
    message, given = ours["choices"][0]["message"], vendors["message"]
    texts = [b["text"] for b in given.get("content") or () if b["type"] == "text"]
    assert message["content"] == ("".join(texts) if texts else None)
    thoughts = [given["tool_plan"]] if given.get("tool_plan") else []
    thoughts += [b["thinking"] for b in given.get("content") or () if b["type"] == "thinking"]
    assert message.get("reasoning_content", "") == "".join(thoughts)
    assert message.get("tool_calls", []) == given.get("tool_calls", [])
    cited = given.get("citations") or []
    assert [
        {k: v for k, v in c.items() if k not in {"start_index", "end_index"}} for c in message.get("citations", ())
    ] == cited
    for citation in message.get("citations", ()):
        assert message["content"][citation["start_index"] : citation["end_index"]] == citation["text"]
    assert ours["choices"][0]["finish_reason"] == FINISH[vendors["finish_reason"]]
    check_usage(vendors["usage"], ours["usage"], booked)


@pytest.mark.parametrize("cassette", STREAMED, ids=name)
def test_a_stream_at_any_chunking(cassette: Cassette) -> None:
    data, stream = translated(cassette.body, len(cassette.body))
    for size in (1, 7, 64, 1000):
        assert translated(cassette.body, size)[0] == data
    assert stream.complete
    assert not stream.failed
    vendors, ours = said(cassette.body), put_together(data)
    assert ours["content"] == vendors["text"]
    assert ours["reasoning_content"] == vendors["plan"] + vendors["thinking"]
    assert [(c["id"], c["name"], c["arguments"]) for c in ours["tool_calls"]] == [
        (c["id"], c["name"], c["arguments"] or "{}") for c in vendors["calls"]
    ]
    cited = ours.get("citations", ())
    assert [{k: v for k, v in c.items() if k not in {"start_index", "end_index"}} for c in cited] == vendors[
        "citations"
    ]
    for citation in cited:
        assert ours["content"][citation["start_index"] : citation["end_index"]] == citation["text"]
    assert ours["finish_reason"] == FINISH[vendors["finish_reason"]]
    assert {event["id"] for event in events(data)} == {vendors["id"]}
    check_usage(vendors["usage"], ours["usage"], stream.usage)
    assert data.endswith(b"data: [DONE]\n\n")


@pytest.mark.parametrize("cassette", STREAMED, ids=name)
def test_usage_that_nobody_asked_for_is_hidden_and_booked(cassette: Cassette) -> None:
    out, stream = translated(cassette.body, 1000, wants_usage=False)
    assert b'"usage"' not in out
    assert stream.usage is not None


@pytest.mark.parametrize("cassette", STREAMED, ids=name)
def test_a_cut_stream_is_not_complete(cassette: Cassette) -> None:
    out, stream = translated(cassette.body[: cassette.body.index(b"event: message-end")], 1000)
    assert not stream.complete
    assert b"[DONE]" not in out


@pytest.mark.parametrize("cassette", REFUSED, ids=name)
def test_an_error_keeps_its_words(cassette: Cassette) -> None:
    status, body = error_answer(cassette.body, cassette.status)
    vendors, ours = json.loads(cassette.body), json.loads(body)["error"]
    assert (status, ours["message"]) == (cassette.status, vendors["message"])
    too_long = vendors.get("error_type") == "TOO_MANY_TOKENS"
    assert ours["code"] == ("context_length_exceeded" if too_long else "invalid_api_key")


@pytest.mark.parametrize("cassette", EMBEDDED, ids=name)
@pytest.mark.parametrize("packed", [False, True])
def test_embeddings(cassette: Cassette, packed: bool) -> None:
    vendors = json.loads(cassette.body)
    body, usage = embeddings_body(cassette.body, model=cassette.model, base64_wanted=packed)
    ours = json.loads(body)
    wanted = vendors["embeddings"]["float"]
    if packed:
        found = [base64.b64decode(item["embedding"]) for item in ours["data"]]
        numbers = [list(struct.unpack(f"<{len(raw) // 4}f", raw)) for raw in found]
        assert [[pytest.approx(n, rel=1e-6) for n in row] for row in numbers] == wanted
    else:
        CreateEmbeddingResponse.model_validate(ours)
        assert [item["embedding"] for item in ours["data"]] == wanted
    assert [item["index"] for item in ours["data"]] == list(range(len(wanted)))
    assert usage is not None
    assert ours["usage"]["prompt_tokens"] == usage.uncached_input == vendors["meta"]["billed_units"]["input_tokens"]


def test_there_are_recordings_of_each_kind() -> None:
    assert len(WHOLE) >= 5
    assert len(STREAMED) >= 3
    assert len(REFUSED) >= 2
    assert EMBEDDED
