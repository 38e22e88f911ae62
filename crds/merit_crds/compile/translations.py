"""What is kept from one compile to the next, to save time."""

from collections.abc import Mapping

from merit_crds.compile.translate import Entry, translate
from merit_crds.pricing.merit_order import Prices, Ranked, by_price, price_index
from merit_crds.problems import Problem
from merit_crds.resources import Resource, ResourceId
from merit_crds.snapshot.model import RouteEntry, Snapshot

Translation = Entry | tuple[Problem, ...]


class Translations:
    """Remembers what was made of resources that have not changed since the last compile. Changes no result.

    Everything is known by identity: an unchanged resource is the same object, and so is its entry. 1,000 routes of 20
    candidates took 150 ms to rank; after one changed price only those that name its provider are ranked again.
    """

    def __init__(self) -> None:
        self._by_id: dict[ResourceId, tuple[Resource, Translation]] = {}
        self._prices: Prices = {}
        self._orders: dict[str, tuple[RouteEntry, tuple[Ranked, ...]]] = {}

    def of(self, resources: Mapping[ResourceId, Resource]) -> dict[ResourceId, Translation]:
        """The translation of each resource."""
        fresh = {}
        for resource_id, resource in resources.items():
            known = self._by_id.get(resource_id)
            fresh[resource_id] = known if known and known[0] is resource else (resource, translate(resource))
        self._by_id = fresh
        return {resource_id: result for resource_id, (_, result) in fresh.items()}

    def merit_orders(self, snapshot: Snapshot, at: float | None) -> tuple[dict[str, tuple[Ranked, ...]], float]:
        """Each route's merit order by price, by the route's key, and until when it holds."""
        prices, until = price_index(snapshot, at)
        repriced = _repriced(self._prices, prices)
        fresh = {}
        for key, route in snapshot.routes.items():
            known = self._orders.get(key)
            if known and known[0] is route and repriced.isdisjoint(_providers(route)):
                fresh[key] = known
            else:
                fresh[key] = (route, tuple(by_price(route, prices)))
        self._orders, self._prices = fresh, prices
        return {key: order for key, (_, order) in fresh.items()}, until


def _repriced(old: Prices, new: Prices) -> set[str]:
    """Keys of the providers any of whose models has another tariff than before."""
    changed = {provider for (provider, model), tariff in new.items() if old.get((provider, model)) is not tariff}
    return changed | {provider for provider, model in old if (provider, model) not in new}


def _providers(route: RouteEntry) -> set[str]:
    return {candidate.provider for tier in route.tiers for candidate in tier.candidates}
