"""Of two resources that claim the same thing, the older wins; then the first by name. As in the Gateway API."""

from collections.abc import Iterable, Mapping

from merit_crds.compile.translate import Entry
from merit_crds.conditions import Reason
from merit_crds.resources import Resource, ResourceId
from merit_crds.snapshot.model import PricingEntry, RouteEntry


def find(resources: Iterable[Resource], entries: Mapping[ResourceId, Entry]) -> dict[ResourceId, tuple[Reason, str]]:
    """The younger of each pair in conflict, with the reason and words for its user. `resources`: oldest first."""
    taken: dict[tuple[str, ...], ResourceId] = {}
    lost: dict[ResourceId, tuple[Reason, str]] = {}
    for resource in resources:
        entry = entries.get(resource.id)
        claims: list[tuple[str, ...]] = []
        if isinstance(entry, RouteEntry):
            claims = [("model", resource.id.namespace, model) for model in entry.models]
        elif isinstance(entry, PricingEntry):
            claims = [("price", entry.provider, model) for model in entry.models]
        clash = next((claim for claim in claims if claim in taken), None)
        if clash is None:
            taken |= dict.fromkeys(claims, resource.id)
        else:
            lost[resource.id] = _words(clash, taken[clash])
    return lost


def _words(clash: tuple[str, ...], winner: ResourceId) -> tuple[Reason, str]:
    if clash[0] == "model":
        return (
            Reason.NAME_CONFLICT,
            f"spec.models: {clash[2]!r} is served by the older {winner}: rename it here or remove it there",
        )
    return (
        Reason.PRICE_CONFLICT,
        f"spec.models: {clash[2]!r} of provider {clash[1]} is priced by the older {winner}: remove one of the two",
    )
