"""genai-prices' `data.json` (pydantic): USD per million tokens, prices that begin at a date or hold at some hours.

Format: github.com/pydantic/genai-prices, prices/data.schema.json. Of several prices of a model the last whose
constraint holds counts; a tier's price is for all tokens once the input is above its start.
"""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from merit_dataplane.price_lists.quote import (
    NO_CLASS,
    ContextTier,
    Listing,
    Period,
    Quote,
    Schedule,
    Tariff,
    UnreadableError,
    Unsaid,
    Window,
    mapping,
    number,
    tokens,
    told,
)

_CLASSES = {
    "input_mtok": "input",
    "output_mtok": "output",
    "cache_read_mtok": "cachedInput",
    "cache_write_mtok": "cacheWrite",
    "input_audio_mtok": "audioInput",
    "cache_audio_read_mtok": "cachedAudioInput",
    "output_audio_mtok": "audioOutput",
    "input_image_mtok": "imageInput",
    "output_image_mtok": "imageOutput",
    "requests_kcount": "request",
}
_PER_THOUSAND = Decimal(1000)


def read(document: Any) -> Listing:
    """Quotes of all its providers. Raises UnreadableError."""
    if not isinstance(document, list):
        raise UnreadableError("the document must be a list of providers: is this prices/data.json?")
    unsaid: list[Unsaid] = []
    quotes = []
    for i, given in enumerate(document):
        provider = mapping(given, f"[{i}]")
        name, models = provider.get("id"), provider.get("models")
        if not isinstance(name, str) or not isinstance(models, list):
            raise UnreadableError(f"[{i}] must have an id and models")
        quotes += [_quote(name, mapping(model, f"{name}.models[{m}]"), unsaid) for m, model in enumerate(models)]
    return Listing.of(quotes, unsaid)


def _quote(provider: str, model: Mapping[str, Any], unsaid: list[Unsaid]) -> Quote:
    name = str(model.get("id"))
    path = f"{provider}.{name}"
    given = model.get("prices")
    conditional = given if isinstance(given, list) else [{"prices": given}]
    usual, schedules, periods = Tariff({}), [], []
    for i, one in enumerate(conditional):
        at = f"{path}.prices[{i}]" if isinstance(given, list) else f"{path}.prices"
        tariff = _tariff(mapping(one.get("prices"), at), at, unsaid)
        constraint = one.get("constraint") or {}
        if not constraint:
            usual = tariff
        elif constraint.keys() == {"start_date"}:
            periods.append(Period(f"{constraint['start_date']}T00:00:00Z", tariff))
        elif constraint.keys() == {"start_time", "end_time"} and (hours := _window(constraint)):
            schedules.append(Schedule(f"hours-{i}", "UTC", (hours,), tariff))
        else:
            unsaid.append(Unsaid(f"{at}.constraint", told(constraint), "is neither a date nor hours in UTC"))
    return Quote(
        provider=provider.replace("_", "-"),  # it becomes the name of a resource
        model=name,
        path=path,
        tariff=usual,
        schedules=tuple(reversed(schedules)),  # with us the first that holds counts
        periods=tuple(periods),
        context_window=tokens(model.get("context_window")),
    )


def _window(constraint: Mapping[str, Any]) -> Window | None:
    start, end = (str(constraint[name]) for name in ("start_time", "end_time"))
    if not (start.endswith(":00Z") and end.endswith(":00Z")):
        return None
    return Window(start.removesuffix(":00Z"), end.removesuffix(":00Z"))


def _tariff(prices: Mapping[str, Any], path: str, unsaid: list[Unsaid]) -> Tariff:
    usual: dict[str, Decimal] = {}
    above: dict[int, dict[str, Decimal]] = {}
    for field, value in prices.items():
        name = _CLASSES.get(field)
        base = number(value.get("base")) if isinstance(value, Mapping) else number(value)
        if name is None or base is None:
            unsaid.append(Unsaid(f"{path}.{field}", told(value), NO_CLASS))
            continue
        usual[name] = base / _PER_THOUSAND if name == "request" else base
        for start, price in _tiers(value):
            above.setdefault(start, {})[name] = price
    return Tariff(usual, tuple(ContextTier(start, above[start]) for start in sorted(above)))


def _tiers(value: Any) -> Iterable[tuple[int, Decimal]]:
    for tier in value.get("tiers") or () if isinstance(value, Mapping) else ():
        price = number(tier.get("price"))
        if price is not None and tokens(tier.get("start")):
            yield tokens(tier["start"]), price
