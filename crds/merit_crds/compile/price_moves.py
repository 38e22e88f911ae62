"""List prices that move too far at once: the commonest accident is a slip by the unit, cents for dollars or per token
for per million tokens. Such a list is held back until an annotation says that it is meant."""

from collections.abc import Iterator, Mapping

from merit_crds.compile.prices import FIELDS
from merit_crds.compile.translate import Entry
from merit_crds.conditions import Reason
from merit_crds.pricing import usd
from merit_crds.problems import Problem
from merit_crds.resources import Resource, ResourceId
from merit_crds.snapshot.model import Charge, ModelPrice, PricingEntry, Rates

ACCEPT_MOVES = "merit.dev/accept-price-moves"
"""Annotation of a ProviderPricing: models whose moves are meant, with commas between them, or `*`."""
DEFAULT_FACTOR = 10
_RATES = {"input": 10**6, "output": 10**6, "cached_input": 10**6, "cache_write": 10**6, "request": 1}


def held_back(
    resources: Mapping[ResourceId, Resource],
    translated: Mapping[ResourceId, Entry | tuple[Problem, ...]],
    old: Mapping[ResourceId, Entry],
) -> dict[ResourceId, list[tuple[Reason, str]]]:
    """Price lists that must not take the place of their old form, and why."""
    held = {}
    for resource_id, entry in old.items():
        new = translated.get(resource_id)
        if not isinstance(new, PricingEntry) or not isinstance(entry, PricingEntry) or new.models == entry.models:
            continue
        resource = resources[resource_id]
        meant = {name.strip() for name in resource.annotations.get(ACCEPT_MOVES, "").split(",")}
        factor = resource.spec.get("maxPriceMoveFactor") or DEFAULT_FACTOR
        words = [
            f"spec.models: {move}, by more than a factor of {factor}: correct it, or if it is meant annotate the "
            f"resource with {ACCEPT_MOVES}: {model}"
            for model, price in new.models.items()
            if model in entry.models and "*" not in meant and model not in meant
            for move in _moves(model, entry.models[model], price, factor)
        ]
        if words:
            held[resource_id] = [(Reason.PRICE_MOVED, text) for text in words]
    return held


def _moves(model: str, old: ModelPrice, new: ModelPrice, factor: int) -> Iterator[str]:
    """Moves of the usual prices, of service tiers that there were, and of periods that are new."""
    named = {tier.name: tier for tier in old.service_tiers}
    pairs: list[tuple[str, Charge, Charge]] = [("", old, new)]
    pairs += [(f" in service tier {t.name}", named[t.name], t) for t in new.service_tiers if t.name in named]
    pairs += [(" in a period", old, period) for period in new.periods if period not in old.periods]
    for where, before, after in pairs:
        for name, unit in _RATES.items():
            prices = (getattr(before.rates, name), getattr(after.rates, name))
            if max(prices) > min(prices) * factor and _named(name, before.rates, after.rates):
                was, becomes = (usd(price * unit) for price in prices)
                yield f"{FIELDS.get(name, name)} of {model!r}{where} goes from {was} to {becomes} USD"


def _named(name: str, before: Rates, after: Rates) -> bool:
    """Whether both lists name a price, as far as rates can tell: what is named for the first time has not moved."""
    if name == "request":
        return bool(before.request and after.request)
    return name in ("input", "output") or all(getattr(rates, name) != rates.input for rates in (before, after))
