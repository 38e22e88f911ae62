"""The model list in Anthropic's shape: https://docs.anthropic.com/en/api/models-list."""

from typing import Any

_UNKNOWN = "1970-01-01T00:00:00Z"
"""A route's name has no date of release; Anthropic's docs name the epoch for that."""


def model_info(listed: dict[str, Any]) -> dict[str, Any]:
    """One model; `listed` is in OpenRouter's shape, and its further fields stay."""
    top = listed.get("top_provider") or {}
    more = {name: value for name, value in listed.items() if name not in ("object", "created")}
    return more | {
        "type": "model",
        "id": listed["id"],
        "display_name": listed["name"],
        "created_at": _UNKNOWN,
        "lifecycle": "active",
        "max_input_tokens": listed.get("context_length"),
        "max_tokens": top.get("max_completion_tokens"),
    }


def models_page(listed: list[dict[str, Any]]) -> dict[str, Any]:
    """All of them, on one page."""
    names = [model["id"] for model in listed]
    return {
        "data": [model_info(model) for model in listed],
        "has_more": False,
        "first_id": names[0] if names else None,
        "last_id": names[-1] if names else None,
    }
