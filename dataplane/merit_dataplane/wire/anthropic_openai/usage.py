"""Usage and stop reasons in Anthropic's words."""

from typing import Any

from merit_crds.pricing import Usage

_STOP = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "content_filter": "refusal",
}
_ANTHROPICS = frozenset({
    "end_turn", "max_tokens", "stop_sequence", "tool_use", "pause_turn", "refusal", "model_context_window_exceeded",
})  # fmt: skip
_TIERS = {"default": "standard", "standard": "standard", "priority": "priority", "batch": "batch"}


def stop_reason(finish_reason: Any, native: Any, *, calls: bool) -> str:
    """Anthropic's stop_reason. `native` is the vendor's own word; some say `stop` where a tool is called (`calls`)."""
    if native in _ANTHROPICS:
        return str(native)
    reason = _STOP.get(finish_reason, "end_turn")
    return "tool_use" if calls and reason == "end_turn" else reason


def message_usage(usage: Usage | None) -> dict[str, Any]:
    """Anthropic's usage object; empty where the vendor reported nothing."""
    if usage is None:
        return {}
    cached, written = usage.all_cached, usage.all_written
    made: dict[str, Any] = {
        "input_tokens": usage.input - cached - written,
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": cached,
        "output_tokens": usage.all_output,
    }
    if written:
        hour = usage.special.cache_write_1h if usage.special is not None else 0
        made["cache_creation"] = {"ephemeral_5m_input_tokens": written - hour, "ephemeral_1h_input_tokens": hour}
    if usage.special is not None and usage.special.reasoning:
        made["output_tokens_details"] = {"thinking_tokens": usage.special.reasoning}
    if usage.service_tier in _TIERS:
        made["service_tier"] = _TIERS[usage.service_tier]
    return made
