"""Thoughts and their signatures over turns: what Gemini gave has to come back as it was.

https://ai.google.dev/gemini-api/docs/thought-signatures
"""

import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

FORMAT = "google-gemini-v1"
"""OpenRouter's name of Gemini's thoughts."""
_UNSIGNED: Final = "skip_thought_signature_validator"
"""What Google says to send with a call that another model made, or whose client lost the signature."""
_SINCE_3 = re.compile(r"gemini-(?!exp|[12]\b)")


def signature_of(given: dict[str, Any]) -> str:
    """In `extra_content.google.thought_signature`, as Google's own OpenAI endpoint has it; empty where it is not."""
    match given.get("extra_content"):
        case {"google": {"thought_signature": str(signature)}}:
            return signature
    return ""


def signed(signature: str) -> dict[str, Any]:
    """The field that carries it."""
    return {"extra_content": {"google": {"thought_signature": signature}}} if signature else {}


def thought_parts(details: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Thoughts that are signed; Gemini has no use for others."""
    for detail in details:
        if _ours(detail) and detail.get("type") == "reasoning.text" and detail.get("signature"):
            text, signature = str(detail.get("text") or ""), str(detail["signature"])
            yield {"text": text, "thought": True, "thoughtSignature": signature}


def signatures(details: Iterable[dict[str, Any]]) -> dict[str, str]:
    """By the id of the call that each is of, the empty one for the text's."""
    return {
        str(detail.get("id") or ""): str(detail["data"])
        for detail in details
        if _ours(detail) and detail.get("type") == "reasoning.encrypted" and detail.get("data")
    }


def _ours(detail: dict[str, Any]) -> bool:
    return str(detail.get("format") or FORMAT) == FORMAT


def with_signatures(contents: list[dict[str, Any]], model: str) -> None:
    """Signs the first call of each model's turn that has none, since Gemini 3 refuses it. Changes `contents`."""
    if not _SINCE_3.search(model):
        return
    for content in contents:
        if content["role"] == "model":
            call = next((part for part in content["parts"] if "functionCall" in part), None)
            if call is not None and not call.get("thoughtSignature"):
                call["thoughtSignature"] = _UNSIGNED


_BUDGETS = {"minimal": 1024, "low": 1024, "medium": 8192, "high": 24_576, "xhigh": 32_768, "max": 32_768}
"""Tokens of thought, by effort, as Google's OpenAI endpoint has them for Gemini 2.5."""
_LEVELS = {"none": "MINIMAL", "minimal": "MINIMAL", "low": "LOW", "medium": "MEDIUM", "high": "HIGH"}
_LEAST_OF_PRO = 128


def thinking(given: dict[str, Any], model: str) -> dict[str, Any] | None:
    """`thinkingConfig` for `reasoning_effort` or OpenRouter's `reasoning`; None where the client said nothing.

    Raises ValueError for an effort that nobody knows.
    """
    reasoning = given.get("reasoning")
    wanted: dict[str, Any] = reasoning if isinstance(reasoning, dict) else {}
    effort = wanted.get("effort") or given.get("reasoning_effort")
    budget = wanted.get("max_tokens")
    shown = {} if wanted.get("exclude") else {"includeThoughts": True}
    if isinstance(budget, int) and not isinstance(budget, bool):
        return {"thinkingBudget": budget, **shown}
    if effort is None:
        if wanted.get("enabled") is False:
            effort = "none"
        elif wanted.get("enabled"):
            return shown or None
        else:
            return None
    if not isinstance(effort, str) or (effort != "none" and effort not in _BUDGETS):
        raise ValueError(f"must be none, {', '.join(_BUDGETS)} (is {str(effort)[:32]!r})")
    if _SINCE_3.search(model):
        level = {"thinkingLevel": _LEVELS.get(effort, "HIGH")}
        return level if effort == "none" else {**level, **shown}
    if effort == "none":
        return {"thinkingBudget": _LEAST_OF_PRO if "pro" in model else 0}
    return {"thinkingBudget": _BUDGETS[effort], **shown}
