"""OpenRouter's `GET /api/v1/models`: USD per token as strings, the vendor in the model's name.

Names of fields: openrouter.ai/docs, "models" and its `pricing` object with `overrides`.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from merit_dataplane.price_lists.quote import (
    ContextTier,
    Listing,
    Quote,
    Tariff,
    UnreadableError,
    Unsaid,
    mapping,
    number,
    prices_of,
    tokens,
    told,
)

_CLASSES = {
    "prompt": "input",
    "completion": "output",
    "input_cache_read": "cachedInput",
    "input_cache_write": "cacheWrite",
    "input_cache_write_1h": "cacheWrite1h",
    "internal_reasoning": "reasoning",
    "image_output": "imageOutput",
    "image": "imageInput",
    "audio": "audioInput",
    "input_audio_cache": "cachedAudioInput",
    "audio_output": "audioOutput",
    "request": "request",
}
_PARAMETERS = {
    "tools": "Tools",
    "parallel_tool_calls": "ParallelTools",
    "response_format": "JsonObject",
    "structured_outputs": "JsonSchema",
    "logprobs": "Logprobs",
}
_INPUTS = {"image": "Images", "audio": "Audio"}


def read(document: Any) -> Listing:
    """Quotes of the one provider that the file is of: openrouter. Raises UnreadableError."""
    models = mapping(document, "the document").get("data")
    if not isinstance(models, list):
        raise UnreadableError("data must be a list: is this the answer of GET /api/v1/models?")
    unsaid: list[Unsaid] = []
    quotes = [q for i, model in enumerate(models) if (q := _model(mapping(model, f"data[{i}]"), i, unsaid))]
    return Listing.of(quotes, unsaid)


def _model(model: Mapping[str, Any], place: int, unsaid: list[Unsaid]) -> Quote | None:
    name = model.get("id")
    if not isinstance(name, str):
        raise UnreadableError(f"data[{place}].id must be a string")
    pricing = dict(mapping(model.get("pricing"), f"{name}.pricing"))
    if any((number(pricing.get(part)) or 0) < 0 for part in ("prompt", "completion")):
        unsaid.append(Unsaid(f"{name}.pricing", told(pricing), "is negative: it depends on where OpenRouter sends it"))
        return None
    tiers = []
    for i, override in enumerate(pricing.pop("overrides", None) or ()):
        above = tokens(override.get("min_prompt_tokens"))
        rest = {k: v for k, v in override.items() if k != "min_prompt_tokens"}
        if above:
            tiers.append(ContextTier(above, _prices(rest, f"{name}.pricing.overrides[{i}]", unsaid)))
        else:
            unsaid.append(
                Unsaid(f"{name}.pricing.overrides[{i}]", told(override), "has another condition than min_prompt_tokens")
            )
    architecture = model.get("architecture") or {}
    parameters = model.get("supported_parameters") or ()
    capabilities = {_PARAMETERS[p] for p in parameters if p in _PARAMETERS}
    capabilities |= {_INPUTS[i] for i in architecture.get("input_modalities") or () if i in _INPUTS}
    top = model.get("top_provider") or {}
    return Quote(
        provider="openrouter",
        model=name,
        path=name,
        tariff=Tariff(_prices(pricing, f"{name}.pricing", unsaid), tuple(sorted(tiers, key=lambda t: t.above))),
        capabilities=frozenset(capabilities | {"Streaming"}),
        context_window=tokens(model.get("context_length")),
        max_output_tokens=tokens(top.get("max_completion_tokens")),
    )


def _prices(pricing: Mapping[str, Any], path: str, unsaid: list[Unsaid]) -> dict[str, Decimal]:
    return prices_of(pricing, _CLASSES, path, unsaid, tokens_per_price=1)
