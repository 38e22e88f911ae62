"""models.dev's `api.json`: USD per million tokens, by provider and model.

Format: github.com/sst/models.dev, README ("cost", "limit", "modalities").
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from merit_dataplane.price_lists.quote import (
    ContextTier,
    Listing,
    Quote,
    Tariff,
    Unsaid,
    mapping,
    prices_of,
    tokens,
    told,
)

_CLASSES = {
    "input": "input",
    "output": "output",
    "cache_read": "cachedInput",
    "cache_write": "cacheWrite",
    "reasoning": "reasoning",
    "input_audio": "audioInput",
    "output_audio": "audioOutput",
}
_OVER_200K = "context_over_200k"
_NOT_PRICES = {"tiers", "tier", "context", _OVER_200K}


def read(document: Any) -> Listing:
    """Quotes of all its providers. Raises UnreadableError."""
    unsaid: list[Unsaid] = []
    quotes = []
    for name, given in mapping(document, "the document").items():
        models = mapping(mapping(given, name).get("models"), f"{name}.models")
        for key, model in models.items():
            quotes.append(_quote(name, key, mapping(model, f"{name}.models.{key}"), unsaid))
    return Listing.of(quotes, unsaid)


def _quote(provider: str, key: str, model: Mapping[str, Any], unsaid: list[Unsaid]) -> Quote:
    path = f"{provider}.{key}"
    cost = model.get("cost")
    cost = cost if isinstance(cost, Mapping) else {}
    tiers = _tiers(cost, path, unsaid)
    limit = model.get("limit")
    limit = limit if isinstance(limit, Mapping) else {}
    return Quote(
        provider=provider.replace("_", "-"),  # it becomes the name of a resource
        model=key,
        path=path,
        tariff=Tariff(_prices(cost, f"{path}.cost", unsaid), tuple(sorted(tiers, key=lambda tier: tier.above))),
        capabilities=_capabilities(model),
        context_window=tokens(limit.get("context")),
        max_output_tokens=tokens(limit.get("output")),
    )


def _prices(cost: Mapping[str, Any], path: str, unsaid: list[Unsaid]) -> dict[str, Decimal]:
    fields = {name: value for name, value in cost.items() if name not in _NOT_PRICES}
    return prices_of(fields, _CLASSES, path, unsaid, tokens_per_price=1_000_000)


def _tiers(cost: Mapping[str, Any], path: str, unsaid: list[Unsaid]) -> list[ContextTier]:
    """Those of `tiers`; where it has none, the older field that knows one threshold alone."""
    made = []
    given = cost.get("tiers")
    for i, tier in enumerate(given if isinstance(given, list) else ()):
        at = f"{path}.cost.tiers[{i}]"
        if size := _size(mapping(tier, at)):
            made.append(ContextTier(size, _prices(tier, at, unsaid)))
        else:
            unsaid.append(Unsaid(at, told(tier), "has another condition than the size of the context"))
    older = cost.get(_OVER_200K)
    if not made and isinstance(older, Mapping):
        made.append(ContextTier(200_000, _prices(older, f"{path}.cost.{_OVER_200K}", unsaid)))
    return made


def _size(tier: Mapping[str, Any]) -> int:
    """Input tokens above which a tier holds; 0 where it says something else. For a while they were in `context.min`."""
    threshold, older = tier.get("tier"), tier.get("context")
    if isinstance(threshold, Mapping) and threshold.get("type", "context") == "context":
        return tokens(threshold.get("size"))
    return tokens(older.get("min")) if threshold is None and isinstance(older, Mapping) else 0


def _capabilities(model: Mapping[str, Any]) -> frozenset[str]:
    found = {"Streaming"}
    if model.get("tool_call") is True:
        found.add("Tools")
    if model.get("structured_output") is True:
        found.add("JsonSchema")
    modalities = model.get("modalities")
    inputs = modalities.get("input") if isinstance(modalities, Mapping) else None
    for name, capability in (("image", "Images"), ("audio", "Audio")):
        if isinstance(inputs, list) and name in inputs:
            found.add(capability)
    return frozenset(found)
