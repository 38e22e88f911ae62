"""The merit order by price alone: what a status shows, before any live measurement."""

from collections.abc import Mapping
from math import inf
from typing import NamedTuple

from merit_crds.pricing.ceiling import too_dear
from merit_crds.pricing.context_tiers import price_details
from merit_crds.pricing.cost import Usage
from merit_crds.pricing.in_force import in_force
from merit_crds.snapshot.model import RouteEntry, Snapshot, Tariff

Prices = Mapping[tuple[str, str], Tariff]
"""By key of a provider and model."""


class Ranked(NamedTuple):
    """One candidate and what a request costs there."""

    tier: str
    provider: str
    model: str
    cost: int
    """Pico-dollars per request."""


def price_index(snapshot: Snapshot, at: float | None = None) -> tuple[Prices, float]:
    """Every tariff that holds at an epoch second, and until when; those that hold at no special time when None.

    Thousands: made once for many routes.
    """
    prices: dict[tuple[str, str], Tariff] = {}
    until = inf
    for pricing in snapshot.pricings.values():
        for model, price in pricing.models.items():
            if at is None or not (price.periods or price.schedules):
                prices[pricing.provider, model] = price
            else:
                prices[pricing.provider, model], ends = in_force(price, at)
                until = min(until, ends)
    return prices, until


def by_price(route: RouteEntry, prices: Prices) -> list[Ranked]:
    """Each tier's candidates at the route's typical request, cheapest first.

    Those below the accuracy floor or above the route's maxPrice are last.
    """
    usage = Usage(uncached_input=route.typical_input_tokens, output=route.typical_output_tokens)
    order = []
    for tier in route.tiers:
        ranked = [
            (
                c.accuracy < tier.accuracy or _above(route, prices[c.provider, c.model]),
                Ranked(tier.name, c.provider, c.model, price_details(prices[c.provider, c.model], usage).total),
            )
            for c in tier.candidates
        ]
        ranked.sort(key=lambda pair: (pair[0], pair[1].cost, pair[1].provider, pair[1].model))
        order += [r for _, r in ranked]
    return order


def _above(route: RouteEntry, tariff: Tariff) -> bool:
    return route.max_price is not None and too_dear(tariff, route.max_price, route.typical_input_tokens) is not None
