"""The whole of compile, top to bottom."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from merit_crds.compile import conflicts
from merit_crds.compile.link import Linker, Unresolved
from merit_crds.compile.translate import Entry, translate
from merit_crds.conditions import Condition, ConditionType, Reason
from merit_crds.pricing.merit_order import Ranked, by_price
from merit_crds.problems import Problem
from merit_crds.resources import KINDS, Resource, ResourceId, ResourceSet
from merit_crds.snapshot import FORMAT, Snapshot, encode, version_of
from merit_crds.snapshot.model import ProviderEntry

_LONGEST_MESSAGE = 4_096


class Force(StrEnum):
    """Which form of a resource a snapshot holds."""

    CURRENT = "current"
    LAST_GOOD = "last-good"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class ResourceStatus:
    """What compile says of one resource."""

    id: ResourceId
    generation: int
    """The generation that was looked at."""
    force: Force
    accepted: Condition
    resolved_refs: Condition
    problems: tuple[Problem, ...] = ()
    merit_order: tuple[Ranked, ...] = ()
    """For a ModelRoute: by price, at its typical request."""


@dataclass(frozen=True, slots=True)
class Compiled:
    """A snapshot, its bytes and version, and a status for every resource."""

    snapshot: Snapshot
    body: bytes = field(repr=False)
    version: str
    statuses: Mapping[ResourceId, ResourceStatus]
    credentials: Mapping[str, str] = field(repr=False)
    """Values of the credentials that the snapshot names; travels apart from it."""


class Translations:
    """Remembers the translation of resources that have not changed since the last compile. Changes no result."""

    def __init__(self) -> None:
        self._by_id: dict[ResourceId, tuple[Resource, Entry | tuple[Problem, ...]]] = {}

    def of(self, resources: Mapping[ResourceId, Resource]) -> dict[ResourceId, Entry | tuple[Problem, ...]]:
        """The translation of each resource; unchanged ones (the same object) are not translated again."""
        fresh = {}
        for resource_id, resource in resources.items():
            known = self._by_id.get(resource_id)
            fresh[resource_id] = known if known and known[0] is resource else (resource, translate(resource))
        self._by_id = fresh
        return {resource_id: result for resource_id, (_, result) in fresh.items()}


def compile_resources(
    resources: ResourceSet, previous: Snapshot | None = None, translations: Translations | None = None
) -> Compiled:
    """Compile a set of resources.

    `previous` is the snapshot in force: where a resource is invalid now, its entry there stays in force. Entries of
    resources that no longer exist are not kept.
    """
    translated = (translations or Translations()).of(resources.resources)
    old = _entries(previous)
    good = {i: t for i, t in translated.items() if not isinstance(t, tuple)}
    oldest_first = [r for kind in KINDS for r in resources.of_kind(kind)]
    lost = conflicts.find(oldest_first, good)

    entries: dict[ResourceId, Entry] = {}
    force: dict[ResourceId, Force] = {}
    for resource_id in translated:
        if resource_id in good and resource_id not in lost:
            entries[resource_id], force[resource_id] = good[resource_id], Force.CURRENT
        elif resource_id in old and resource_id not in lost:
            entries[resource_id], force[resource_id] = old[resource_id], Force.LAST_GOOD
        else:
            force[resource_id] = Force.NONE
    for loser in conflicts.find(oldest_first, entries):  # a last good form may clash with what came since
        del entries[loser]
        force[loser] = Force.NONE

    linker = Linker(
        entries=entries,
        known={kind: {i.key for i in translated if i.kind == kind} for kind in KINDS},
        grants=_grants(resources),
        secrets=resources.secrets,
    )
    snapshot = linker.link(FORMAT)
    body = encode(snapshot)
    served = set(_entries(snapshot))
    statuses = {
        resource_id: _status(
            resource,
            problems=result if isinstance(result, tuple) else (),
            conflict=lost.get(resource_id),
            unresolved=linker.unresolved.get(resource_id, []),
            force=force[resource_id] if resource_id in served else Force.NONE,
            snapshot=snapshot,
        )
        for resource_id, result in translated.items()
        for resource in [resources.resources[resource_id]]
    }
    return Compiled(
        snapshot=snapshot,
        body=body,
        version=version_of(body),
        statuses=statuses,
        credentials=_credentials(snapshot, resources),
    )


def _entries(snapshot: Snapshot | None) -> dict[ResourceId, Entry]:
    if snapshot is None:
        return {}
    tables: dict[str, Mapping[str, Entry]] = {
        "Provider": snapshot.providers,
        "ProviderPricing": snapshot.pricings,
        "ModelRoute": snapshot.routes,
        "Consumer": snapshot.consumers,
    }
    return {ResourceId(kind, *key.split("/", 1)): e for kind, table in tables.items() for key, e in table.items()}


def _grants(resources: ResourceSet) -> dict[str, tuple[str, ...]]:
    """Grants as they are written now: taking one back works even while the rest of the resource is broken."""
    grants = {}
    for resource in resources.of_kind("Provider"):
        named = resource.spec.get("allowedNamespaces", ()) if isinstance(resource.spec, Mapping) else ()
        grants[resource.id.key] = (
            tuple(n for n in named if isinstance(n, str)) if isinstance(named, list | tuple) else ()
        )
    return grants


def _credentials(snapshot: Snapshot, resources: ResourceSet) -> dict[str, str]:
    refs = [p.api_key.ref for p in snapshot.providers.values() if isinstance(p, ProviderEntry) and p.api_key]
    refs += [key.ref for consumer in snapshot.consumers.values() for key in consumer.api_keys]
    values = {}
    for ref in refs:
        namespace, name, key = ref.split("/", 2)
        values[ref] = resources.secrets[namespace, name][key]
    return values


def _status(
    resource: Resource,
    *,
    problems: tuple[Problem, ...],
    conflict: tuple[Reason, str] | None,
    unresolved: list[Unresolved],
    force: Force,
    snapshot: Snapshot,
) -> ResourceStatus:
    if problems:
        accepted = _condition(ConditionType.ACCEPTED, [(Reason.INVALID, str(p)) for p in problems])
    elif conflict:
        accepted = _condition(ConditionType.ACCEPTED, [conflict])
    else:
        accepted = Condition(ConditionType.ACCEPTED, "True", Reason.ACCEPTED)
    resolved = (
        _condition(ConditionType.RESOLVED_REFS, unresolved)
        if unresolved
        else Condition(ConditionType.RESOLVED_REFS, "True", Reason.RESOLVED_REFS)
    )
    route = snapshot.routes.get(resource.id.key) if resource.id.kind == "ModelRoute" else None
    return ResourceStatus(
        id=resource.id,
        generation=resource.generation,
        force=force,
        accepted=accepted,
        resolved_refs=resolved,
        problems=problems,
        merit_order=tuple(by_price(snapshot, route)) if route else (),
    )


def _condition(kind: ConditionType, faults: list[tuple[Reason, str]]) -> Condition:
    message = "; ".join(words for _, words in faults)
    if len(message) > _LONGEST_MESSAGE:
        message = f"{message[:_LONGEST_MESSAGE]}… ({len(faults)} in all)"
    return Condition(kind, "False", faults[0][0], message)
