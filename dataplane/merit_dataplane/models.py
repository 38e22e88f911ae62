"""`GET /v1/models`: the names that a consumer may ask for, with prices in the shape of OpenRouter's model list.

A name has several candidates and one price: that of the candidate which is first, by price, in the last tier (the one
that takes what no other does) for the route's typical request, at this moment.
"""

from collections.abc import Sequence
from typing import Any

from merit_crds.pricing import DailyWindow, Usage, price_details, special_rates, too_dear, usd
from merit_crds.snapshot import Rates, RouteEntry, Tariff
from merit_dataplane.snapshots.tables import RoutePlan, Tables, Target
from merit_dataplane.wire.features import Feature

_MODALITIES = {"image": Feature.IMAGES, "audio": Feature.AUDIO}
_PARAMETERS = {
    "tools": Feature.TOOLS,
    "tool_choice": Feature.TOOLS,
    "parallel_tool_calls": Feature.PARALLEL_TOOLS,
    "response_format": Feature.JSON_OBJECT | Feature.JSON_SCHEMA,
    "structured_outputs": Feature.JSON_SCHEMA,
    "logprobs": Feature.LOGPROBS,
}
Listed = dict[str, Any]


def listed_model(tables: Tables, route: RoutePlan, name: str, wall: float) -> Listed:
    """One of them. `wall`: the epoch second at which prices hold."""
    known: Listed = {"id": name, "object": "model", "created": 0, "owned_by": f"merit:{route.name}", "name": name}
    first = _first(route, tables.snapshot.routes[route.key], wall)
    if first is None:  # none of the tier's candidates is usable now
        return known
    windows = [target.context_window for tier in route.tiers for target in tier.targets]
    features = first.features
    return known | {
        "context_length": max(windows) or None,
        "architecture": {
            "input_modalities": ["text", *(word for word, bit in _MODALITIES.items() if features & bit)],
            "output_modalities": ["text"],
        },
        "supported_parameters": ["max_tokens", *(word for word, bits in _PARAMETERS.items() if features & bits)],
        "pricing": pricing(first.price.at(wall), first.price.windows(wall)),
        "top_provider": {
            "context_length": first.context_window or None,
            "max_completion_tokens": first.max_output_tokens or None,
            "is_moderated": False,
        },
    }


def _first(route: RoutePlan, entry: RouteEntry, wall: float) -> Target | None:
    tier = route.tiers[-1]
    usage = Usage(uncached_input=entry.typical_input_tokens, output=entry.typical_output_tokens)

    def place(target: Target) -> tuple[bool, int, tuple[str, ...]]:
        tariff = target.price.at(wall)
        last = target.accuracy.counts < tier.accuracy
        if tier.ceilings is not None:
            last = last or too_dear(tariff, tier.ceilings, usage.input) is not None
        return last, price_details(tariff, usage).total, target.labels

    return min(tier.targets, key=place, default=None)


def pricing(tariff: Tariff, windows: Sequence[DailyWindow] = ()) -> Listed:
    """OpenRouter's object: decimal strings in USD per token, `request` per call; `windows` are of other tariffs."""
    # an override names all that another one may have named: the last that applies counts, for each name
    special = any(_has_special(charged) for charged in (tariff, *(window.tariff for window in windows)))
    request = usd(tariff.rates.request)
    overrides = _of_lengths(tariff, {}, special=special)
    for window in windows:
        hours = {"utc_start": _clock(window.start), "utc_end": _clock(window.end)}
        per_call = usd(window.tariff.rates.request)
        rates = _per_token(window.tariff.rates, special=special) | (
            {"request": per_call} if per_call != request else {}
        )
        overrides += [{**hours, **rates}, *_of_lengths(window.tariff, hours, special=special)]
    prices: Listed = {**_per_token(tariff.rates, special=special), "request": request}
    return prices | {"overrides": overrides} if overrides else prices


def _of_lengths(tariff: Tariff, hours: Listed, *, special: bool) -> list[Listed]:
    made = []
    for tier in tariff.context_tiers:
        rates = _per_token(tier.rates, special=special)
        if tier.excess:  # which OpenRouter has no word for: the prices of the tokens above it alone
            rates = {name: rate for name, rate in rates.items() if name not in _OF_OUTPUT} | {"applies": "excess"}
        made.append({**hours, "min_prompt_tokens": tier.above, **rates})
    return made


def _has_special(tariff: Tariff) -> bool:
    return any(rates.special is not None for rates in (tariff.rates, *(tier.rates for tier in tariff.context_tiers)))


def _clock(second: int) -> int:
    """Hours and minutes as one number: 1630 is 16:30."""
    return second // 3600 * 100 + second % 3600 // 60


_OF_OUTPUT = frozenset({"completion", "internal_reasoning", "audio_output"})


def _per_token(rates: Rates, *, special: bool) -> Listed:
    prices = {
        "prompt": usd(rates.input),
        "completion": usd(rates.output),
        "input_cache_read": usd(rates.cached_input),
        "input_cache_write": usd(rates.cache_write),
    }
    if special:
        dear = special_rates(rates)
        prices |= {
            "input_cache_write_1h": usd(dear.cache_write_1h),
            "internal_reasoning": usd(dear.reasoning),
            "image_token": usd(dear.image_input),
            "audio": usd(dear.audio_input),
            "input_audio_cache": usd(dear.cached_audio_input),
            "audio_output": usd(dear.audio_output),
        }
    return prices
