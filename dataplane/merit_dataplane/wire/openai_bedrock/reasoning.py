"""How much a model thinks: `reasoning_effort`, or OpenRouter's `reasoning`, as each family behind Bedrock wants it."""

from typing import Any

from merit_dataplane.wire.openai_anthropic.fields import an_object, invalid
from merit_dataplane.wire.openai_bedrock.families import is_claude, is_gpt_oss, is_nova, thinks_adaptively
from merit_dataplane.wire.openai_bedrock.tools import forced

_ASSUMED_MAX_TOKENS = 8192
_LEAST_THINKING = 1024
_MOST_THINKING = 32_000
_SHARE_OF_THINKING = {"minimal": 0.1, "low": 0.2, "medium": 0.5, "high": 0.8, "xhigh": 0.95, "max": 0.95}
"""Of the output, by effort: OpenRouter's shares (openrouter.ai/docs/use-cases/reasoning-tokens)."""
_OF_THREE = {"minimal": "low", "low": "low", "medium": "medium", "high": "high", "xhigh": "high", "max": "high"}
_OWN = ("thinking", "reasoning_config", "reasoningConfig", "reasoning_effort")


def reasoning(given: dict[str, Any], model: str, max_output_tokens: int, body: dict[str, Any]) -> None:
    """Writes the model's own fields. Raises RequestError (400).

    `max_output_tokens`: the price list's, 0 where it has none.
    """
    fields = dict(body.get("additionalModelRequestFields", {}))
    if not any(name in fields for name in _OWN):
        effort, tokens = _wished(given)
        if effort or tokens:
            _think(model, effort, tokens, _limit(body, max_output_tokens), fields, body)
    _settle(fields, body)
    if fields:
        body["additionalModelRequestFields"] = fields


def _wished(given: dict[str, Any]) -> tuple[str, int]:
    """Effort and budget; neither where the client wants no thinking, or says nothing."""
    wanted = given.get("reasoning")
    wanted = an_object(wanted, "reasoning") if wanted is not None else {}
    if wanted.get("max_tokens"):
        if not isinstance(wanted["max_tokens"], int):
            raise invalid("reasoning.max_tokens", "must be a whole number")
        return "", int(wanted["max_tokens"])
    effort = wanted.get("effort") or given.get("reasoning_effort")
    if effort is None:
        return ("medium" if wanted.get("enabled") else ""), 0
    if effort == "none":
        return "", 0
    if not isinstance(effort, str) or effort not in _SHARE_OF_THINKING:
        names = ", ".join(_SHARE_OF_THINKING)
        raise invalid("reasoning_effort", f"must be none, {names} (is {str(effort)[:32]!r})")
    return effort, 0


def _limit(body: dict[str, Any], max_output_tokens: int) -> int:
    given = body.get("inferenceConfig", {}).get("maxTokens")
    return int(given or max_output_tokens or _ASSUMED_MAX_TOKENS)


def _think(  # noqa: PLR0917 # what was wished, and what is written
    model: str, effort: str, tokens: int, limit: int, fields: dict[str, Any], body: dict[str, Any]
) -> None:
    if thinks_adaptively(model):
        fields["thinking"] = {"type": "adaptive"}
        if effort:
            said = "low" if effort == "minimal" else effort
            body.setdefault("outputConfig", {}).setdefault("effort", said)
    elif is_claude(model):
        budget = max(_LEAST_THINKING, tokens or min(_MOST_THINKING, int(limit * _SHARE_OF_THINKING[effort])))
        if budget < limit:  # room beside the answer
            fields["thinking"] = {"type": "enabled", "budget_tokens": budget}
            body.setdefault("inferenceConfig", {}).setdefault("maxTokens", limit)
    elif is_nova(model):
        named = _OF_THREE[effort or "medium"]
        if named == "high" and "maxTokens" in body.get("inferenceConfig", {}):
            named = "medium"  # Nova refuses a limit beside `high`, and a limit is money
        fields["reasoningConfig"] = {"type": "enabled", "maxReasoningEffort": named}
    elif is_gpt_oss(model):
        fields["reasoning_effort"] = _OF_THREE[effort or "medium"]


def _settle(fields: dict[str, Any], body: dict[str, Any]) -> None:
    """What the vendors refuse together: of two, the one that the client can do without goes."""
    thinking = fields.get("thinking") or fields.get("reasoning_config")
    if isinstance(thinking, dict) and thinking.get("type") in ("enabled", "adaptive"):
        if forced(body):  # a forced call leaves no room to think
            fields.pop("thinking", None)
            fields.pop("reasoning_config", None)
            return
        body.get("inferenceConfig", {}).pop("temperature", None)  # fixed while it thinks
        fields.pop("top_k", None)
    own = fields.get("reasoningConfig")
    if isinstance(own, dict) and own.get("maxReasoningEffort") == "high":
        # https://docs.aws.amazon.com/nova/latest/nova2-userguide/extended-thinking.html
        for name in ("temperature", "topP"):
            body.get("inferenceConfig", {}).pop(name, None)
        fields.pop("inferenceConfig", None)
