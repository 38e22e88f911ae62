"""Usage and stop reasons in OpenAI's words."""

from typing import Any

_FINISH = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "guardrail_intervened": "content_filter",
    "content_filtered": "content_filter",
}
_KEPT = ("metrics", "trace", "performanceConfig", "additionalModelResponseFields")


def finish_reason(stop_reason: str, *, called: bool) -> str:
    """OpenAI's finish_reason. `called`: whether the client's tools were, and not only the one that carries a schema."""
    finish = _FINISH.get(stop_reason, "stop")
    return "stop" if finish == "tool_calls" and not called else finish


def openai_usage(usage: dict[str, Any]) -> dict[str, Any]:
    """OpenAI's usage object.

    Bedrock's `inputTokens` are those that were neither read from the cache nor written to it; `prompt_tokens` are all
    three.
    """
    plain, output = _count(usage, "inputTokens"), _count(usage, "outputTokens")
    cached, written = _count(usage, "cacheReadInputTokens"), _count(usage, "cacheWriteInputTokens")
    prompt = plain + cached + written
    made: dict[str, Any] = {
        "prompt_tokens": prompt,
        "completion_tokens": output,
        "total_tokens": prompt + output,
        "prompt_tokens_details": {"cached_tokens": cached, "cache_write_tokens": written},
    }
    by_time = usage.get("cacheDetails")
    if written and isinstance(by_time, list):
        made["prompt_tokens_details"]["cache_creation_token_details"] = {
            f"ephemeral_{detail['ttl']}_input_tokens": _count(detail, "inputTokens")
            for detail in by_time
            if isinstance(detail, dict) and detail.get("ttl") in ("5m", "1h")
        }
    if usage.get("serverToolUsage"):
        made["server_tool_use"] = usage["serverToolUsage"]
    return made


def beside(given: dict[str, Any]) -> dict[str, Any]:
    """Fields of an answer, or of a stream's last event, for what Bedrock says of how it was served."""
    made: dict[str, Any] = {}
    kept = {name: given[name] for name in _KEPT if given.get(name)}
    if kept:
        made["provider_metadata"] = kept
    tier = given.get("serviceTier")
    if isinstance(tier, dict) and isinstance(tier.get("type"), str):
        made["service_tier"] = tier["type"]
    return made


def stop_sequence(fields: Any) -> str:
    """The sequence that ended an answer, where it was asked for (`additionalModelResponseFieldPaths`)."""
    found = fields.get("stop_sequence") if isinstance(fields, dict) else None
    return found if isinstance(found, str) else ""


def _count(usage: dict[str, Any], name: str) -> int:
    value = usage.get(name)
    return value if isinstance(value, int) else 0
