"""A whole answer, and an error, of Anthropic's in OpenAI's format."""

from typing import Any

import msgspec

from merit_dataplane.wire.errors import error_body
from merit_dataplane.wire.openai_anthropic.usage import finish_reason, openai_usage, service_tier

_encode = msgspec.json.Encoder().encode


class _Block(msgspec.Struct):
    type: str
    text: str = ""
    citations: list[dict[str, Any]] | None = None
    thinking: str = ""
    signature: str = ""
    data: str = ""
    id: str = ""
    name: str = ""
    input: msgspec.Raw = msgspec.Raw(b"{}")


class _Message(msgspec.Struct):
    content: list[msgspec.Raw]
    id: str = ""
    model: str = ""
    stop_reason: str | None = None
    stop_sequence: str | None = None
    usage: dict[str, Any] | None = None


class AnthropicError(msgspec.Struct):
    """What went wrong, in Anthropic's words."""

    type: str = ""
    message: str = ""


class _ErrorBody(msgspec.Struct):
    error: AnthropicError


_message = msgspec.json.Decoder(_Message)
_block = msgspec.json.Decoder(_Block)
_error = msgspec.json.Decoder(_ErrorBody)
FORMAT = "anthropic-claude-v1"
"""OpenRouter's name of Anthropic's thoughts."""
PLAIN = frozenset({"text", "thinking", "redacted_thinking", "tool_use"})
"""Blocks with a counterpart; others are handed on as they are."""
_TOO_LONG = "prompt is too long"


def answer_body(body: bytes, created: int) -> bytes:
    """OpenAI's chat completion. `created`: epoch seconds. Raises ValueError when it is no message of Anthropic's."""
    try:
        given = _message.decode(body)
        blocks = [(_block.decode(raw), raw) for raw in given.content]
    except RecursionError:
        raise ValueError("the JSON is nested too deeply") from None
    choice = {
        "index": 0,
        "message": _spoken(blocks),
        "logprobs": None,
        "finish_reason": finish_reason(given.stop_reason),
        "native_finish_reason": given.stop_reason,
    }
    if given.stop_sequence:
        choice["stop_sequence"] = given.stop_sequence
    made: dict[str, Any] = {
        "id": given.id,
        "object": "chat.completion",
        "created": created,
        "model": given.model,
        "choices": [choice],
    }
    if given.usage is not None:
        made |= {"usage": openai_usage(given.usage), **service_tier(given.usage)}
    return _encode(made)


def _spoken(blocks: list[tuple[_Block, msgspec.Raw]]) -> dict[str, Any]:
    texts = [block for block, _ in blocks if block.type == "text"]
    calls = [block for block, _ in blocks if block.type == "tool_use"]
    content = "".join(block.text for block in texts)
    message: dict[str, Any] = {"role": "assistant", "content": content if texts else None, "refusal": None}
    details = [detail(block.type, block.thinking, block.signature, block.data) for block, _ in blocks]
    thoughts = [{**made, "index": i} for i, made in enumerate(filter(None, details))]
    if thoughts:
        message["reasoning_content"] = "".join(block.thinking for block, _ in blocks)
        message["reasoning_details"] = thoughts
    if calls:
        message["tool_calls"] = [
            {
                "id": block.id,
                "type": "function",
                "function": {"name": block.name, "arguments": bytes(block.input).decode()},
            }
            for block in calls
        ]
    start, cited = 0, []
    for block in texts:
        end = start + len(block.text)
        cited += [{**citation, "start_index": start, "end_index": end} for citation in block.citations or ()]
        start = end
    if cited:
        message |= cited_in(cited)
    others = [raw for block, raw in blocks if block.type not in PLAIN]
    if others:
        message["provider_blocks"] = others
    return message


def detail(kind: str, text: str, signature: str, data: str) -> dict[str, Any] | None:
    """OpenRouter's object of one thought; None for what is none."""
    if kind == "thinking":
        made = {"type": "reasoning.text", "text": text, "format": FORMAT}
        return made | {"signature": signature} if signature else made
    return {"type": "reasoning.encrypted", "data": data, "format": FORMAT} if kind == "redacted_thinking" else None


def cited_in(citations: list[dict[str, Any]]) -> dict[str, Any]:
    """Anthropic's citations, and those of web pages and of search results with a URL as OpenAI's annotations too."""
    made: dict[str, Any] = {"citations": citations}
    pages = [
        {
            "type": "url_citation",
            "url_citation": {
                "url": url,
                "title": c.get("title") or "",
                "start_index": c["start_index"],
                "end_index": c["end_index"],
            },
        }
        for c in citations
        if (url := _page(c))
    ]
    if pages:
        made["annotations"] = pages
    return made


def _page(citation: dict[str, Any]) -> str:
    kind = citation.get("type")
    url = citation.get("url") if kind == "web_search_result_location" else citation.get("source")
    known = kind in ("web_search_result_location", "search_result_location")
    return url if known and isinstance(url, str) and url.startswith(("https://", "http://")) else ""


def error_answer(body: bytes) -> bytes:
    """OpenAI's error body, with Anthropic's words; a body that is no error of Anthropic's stays as it is."""
    try:
        error = _error.decode(body).error
    except (ValueError, RecursionError):
        return body
    code = "context_length_exceeded" if _TOO_LONG in error.message else error.type or None
    return error_body(error.message, kind=error.type or "invalid_request_error", code=code)
