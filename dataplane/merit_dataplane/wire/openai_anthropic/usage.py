"""Usage and stop reasons in OpenAI's words."""

from typing import Any

_FINISH = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}


def finish_reason(stop_reason: str | None) -> str:
    """OpenAI's finish_reason."""
    return _FINISH.get(stop_reason or "", "stop")


def service_tier(usage: dict[str, Any]) -> dict[str, str]:
    """The field of an answer that says which service tier served it; empty where Anthropic didn't say."""
    served = usage.get("service_tier")
    return {"service_tier": "default" if served == "standard" else served} if isinstance(served, str) else {}


def openai_usage(usage: dict[str, Any]) -> dict[str, Any]:
    """OpenAI's usage object.

    Anthropic's `input_tokens` are those that were neither read from the cache nor written to it; `prompt_tokens` are
    all three. What Anthropic did not report is left out.
    """
    plain, output = _count(usage, "input_tokens"), _count(usage, "output_tokens")
    cached, written = _count(usage, "cache_read_input_tokens"), _count(usage, "cache_creation_input_tokens")
    prompt = plain + cached + written
    made: dict[str, Any] = {
        "prompt_tokens": prompt,
        "completion_tokens": output,
        "total_tokens": prompt + output,
        "prompt_tokens_details": {"cached_tokens": cached, "cache_write_tokens": written},
    }
    by_time = usage.get("cache_creation")
    if isinstance(by_time, dict) and written:
        made["prompt_tokens_details"]["cache_creation_token_details"] = by_time
    details = usage.get("output_tokens_details")
    if isinstance(details, dict):
        thought = details.get("thinking_tokens")
        made["completion_tokens_details"] = {"reasoning_tokens": thought if isinstance(thought, int) else 0}
    if usage.get("server_tool_use"):
        made["server_tool_use"] = usage["server_tool_use"]
    return made


def _count(usage: dict[str, Any], name: str) -> int:
    value = usage.get(name)
    return value if isinstance(value, int) else 0
