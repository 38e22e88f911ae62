"""Usage and finish reasons in OpenAI's words."""

from typing import Any

_FINISH = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "CONTINUATION": "length",
    "SAFETY": "content_filter",
    "RECITATION": "content_filter",
    "BLOCKLIST": "content_filter",
    "PROHIBITED_CONTENT": "content_filter",
    "SPII": "content_filter",
    "LANGUAGE": "content_filter",
    "MODEL_ARMOR": "content_filter",
    "JAILBREAK": "content_filter",
    "IMAGE_SAFETY": "content_filter",
    "IMAGE_PROHIBITED_CONTENT": "content_filter",
    "IMAGE_RECITATION": "content_filter",
}
_NUMBERED = ("FINISH_REASON_UNSPECIFIED", "STOP", "MAX_TOKENS", "SAFETY", "RECITATION", "OTHER", "BLOCKLIST",
             "PROHIBITED_CONTENT", "SPII", "MALFORMED_FUNCTION_CALL")  # fmt: skip
"""Of the protocol buffer: an endpoint may be asked for numbers."""
_MODALITIES = ("MODALITY_UNSPECIFIED", "TEXT", "IMAGE", "VIDEO", "AUDIO", "DOCUMENT")
_TIERS = {
    "standard": "default",
    "flex": "flex",
    "priority": "priority",
    "ON_DEMAND": "default",
    "ON_DEMAND_FLEX": "flex",
    "ON_DEMAND_PRIORITY": "priority",
}


def named(reason: str | int | None) -> str | None:
    """Gemini's name of a finish reason."""
    if isinstance(reason, int):
        return _NUMBERED[reason] if 0 <= reason < len(_NUMBERED) else "OTHER"
    return reason


def finish_reason(reason: str | None, *, called: bool) -> str:
    """OpenAI's finish_reason. `called`: whether functions are called, which Gemini calls a stop."""
    made = _FINISH.get(reason or "", "stop")
    return "tool_calls" if called and made == "stop" else made


def service_tier(usage: dict[str, Any]) -> dict[str, str]:
    """The field of an answer that says which service tier served it; empty where Google didn't say."""
    for field in ("serviceTier", "trafficType"):
        said = usage.get(field)
        if isinstance(said, str) and said in _TIERS:
            return {"service_tier": _TIERS[said]}
    return {}


def openai_usage(usage: dict[str, Any]) -> dict[str, Any]:
    """OpenAI's usage object.

    Gemini's prompt includes what was cached; what tools brought in is input beside it, thoughts are output beside the
    candidates'. Of what is told by kind of medium, sounds and pictures are told apart.
    """
    tools, thoughts = _count(usage, "toolUsePromptTokenCount"), _count(usage, "thoughtsTokenCount")
    prompt = _count(usage, "promptTokenCount") + tools
    output = (_count(usage, "candidatesTokenCount") or _count(usage, "responseTokenCount")) + thoughts
    made: dict[str, Any] = {
        "prompt_tokens": prompt,
        "completion_tokens": output,
        "total_tokens": prompt + output,
        "prompt_tokens_details": {"cached_tokens": _count(usage, "cachedContentTokenCount")},
        "completion_tokens_details": {"reasoning_tokens": thoughts},
    }
    of_input, of_output = made["prompt_tokens_details"], made["completion_tokens_details"]
    media = _media(usage, "promptTokensDetails"), _media(usage, "toolUsePromptTokensDetails")
    for kind in ("audio", "image"):
        if heard := sum(part.get(kind, 0) for part in media):
            of_input[f"{kind}_tokens"] = heard
        if made_of := _media(usage, "candidatesTokensDetails").get(kind):
            of_output[f"{kind}_tokens"] = made_of
    if cached := _media(usage, "cacheTokensDetails").get("audio"):
        of_input["cached_tokens_details"] = {"audio_tokens": cached}
    if tools:
        of_input["tool_use_tokens"] = tools
    return made


def _media(usage: dict[str, Any], field: str) -> dict[str, int]:
    """Tokens by medium, in lower case."""
    found: dict[str, int] = {}
    given = usage.get(field)
    for part in given if isinstance(given, list) else ():
        if isinstance(part, dict):
            kind = part.get("modality")
            if isinstance(kind, int):
                kind = _MODALITIES[kind] if 0 <= kind < len(_MODALITIES) else ""
            found[str(kind).lower()] = found.get(str(kind).lower(), 0) + _count(part, "tokenCount")
    return found


def _count(usage: dict[str, Any], name: str) -> int:
    value = usage.get(name)
    return value if isinstance(value, int) and value > 0 else 0
