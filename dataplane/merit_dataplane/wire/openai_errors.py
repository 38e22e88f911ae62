"""What a vendor's error says, in OpenAI's format or its own words."""

import re
from typing import Any

import msgspec

from merit_dataplane.wire.errors import error_body

_TOO_LONG_CODES = (b"context_length_exceeded", b"context_window_exceeded", b"too_many_prompt_tokens")
_TOO_LONG_WORDS = re.compile(
    rb"(?i)maximum context length|context (length|window)[^.]{0,60}(exceed|too long|larger|limit)"
    rb"|exceeds? (the )?[^.]{0,60}context (length|window)|exceeded max context|(prompt|input) (is )?too long"
    rb"|input token(s| count)[^.]{0,80}exceed|too many (input )?tokens"
)
"""Of Anthropic, Bedrock, Cohere, Gemini, Groq, Mistral, vLLM and others, in recorded answers."""
_STATUSES = frozenset({400, 413, 422})


_MOST_WORDS = 1000


class _Error(msgspec.Struct):
    message: str = ""


class _Event(msgspec.Struct):
    error: _Error | str


_event = msgspec.json.Decoder(_Event)
_object = msgspec.json.Decoder(dict[str, Any])
_OF_ANSWERS = ("id", "object", "choices", "output", "data", "results")
"""An answer that has one of them is none that is only an error."""
_MOST_TOLD = 2000
"""Bytes."""


def error_message(event: bytes) -> str:
    """The words of an error event, cut to what a line holds; empty where there are none."""
    try:
        error = _event.decode(event.strip().removeprefix(b"data:")).error
    except (ValueError, RecursionError):
        return ""
    return (error if isinstance(error, str) else error.message)[:_MOST_WORDS]


def status_within(body: bytes) -> int | None:
    """The status that an error sent with 200 should have had; None for anything else.

    Azure answers so where its filter has caught the prompt, OpenRouter where a provider behind it failed. Without a
    status in it, it is 502: another candidate may do better.
    """
    try:
        said = _object.decode(body)
    except (ValueError, RecursionError):
        return None
    error = said.get("error")
    if not isinstance(error, dict) or any(name in said for name in _OF_ANSWERS):
        return None
    for named in (error.get("status"), error.get("code")):
        if isinstance(named, int) and 400 <= named < 600:
            return named
    return 400 if error.get("code") == "content_filter" else 502


def shaped(status: int, body: bytes) -> bytes:
    """The body of an error as it is, or one in OpenAI's shape with the words of a body that is no JSON object."""
    try:
        _object.decode(body)
    except (ValueError, RecursionError):
        words = body[:_MOST_TOLD].decode(errors="replace").strip() or f"The provider answered {status}."
        return error_body(words, kind="invalid_request_error")
    return body


def context_is_too_long(status: int, body: bytes) -> bool:
    """Whether the request was refused because the model has no room for it: a larger one may have."""
    return status in _STATUSES and (
        any(code in body for code in _TOO_LONG_CODES) or _TOO_LONG_WORDS.search(body[:4096]) is not None
    )
