"""Streams of other protocols, put together by OpenAI's SDK: every entry of a list that grows says its place."""

import json
from typing import Any

import pytest
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletionChunk

from merit_crds.pricing import CostDetails, Usage
from merit_dataplane.wire.openai_anthropic.messages import conversation
from merit_dataplane.wire.openai_anthropic.stream import AnthropicStream
from merit_dataplane.wire.openai_bedrock.stream import BedrockStream
from merit_dataplane.wire.openai_cohere.stream import CohereStream
from merit_dataplane.wire.openai_gemini.stream import GeminiStream
from tests.support.chunks import events
from tests.support.event_stream import event


def free(_: Usage) -> CostDetails:
    return CostDetails(input=0, output=0, request=0)


def put_together(data: bytes) -> dict[str, Any]:
    state = ChatCompletionStreamState()
    for chunk in events(data):
        state.handle_chunk(ChatCompletionChunk.model_validate(chunk))
    message: dict[str, Any] = state.current_completion_snapshot.choices[0].message.to_dict(mode="json")
    return message


def sse(*given: dict[str, Any]) -> bytes:
    return b"".join(b"data: " + json.dumps(one).encode() + b"\n\n" for one in given)


def test_anthropics_citations_and_blocks_of_its_servers() -> None:
    page = {"type": "web_search_result_location", "url": "https://a.example/", "title": "A", "cited_text": "a"}
    given: list[dict[str, Any]] = [{"type": "message_start", "message": {"id": "m", "model": "c", "usage": {}}}]
    for place in (0, 2):
        block = {"type": "server_tool_use", "id": f"s{place}", "name": "web_search", "input": {}}
        given += [
            {"type": "content_block_start", "index": place, "content_block": block},
            {"type": "content_block_stop", "index": place},
            {"type": "content_block_start", "index": place + 1, "content_block": {"type": "text", "text": ""}},
            {"type": "content_block_delta", "index": place + 1, "delta": {"type": "text_delta", "text": "ab"}},
            {"type": "content_block_delta", "index": place + 1, "delta": {"type": "citations_delta", "citation": page}},
            {"type": "content_block_stop", "index": place + 1},
        ]
    stream = AnthropicStream(wants_usage=True, price=free, created=1)
    message = put_together(stream.feed(sse(*given)) + stream.finish())
    assert [c["start_index"] for c in message["citations"]] == [0, 2]
    assert len(message["annotations"]) == 2
    assert [block["id"] for block in message["provider_blocks"]] == ["s0", "s2"]
    # sent back, they are Anthropic's own again
    _, turns = conversation([{"role": "user", "content": "?"}, message])
    blocks = [block for block in turns[1]["content"] if block["type"] == "server_tool_use"]
    assert blocks == [{"type": "server_tool_use", "id": f"s{p}", "name": "web_search", "input": {}} for p in (0, 2)]


def test_bedrocks_citations() -> None:
    given = b""
    for place in (0, 1):
        citation = {"title": "t", "location": {"documentPage": {"documentIndex": place, "start": 1, "end": 2}}}
        for delta in ({"text": "ab"}, {"citation": citation}):
            body = json.dumps({"contentBlockIndex": place, "delta": delta}).encode()
            given += event("contentBlockDelta", body)
        given += event("contentBlockStop", json.dumps({"contentBlockIndex": place}).encode())
    stream = BedrockStream(wants_usage=True, price=free, identity="b", model="m", created=1)
    message = put_together(stream.feed(given) + stream.finish())
    assert [c["start_index"] for c in message["citations"]] == [0, 2]


def test_coheres_citations() -> None:
    source = {"type": "document", "id": "d", "document": {"url": "https://a.example/", "title": "A"}}
    given: list[dict[str, Any]] = [
        {"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": "abcd"}}}}
    ]
    for place in (0, 1):
        cited = {"start": place, "end": place + 1, "text": "a", "sources": [source], "type": "TEXT_CONTENT"}
        given.append({"type": "citation-start", "index": place, "delta": {"message": {"citations": cited}}})
    stream = CohereStream(wants_usage=True, price=free, model="m", created=1)
    message = put_together(stream.feed(sse(*given)) + stream.finish())
    assert [c["start"] for c in message["citations"]] == [0, 1]
    assert len(message["annotations"]) == 2


def test_geminis_code_and_pictures() -> None:
    def piece(*parts: dict[str, Any]) -> dict[str, Any]:
        return {"responseId": "g", "candidates": [{"index": 0, "content": {"parts": list(parts)}}]}

    picture = {"inlineData": {"mimeType": "image/png", "data": "AA=="}}
    given = [
        piece({"executableCode": {"code": "1"}}, picture),
        piece({"codeExecutionResult": {"output": "1"}}, picture),
    ]
    stream = GeminiStream(wants_usage=True, price=free, model="m", created=1)
    message = put_together(stream.feed(sse(*given)) + stream.finish())
    assert [next(iter(block)) for block in message["provider_blocks"]] == ["executableCode", "codeExecutionResult"]
    assert len(message["images"]) == 2


@pytest.mark.parametrize("citations", [[5, {}], "x", None, {}])
def test_what_is_no_citation_of_geminis_breaks_nothing(citations: Any) -> None:
    candidate = {"index": 0, "content": {"parts": [{"text": "a"}]}, "citationMetadata": {"citations": citations}}
    stream = GeminiStream(wants_usage=True, price=free, model="m", created=1)
    assert put_together(stream.feed(sse({"responseId": "g", "candidates": [candidate]})))["content"] == "a"
