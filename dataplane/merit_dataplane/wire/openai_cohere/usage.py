"""Usage and finish reasons in OpenAI's words.

Cohere counts twice: `tokens` went through the model, with Cohere's own instructions; `billed_units` are what it charges
for, without them. A client sees the first, and the second beside it; the accounts book the second.
"""

from typing import Any

from merit_crds.pricing import Usage

_FINISH = {
    "COMPLETE": "stop",
    "STOP_SEQUENCE": "stop",
    "USER_CANCEL": "stop",
    "MAX_TOKENS": "length",
    "ERROR_LIMIT": "length",
    "TOOL_CALL": "tool_calls",
    "ERROR_TOXIC": "content_filter",
}
FAILED = frozenset({"ERROR", "TIMEOUT"})
"""Reasons of an answer that is none."""


def finish_reason(reason: str | None) -> str:
    """OpenAI's finish_reason."""
    return _FINISH.get(reason or "", "stop")


def openai_usage(usage: dict[str, Any]) -> dict[str, Any]:
    """OpenAI's usage object of the tokens that the model read and wrote; those of pictures stand beside the text's."""
    tokens = _object(usage, "tokens") or _object(usage, "billed_units")
    image = _count(tokens, "image_tokens")
    prompt, output = _count(tokens, "input_tokens") + image, _count(tokens, "output_tokens")
    cached = min(prompt, _count(usage, "cached_tokens"))
    made: dict[str, Any] = {"prompt_tokens": prompt, "completion_tokens": output, "total_tokens": prompt + output}
    made["prompt_tokens_details"] = {"cached_tokens": cached}
    if image:
        made["prompt_tokens_details"]["image_tokens"] = image
    if "reasoning_tokens" in tokens:
        made["completion_tokens_details"] = {"reasoning_tokens": _count(tokens, "reasoning_tokens")}
    if "billed_units" in usage:
        made["billed_units"] = usage["billed_units"]
    return made


def booked(usage: dict[str, Any] | None) -> Usage | None:
    """What Cohere charges for; None where it reports nothing.

    How many of the billed tokens came out of its cache is not told, nor has it a price of its own for them.
    """
    counted = _object(usage or {}, "billed_units") or _object(usage or {}, "tokens")
    if not counted.keys() & {"input_tokens", "output_tokens", "image_tokens"}:
        return None
    return Usage(_count(counted, "input_tokens") + _count(counted, "image_tokens"), _count(counted, "output_tokens"))


def _object(usage: dict[str, Any], name: str) -> dict[str, Any]:
    value = usage.get(name)
    return value if isinstance(value, dict) else {}


def _count(usage: dict[str, Any], name: str) -> int:
    value = usage.get(name)
    return int(value) if isinstance(value, int | float) and 0 <= value < 2**53 else 0
