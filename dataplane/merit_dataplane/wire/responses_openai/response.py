"""The response object around its output: what was asked, how it ended, what it took."""

from typing import Any

import msgspec

from merit_crds.pricing import Usage
from merit_dataplane.wire.openai_request import Call

_decode = msgspec.json.Decoder().decode
_ECHOED: dict[str, Any] = {
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "prompt_cache_key": None,
    "reasoning": {"effort": None, "summary": None},
    "safety_identifier": None,
    "service_tier": "default",
    "temperature": 1.0,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_logprobs": 0,
    "top_p": 1.0,
    "truncation": "disabled",
    "user": None,
}
"""Fields of the request that a response repeats, and what they are where the client left them out."""
_INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}
Response = dict[str, Any]


def asked(call: Call | None) -> Response:
    """What a response repeats of its request."""
    native = call.native if call is not None else None
    fields = native.fields if native is not None else {}
    given = {name: _decode(fields[name]) for name in _ECHOED if name in fields}
    return {name: default if given.get(name) is None else given[name] for name, default in _ECHOED.items()}


def customs(call: Call | None) -> frozenset[str]:
    """Names of the custom tools."""
    native = call.native if call is not None else None
    tools = _decode(native.fields["tools"]) if native is not None and "tools" in native.fields else None
    return frozenset(str(tool.get("name")) for tool in tools or () if tool.get("type") == "custom")


def response(identity: str, model: str, created: int, echoed: Response) -> Response:
    """One that is in progress."""
    return {
        "id": identity,
        "object": "response",
        "created_at": created,
        "status": "in_progress",
        "background": False,
        "error": None,
        "incomplete_details": None,
        "model": model,
        "output": [],
        "previous_response_id": None,
        "store": False,
        "usage": None,
        **echoed,
    }


def ended(finish_reason: str | None) -> Response:
    """Its status."""
    reason = _INCOMPLETE.get(finish_reason or "")
    if reason is None:
        return {"status": "completed"}
    return {"status": "incomplete", "incomplete_details": {"reason": reason}}


def response_usage(usage: Usage | None) -> Response | None:
    """The usage object; None where the vendor reported nothing."""
    if usage is None:
        return None
    reasoning = usage.special.reasoning if usage.special is not None else 0
    return {
        "input_tokens": usage.input,
        "input_tokens_details": {"cached_tokens": usage.all_cached, "cache_write_tokens": usage.all_written},
        "output_tokens": usage.all_output,
        "output_tokens_details": {"reasoning_tokens": reasoning},
        "total_tokens": usage.input + usage.all_output,
    }
