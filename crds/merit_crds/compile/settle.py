"""Which form of each resource is in force. Of two that claim the same, the older wins; then the first by name.

One pass, oldest first: a resource takes its current form, else its last good one, else none; the first whose claims are
all free. So a younger resource can never take what an older one serves, be the older one broken or not.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from merit_crds.compile.translate import Entry
from merit_crds.conditions import Reason
from merit_crds.problems import Problem
from merit_crds.resources import ResourceId
from merit_crds.snapshot.model import PricingEntry, RouteEntry

Claim = tuple[str, str, str]


class Force(StrEnum):
    """Which form of a resource a snapshot holds."""

    CURRENT = "current"
    LAST_GOOD = "last-good"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Settled:
    """The form in force of each resource; those that have none are in no table."""

    entries: dict[ResourceId, Entry] = field(default_factory=dict)
    """Oldest first within a kind."""
    force: dict[ResourceId, Force] = field(default_factory=dict)
    lost: dict[ResourceId, list[tuple[Reason, str]]] = field(default_factory=dict)
    """Valid resources whose current form claims what an older one has, or is held back."""


def settle(
    oldest_first: Iterable[ResourceId],
    translated: Mapping[ResourceId, Entry | tuple[Problem, ...]],
    old: Mapping[ResourceId, Entry],
    held: Mapping[ResourceId, list[tuple[Reason, str]]],
) -> Settled:
    """Chooses a form for each resource. `old`: entries of the snapshot in force; `held`: who must keep that one."""
    settled = Settled(lost=dict(held))
    taken: dict[Claim, ResourceId] = {}
    for resource_id in oldest_first:
        current = translated[resource_id]
        forms = [] if isinstance(current, tuple) or resource_id in held else [(Force.CURRENT, current)]
        if resource_id in old:
            forms.append((Force.LAST_GOOD, old[resource_id]))
        for force, entry in forms:
            claims = _claims(resource_id, entry)
            clashes = [claim for claim in claims if claim in taken]
            if not clashes:
                settled.entries[resource_id], settled.force[resource_id] = entry, force
                taken |= dict.fromkeys(claims, resource_id)
                break
            if force is Force.CURRENT:
                settled.lost[resource_id] = [_words(claim, taken[claim]) for claim in clashes]
    return settled


def _claims(resource_id: ResourceId, entry: Entry) -> list[Claim]:
    if isinstance(entry, RouteEntry):
        return [("model", resource_id.namespace, model) for model in entry.models]
    if isinstance(entry, PricingEntry):
        return [("price", entry.provider, model) for model in entry.models]
    return []


def _words(claim: Claim, winner: ResourceId) -> tuple[Reason, str]:
    kind, owner, model = claim
    if kind == "model":
        words = f"spec.models: {model!r} is served by the older {winner}: rename it here or remove it there"
        return Reason.NAME_CONFLICT, words
    words = f"spec.models: {model!r} of provider {owner} is priced by the older {winner}: remove one of the two"
    return Reason.PRICE_CONFLICT, words
