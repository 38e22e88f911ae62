"""The merit order by price alone: what a status shows, before any live measurement."""

from collections.abc import Mapping
from typing import NamedTuple

from merit_crds.pricing.context_tiers import price_details
from merit_crds.pricing.cost import Usage
from merit_crds.snapshot.model import ModelPrice, RouteEntry, Snapshot

Prices = Mapping[tuple[str, str], ModelPrice]
"""By key of a provider and model."""


class Ranked(NamedTuple):
    """One candidate and what a request costs there."""

    tier: str
    provider: str
    model: str
    cost: int
    """Pico-dollars per request."""


def price_index(snapshot: Snapshot) -> Prices:
    """Every price of a snapshot. Thousands: made once for many routes."""
    return {(p.provider, model): price for p in snapshot.pricings.values() for model, price in p.models.items()}


def by_price(snapshot: Snapshot, route: RouteEntry, prices: Prices | None = None) -> list[Ranked]:
    """Each tier's candidates at the route's typical request, cheapest first; those below the accuracy floor last."""
    usage = Usage(uncached_input=route.typical_input_tokens, output=route.typical_output_tokens)
    prices = price_index(snapshot) if prices is None else prices
    order = []
    for tier in route.tiers:
        ranked = [
            (
                c.accuracy < tier.accuracy,
                Ranked(tier.name, c.provider, c.model, price_details(prices[c.provider, c.model], usage).total),
            )
            for c in tier.candidates
        ]
        ranked.sort(key=lambda pair: (pair[0], pair[1].cost, pair[1].provider, pair[1].model))
        order += [r for _, r in ranked]
    return order
