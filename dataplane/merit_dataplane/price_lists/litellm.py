"""LiteLLM's `model_prices_and_context_window.json`: USD per token as JSON numbers, flat, a key per model.

Names of fields: github.com/BerriAI/litellm, `model_prices_and_context_window.json` and its `sample_spec`.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from merit_dataplane.price_lists.quote import (
    MILLION,
    ContextTier,
    Listing,
    Prices,
    Quote,
    Schedule,
    Tariff,
    Unsaid,
    Window,
    mapping,
    number,
    tokens,
    told,
)

_CLASSES = {
    "input_cost_per_token": "input",
    "output_cost_per_token": "output",
    "cache_read_input_token_cost": "cachedInput",
    "cache_creation_input_token_cost": "cacheWrite",
    "cache_creation_input_token_cost_above_1hr": "cacheWrite1h",
    "output_cost_per_reasoning_token": "reasoning",
    "input_cost_per_image_token": "imageInput",
    "output_cost_per_image_token": "imageOutput",
    "input_cost_per_audio_token": "audioInput",
    "cache_read_input_audio_token_cost": "cachedAudioInput",
    "output_cost_per_audio_token": "audioOutput",
    "input_cost_per_request": "request",
}
_SAME_AS = {
    "input_cost_per_token_cache_hit": "cachedInput",
    "cache_read_input_token_cost_per_audio_token": "cachedAudioInput",
}
"""Older names: they count where the newer one is absent."""
_SERVICE_TIERS = {"_batches": "batch", "_batch_requests": "batch", "_flex": "flex", "_priority": "priority"}
_ABOVE = re.compile(r"_above_([0-9]+)k_tokens$")
_PRICE = re.compile(r"(?<!_source)(cost|price|pricing|multiplier|uplift)")
"""What names a price, whatever the unit."""
_PROVIDERS = {
    "bedrock_converse": "bedrock",
    "cohere_chat": "cohere",
    "text-completion-openai": "openai",
    "azure_text": "azure",
    "text-completion-codestral": "codestral",
}
_PREFIXES = {
    "vertex-ai": "vertex_ai/",
    "cohere": "cohere/",
    "fireworks-ai": "fireworks_ai/",
    "together-ai": "together_ai/",
}
_CAPABILITIES = {
    "supports_function_calling": "Tools",
    "supports_parallel_function_calling": "ParallelTools",
    "supports_response_schema": "JsonSchema",
    "supports_vision": "Images",
    "supports_audio_input": "Audio",
    "supports_assistant_prefill": "AssistantPrefix",
}
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_STREAMING_MODES = {"chat", "completion", "responses"}


def read(document: Any) -> Listing:
    """Quotes of all providers of the file. Raises UnreadableError."""
    models = mapping(document, "the document")
    quotes: list[Quote] = []
    unsaid: list[Unsaid] = []
    for key, value in models.items():
        if key != "sample_spec":
            quotes += _model(key, mapping(value, key), unsaid)
    return Listing.of(quotes, unsaid)


def _model(key: str, fields: Mapping[str, Any], unsaid: list[Unsaid]) -> Iterator[Quote]:
    listed = str(fields.get("litellm_provider") or "")
    if not listed:
        unsaid.append(Unsaid(key, told(fields.get("mode")), "names no litellm_provider: whose price it is is unknown"))
        return
    prices = _Fields(key, fields, unsaid)
    provider = provider_name(listed)
    yield Quote(
        provider=provider,
        model=_bare(key, listed, provider),
        path=key,
        tariff=prices.tariff(""),
        service_tiers={name: prices.tariff(name) for name in sorted(prices.service_tiers)},
        schedules=prices.schedules(),
        capabilities=_capabilities(fields),
        context_window=tokens(fields.get("max_input_tokens")) or tokens(fields.get("max_tokens")),
        max_output_tokens=tokens(fields.get("max_output_tokens")),
    )


def provider_name(listed: str) -> str:
    """LiteLLM's provider, of which one vendor may have several, as the name of a Provider."""
    name = _PROVIDERS.get(listed, listed)
    if name.startswith("vertex_ai"):
        name = "vertex_ai"
    return re.sub(r"[^a-z0-9-]+", "-", name.removesuffix("-embedding-models").lower()).strip("-")


def _bare(key: str, listed: str, provider: str) -> str:
    """The vendor's own name of the model: without LiteLLM's prefix of the provider."""
    for prefix in (f"{listed}/", _PREFIXES.get(provider, ""), f"{provider}/"):
        if prefix and key.startswith(prefix):
            return key.removeprefix(prefix)
    return key


def _capabilities(fields: Mapping[str, Any]) -> frozenset[str] | None:
    """None for an entry that doesn't even say what kind of model it is."""
    if "mode" not in fields:
        return None
    made = {capability for name, capability in _CAPABILITIES.items() if fields.get(name) is True}
    if fields.get("mode") == "embedding":
        made.add("Embeddings")
    elif fields.get("mode") in _STREAMING_MODES and fields.get("supports_native_streaming") is not False:
        made.add("Streaming")
    if "JsonSchema" in made:
        made.add("JsonObject")
    return frozenset(made)


