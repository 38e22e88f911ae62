"""Portkey's `pricing/PROVIDER.json`: CENTS per token, a key per model, `default` for those that are not listed.

Names of fields: github.com/Portkey-AI/models, README.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from merit_dataplane.price_lists.quote import MILLION, NO_CLASS, Listing, Quote, Tariff, Unsaid, mapping, number, told

_CENTS = Decimal(100)
_CLASSES = {
    "request_token": "input",
    "response_token": "output",
    "cache_read_input_token": "cachedInput",
    "cache_write_input_token": "cacheWrite",
    "cache_write_1h": "cacheWrite1h",
    "reasoning_token": "reasoning",
    "request_image_token": "imageInput",
    "response_image_token": "imageOutput",
    "request_audio_token": "audioInput",
    "cache_read_audio_input_token": "cachedAudioInput",
    "response_audio_token": "audioOutput",
}


def read(document: Any, provider: str) -> Listing:
    """Quotes of the provider that the file is of; the file itself doesn't name it. Raises UnreadableError."""
    unsaid: list[Unsaid] = []
    quotes = []
    for name, entry in mapping(document, "the document").items():
        if name == "default":
            unsaid.append(
                Unsaid(name, told(entry), "a price for every model that is not listed: unknown prices are errors")
            )
            continue
        config = mapping(entry, name).get("pricing_config")
        if isinstance(config, Mapping):
            quotes.append(_quote(provider, name, config, unsaid))
        else:
            unsaid.append(Unsaid(name, told(entry), "has no pricing_config"))
    return Listing.of(quotes, unsaid)


def _quote(provider: str, name: str, config: Mapping[str, Any], unsaid: list[Unsaid]) -> Quote:
    prices: dict[str, Decimal] = {}
    batch: dict[str, Decimal] = {}
    for section, fields in config.items():
        path = f"{name}.pricing_config.{section}"
        if section in ("pay_as_you_go", "batch_config"):
            _take(mapping(fields, path), path, batch if section == "batch_config" else prices, unsaid)
        elif section == "currency" and fields != "USD":
            unsaid.append(Unsaid(path, told(fields), "is not USD: the model's prices are left out"))
            prices = {}
        elif section not in ("currency", "calculate"):
            unsaid.append(Unsaid(path, told(fields), NO_CLASS))
    return Quote(
        provider=provider,
        model=name,
        path=name,
        tariff=Tariff(prices),
        service_tiers={"batch": Tariff(batch)} if batch else {},
    )


def _take(fields: Mapping[str, Any], path: str, prices: dict[str, Decimal], unsaid: list[Unsaid]) -> None:
    for field, value in fields.items():
        if field == "additional_units":
            _take(mapping(value, path), f"{path}.{field}", prices, unsaid)
            continue
        price = number(value.get("price")) if isinstance(value, Mapping) else None
        if field in _CLASSES and price is not None:
            prices.setdefault(_CLASSES[field], price / _CENTS * MILLION)
        elif price != 0:
            unsaid.append(Unsaid(f"{path}.{field}", told(value), NO_CLASS))
