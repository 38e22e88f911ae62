"""A response as a chat completion, which all stages but the last read, with the vendor's own beside it."""

from typing import Any

import msgspec

from merit_crds.pricing import Usage
from merit_dataplane.wire.openai_response import usage_of
from merit_dataplane.wire.passenger import beside

_encode = msgspec.json.Encoder().encode
_FINISH = {"max_output_tokens": "length", "content_filter": "content_filter"}
Part = dict[str, Any]


class Response(msgspec.Struct):
    """What is read of one."""

    object: str = ""
    id: str = ""
    model: str = ""
    status: str | None = None
    error: Any = None
    incomplete_details: Part | None = None
    output: list[Part] = []
    usage: Part | None = None
    service_tier: str | None = None


_response = msgspec.json.Decoder(Response)


def passed_answer(body: bytes, created: int) -> tuple[bytes, Usage | None]:
    """The response beside its translation. Raises ValueError when it is none, or one that failed."""
    try:
        given = _response.decode(body)
    except RecursionError:
        raise ValueError("the JSON is nested too deeply") from None
    if given.object != "response" or given.error:
        raise ValueError("no response, or one that failed")
    message: Part = {"role": "assistant", "content": None}
    for item in given.output:
        _add(item, message)
    choice = {"index": 0, "message": message, "finish_reason": finish_reason(given, calls="tool_calls" in message)}
    made: Part = {
        "id": given.id,
        "object": "chat.completion",
        "created": created,
        "model": given.model,
        "choices": [choice],
        **chat_usage(given),
    }
    translated = _encode(made)
    return beside(translated, body), usage_of(translated)


def _add(item: Part, message: Part) -> None:
    match item.get("type"):
        case "message":
            parts = [part for part in item.get("content") or () if isinstance(part, dict)]
            text = "".join(str(part.get("text") or "") for part in parts)
            message["content"] = (message["content"] or "") + text
            if refused := "".join(str(part.get("refusal") or "") for part in parts):
                message["refusal"] = refused
        case "function_call" | "custom_tool_call":
            called = {"name": item.get("name"), "arguments": item.get("arguments") or item.get("input") or ""}
            call = {"id": item.get("call_id"), "type": "function", "function": called}
            message.setdefault("tool_calls", []).append(call)
        case "reasoning":
            said = [p.get("text") for p in [*(item.get("content") or ()), *(item.get("summary") or ())]]
            message["reasoning_content"] = message.get("reasoning_content", "") + "".join(str(t or "") for t in said)
        case _:
            message.setdefault("provider_blocks", []).append(item)


def finish_reason(given: Response, *, calls: bool) -> str:
    """A chat's word for how it ended."""
    if given.status == "incomplete":
        return _FINISH.get(str((given.incomplete_details or {}).get("reason")), "length")
    return "tool_calls" if calls else "stop"


def chat_usage(given: Response) -> Part:
    """`usage` and `service_tier` of a chat; empty where none was reported."""
    usage = given.usage
    if usage is None:
        return {}
    details, written = usage.get("input_tokens_details") or {}, usage.get("output_tokens_details") or {}
    made: Part = {
        "prompt_tokens": usage.get("input_tokens"),
        "completion_tokens": usage.get("output_tokens"),
        "total_tokens": usage.get("total_tokens"),
        "prompt_tokens_details": {name: details[name] for name in details if name in _COUNTS},
        "completion_tokens_details": {"reasoning_tokens": written.get("reasoning_tokens")},
    }
    tier = {"service_tier": given.service_tier} if given.service_tier else {}
    return {"usage": made, **tier}


_COUNTS = ("cached_tokens", "cache_write_tokens", "audio_tokens", "image_tokens")