class _Fields:
    """Prices of one entry, sorted by service tier and context tier; what has no place goes to `unsaid`."""

    def __init__(self, key: str, fields: Mapping[str, Any], unsaid: list[Unsaid]):
        self._key, self._unsaid = key, unsaid
        self._prices: dict[tuple[str, int], dict[str, Any]] = {}
        self._off_peak: Mapping[str, Any] = {}
        for name, value in sorted(fields.items()):  # a newer name comes before the older that begins with it
            if _PRICE.search(name):
                self._take(name, value)
        self.service_tiers = {tier for tier, _ in self._prices if tier}

    def tariff(self, service_tier: str) -> Tariff:
        tiers = sorted(above for tier, above in self._prices if tier == service_tier and above)
        return Tariff(
            self._prices.get((service_tier, 0), {}),
            tuple(ContextTier(above, self._prices[service_tier, above]) for above in tiers),
        )

    def schedules(self) -> tuple[Schedule, ...]:
        """`off_peak_pricing`: hours in UTC, days by the clock of `weekday_timezone`, UTC if absent."""
        found = self._off_peak
        if not found:
            return ()
        windows = _windows(found.get("windows"))
        zone = found.get("weekday_timezone", "UTC")
        if windows is None or (zone != "UTC" and _days_matter(windows)):
            self._list(
                "off_peak_pricing", found, "hours in UTC with weekdays of another zone, or of a shape that is unknown"
            )
            return ()
        prices = {**self._prices.get(("", 0), {}), **self._classes(found, "off_peak_pricing")}
        return (Schedule("off-peak", "UTC", windows, Tariff(prices)),)

    def _take(self, name: str, value: Any) -> None:
        if name == "off_peak_pricing" and isinstance(value, Mapping):
            self._off_peak = value
        elif name == "tiered_pricing" and isinstance(value, list):
            self._tiered(value)
        elif not self._price(name, value) and not _is_nothing(value):
            self._list(name, value, "is no price per token of a class that ProviderPricing has")

    def _price(self, name: str, value: Any) -> bool:
        """Puts a price per token to its tier; False when the name says none."""
        service_tier, stem = "", name
        for suffix, tier in _SERVICE_TIERS.items():
            if stem.endswith(suffix):
                service_tier, stem = tier, stem.removesuffix(suffix)
        above = 0
        if found := _ABOVE.search(stem):
            above, stem = int(found[1]) * 1000, stem[: found.start()]
        price, name_of_class = number(value), _CLASSES.get(stem) or _SAME_AS.get(stem)
        if name_of_class is None or price is None:
            return False
        prices = self._prices.setdefault((service_tier, above), {})
        if stem in _CLASSES or name_of_class not in prices:
            prices[name_of_class] = price if name_of_class == "request" else price * MILLION
        return True

    def _classes(self, fields: Mapping[str, Any], path: str) -> Prices:
        made: dict[str, Any] = {}
        for name, value in fields.items():
            price = number(value)
            if name in _CLASSES and price is not None:
                made[_CLASSES[name]] = price * MILLION
            elif _PRICE.search(name):
                self._list(f"{path}.{name}", value, "is no price per token of a class that ProviderPricing has")
        return made

    def _tiered(self, tiers: list[Any]) -> None:
        """`range` is what a tier spans, in input tokens; the first starts at 0."""
        for i, tier in enumerate(tiers):
            bounds = tier.get("range") if isinstance(tier, Mapping) else None
            start = number(bounds[0]) if isinstance(bounds, list) and bounds else None
            if start is None:
                self._list(f"tiered_pricing[{i}]", tier, "has no range in tokens")
            else:
                prices = self._classes({k: v for k, v in tier.items() if k != "range"}, f"tiered_pricing[{i}]")
                self._prices.setdefault(("", int(start)), {}).update(prices)

    def _list(self, path: str, value: Any, reason: str) -> None:
        self._unsaid.append(Unsaid(f"{self._key}.{path}", told(value), reason))


def _is_nothing(value: Any) -> bool:
    """A null says nothing; so does a 0 of a unit that isn't sold."""
    return value is None or number(value) == 0


def _windows(listed: Any) -> tuple[Window, ...] | None:
    made = []
    for window in listed if isinstance(listed, list) else [None]:
        hours = window.get("hours_utc") if isinstance(window, Mapping) else None
        days = window.get("weekdays", []) if isinstance(window, Mapping) else None
        if not isinstance(days, list) or any(number(day) not in range(1, 8) for day in days):
            return None
        for span in [hours] if isinstance(hours, str) else hours if isinstance(hours, list) else [""]:
            found = re.fullmatch(r"([0-2][0-9]:[0-5][0-9])-([0-2][0-9]:[0-5][0-9])", str(span))
            if not found:
                return None
            end = "24:00" if found[2] == "00:00" else found[2]
            made.append(Window(found[1], end, tuple(_DAYS[int(day) - 1] for day in days)))
    return tuple(made)


def _days_matter(windows: tuple[Window, ...]) -> bool:
    return any(window.days and len(window.days) < 7 for window in windows)
