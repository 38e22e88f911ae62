"""A whole answer, and an error, of Cohere's in OpenAI's format."""

import re
from typing import Any

import msgspec

from merit_crds.pricing import Usage
from merit_dataplane.wire.errors import error_body
from merit_dataplane.wire.openai_cohere.usage import FAILED, booked, finish_reason, openai_usage

_encode = msgspec.json.Encoder().encode
FORMAT = "cohere-v2"
"""Of thoughts."""
_TOO_LONG = re.compile(r"(?i)too many tokens|token limit|context length")
_UNKNOWN_MODEL = re.compile(r"(?i)^model '.*' (not found|was removed)")
_KINDS = {
    400: ("invalid_request_error", None),
    401: ("invalid_request_error", "invalid_api_key"),
    402: ("insufficient_quota", "insufficient_quota"),
    403: ("invalid_request_error", "access_denied"),
    404: ("invalid_request_error", "model_not_found"),
    422: ("invalid_request_error", None),
    429: ("requests", "rate_limit_exceeded"),
    498: ("invalid_request_error", "invalid_api_key"),
    504: ("server_error", "timeout"),
}
"""OpenAI's type and code by Cohere's status (https://docs.cohere.com/reference/errors)."""


class _Content(msgspec.Struct):
    type: str = ""
    text: str = ""
    thinking: str = ""


class _Function(msgspec.Struct):
    name: str = ""
    arguments: str = ""


class _ToolCall(msgspec.Struct):
    id: str = ""
    function: _Function = msgspec.field(default_factory=_Function)


class _Message(msgspec.Struct):
    content: list[_Content] | None = None
    tool_calls: list[_ToolCall] | None = None
    tool_plan: str | None = None
    citations: list[dict[str, Any]] | None = None


class _Answer(msgspec.Struct):
    message: _Message
    id: str = ""
    finish_reason: str | None = None
    usage: dict[str, Any] | None = None
    logprobs: list[dict[str, Any]] | None = None


class _Error(msgspec.Struct):
    message: str
    error_type: str | None = None


_answer = msgspec.json.Decoder(_Answer)
_error = msgspec.json.Decoder(_Error)


def answer_body(body: bytes, *, model: str, created: int) -> tuple[bytes, Usage | None]:
    """OpenAI's chat completion, and what Cohere charges for.

    Cohere doesn't say the `model`. `created`: epoch seconds. Raises ValueError when it is no answer of Cohere's.
    """
    try:
        given = _answer.decode(body)
    except RecursionError:
        raise ValueError("the JSON is nested too deeply") from None
    if given.finish_reason in FAILED:
        raise ValueError(f"Cohere ended with {given.finish_reason}")
    choice = {
        "index": 0,
        "message": _spoken(given.message),
        "logprobs": logprobs(given.logprobs),
        "finish_reason": finish_reason(given.finish_reason),
        "native_finish_reason": given.finish_reason,
    }
    made: dict[str, Any] = {
        "id": given.id,
        "object": "chat.completion",
        "created": created,
        "model": model,
        "choices": [choice],
    }
    if given.usage is not None:
        made["usage"] = openai_usage(given.usage)
    return _encode(made), booked(given.usage)


def _spoken(said: _Message) -> dict[str, Any]:
    blocks = said.content or []
    texts = [block.text for block in blocks if block.type == "text"]
    message: dict[str, Any] = {"role": "assistant", "content": "".join(texts) if texts else None, "refusal": None}
    thoughts = [said.tool_plan] if said.tool_plan else []
    thoughts += [block.thinking for block in blocks if block.type == "thinking" and block.thinking]
    if thoughts:
        message["reasoning_content"] = "".join(thoughts)
        message["reasoning_details"] = [thought(text, place) for place, text in enumerate(thoughts)]
    if said.tool_calls:
        message["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.function.name, "arguments": call.function.arguments or "{}"},
            }
            for call in said.tool_calls
        ]
    starts, end = {}, 0
    for place, block in enumerate(blocks):
        starts[place] = end
        end += len(block.text)
    for citation in said.citations or ():
        for name, found in cited_in(citation, starts).items():
            message.setdefault(name, []).extend(found)
    return message


def thought(text: str, index: int) -> dict[str, Any]:
    """OpenRouter's object of one thought, or of a piece of one."""
    return {"type": "reasoning.text", "text": text, "format": FORMAT, "index": index}


def cited_in(citation: dict[str, Any], starts: dict[int, int]) -> dict[str, list[dict[str, Any]]]:
    """Cohere's citation with its place in `content`; one of a page as OpenAI's annotations too.

    `starts`: where each block of the answer begins in `content`. A citation of a thought or a plan has no place there.
    """
    begin, end = citation.get("start"), citation.get("end")
    placed = citation
    if citation.get("type") in (None, "TEXT_CONTENT") and isinstance(begin, int) and isinstance(end, int):
        block = citation.get("content_index") or 0
        offset = starts.get(block, 0) if isinstance(block, int) else 0
        placed = {**citation, "start_index": offset + begin, "end_index": offset + end}
    made: dict[str, list[dict[str, Any]]] = {"citations": [placed]}
    sources = citation.get("sources")
    pages = [page for source in sources if (page := _page(source))] if isinstance(sources, list) else []
    if pages and "start_index" in placed:
        place = {"start_index": placed["start_index"], "end_index": placed["end_index"]}
        made["annotations"] = [{"type": "url_citation", "url_citation": {**page, **place}} for page in pages]
    return made


def _page(source: Any) -> dict[str, str] | None:
    if not isinstance(source, dict):
        return None
    shown = source.get("document") or source.get("tool_output")
    if not isinstance(shown, dict):
        return None
    url = shown.get("url")
    if not isinstance(url, str) or not url.startswith(("https://", "http://")):
        return None
    return {"url": url, "title": str(shown.get("title") or "")}


def logprobs(items: list[dict[str, Any]] | None) -> dict[str, Any] | None:
    """OpenAI's logprobs. Cohere tells them for pieces of text, each of one token or more: a piece's is their sum."""
    if items is None:
        return None
    return {"content": [piece for item in items if (piece := _piece(item))], "refusal": None}


def _piece(item: dict[str, Any]) -> dict[str, Any] | None:
    found = item.get("logprobs")
    if not isinstance(found, list) or not all(isinstance(value, int | float) for value in found):
        return None
    text = str(item.get("text") or "")
    made = {"token": text, "bytes": list(text.encode()), "logprob": sum(found), "top_logprobs": []}
    return made | {"token_ids": item["token_ids"]} if item.get("token_ids") else made


def error_answer(body: bytes, status: int) -> tuple[int, bytes]:
    """Status and OpenAI's error body, with Cohere's words; a body that is no error of Cohere's stays as it is."""
    try:
        error = _error.decode(body)
    except (ValueError, RecursionError):
        return status, body
    kind, code = _KINDS.get(status, ("invalid_request_error" if status < 500 else "server_error", None))
    if status == 400 and (error.error_type == "TOO_MANY_TOKENS" or _TOO_LONG.search(error.message)):
        code = "context_length_exceeded"
    elif status == 400 and _UNKNOWN_MODEL.match(error.message):
        status, code = 404, "model_not_found"
    return status, error_body(error.message, kind=kind, code=code or error.error_type)
