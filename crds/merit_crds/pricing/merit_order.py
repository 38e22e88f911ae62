"""The merit order by price alone: what a status shows, before any live measurement."""

from typing import NamedTuple

from merit_crds.pricing.cost import Usage, cost
from merit_crds.snapshot.model import RouteEntry, Snapshot


class Ranked(NamedTuple):
    """One candidate and what a request costs there."""

    tier: str
    provider: str
    model: str
    cost: int
    """Pico-dollars per request."""


def by_price(snapshot: Snapshot, route: RouteEntry) -> list[Ranked]:
    """Each tier's candidates at the route's typical request, cheapest first; those below the accuracy floor last."""
    usage = Usage(uncached_input=route.typical_input_tokens, output=route.typical_output_tokens)
    prices = {(p.provider, model): price for p in snapshot.pricings.values() for model, price in p.models.items()}
    order = []
    for tier in route.tiers:
        ranked = [
            (
                c.accuracy < tier.accuracy,
                Ranked(tier.name, c.provider, c.model, cost(prices[c.provider, c.model].rates, usage)),
            )
            for c in tier.candidates
        ]
        ranked.sort(key=lambda pair: (pair[0], pair[1].cost, pair[1].provider, pair[1].model))
        order += [r for _, r in ranked]
    return order
