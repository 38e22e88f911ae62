"""The whole of compile, top to bottom."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from merit_crds.compile.link import Linker
from merit_crds.compile.price_moves import held_back
from merit_crds.compile.settle import settle
from merit_crds.compile.status import ResourceStatus, statuses_of
from merit_crds.compile.translate import Entry
from merit_crds.compile.translations import Translations
from merit_crds.credentials import references
from merit_crds.resources import KINDS, ResourceId, ResourceSet
from merit_crds.snapshot import FORMAT, Snapshot, encode, version_of


@dataclass(frozen=True, slots=True)
class Compiled:
    """A snapshot, its bytes and version, and a status for every resource."""

    snapshot: Snapshot
    body: bytes = field(repr=False)
    version: str
    statuses: Mapping[ResourceId, ResourceStatus]
    credentials: Mapping[str, str] = field(repr=False)
    """Values of the credentials that the snapshot names; travels apart from it."""
    current_until: float
    """Epoch second until which the merit orders in the statuses hold; `inf` when no price changes with time."""


def compile_resources(
    resources: ResourceSet,
    previous: Snapshot | None = None,
    translations: Translations | None = None,
    *,
    at: float | None = None,
) -> Compiled:
    """Compile a set of resources.

    `previous` is the snapshot in force: where a resource is invalid now, its entry there stays in force. Entries of
    resources that no longer exist are not kept. `translations` of the compile before save time and change nothing.
    `at` is the epoch second of the merit orders in the statuses: the snapshot has the prices of all times.
    """
    translations = translations or Translations()
    translated = translations.of(resources.resources)
    oldest_first = [resource.id for kind in KINDS for resource in resources.of_kind(kind)]
    old = _entries(previous)
    settled = settle(oldest_first, translated, old, held_back(resources.resources, translated, old))
    linker = Linker(
        entries=settled.entries, known=frozenset(translated), grants=_grants(resources), secrets=resources.secrets
    )
    snapshot = linker.link(FORMAT)
    body = encode(snapshot)
    merit_orders, current_until = translations.merit_orders(snapshot, at)
    return Compiled(
        snapshot=snapshot,
        body=body,
        version=version_of(body),
        statuses=statuses_of(
            resources,
            translated=translated,
            settled=settled,
            unresolved=linker.unresolved,
            snapshot=snapshot,
            merit_orders=merit_orders,
        ),
        credentials={ref: _value(resources, ref) for ref in references(snapshot)},
        current_until=current_until,
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


def _grants(resources: ResourceSet) -> dict[ResourceId, tuple[str, ...]]:
    """Grants as they are written now: taking one back works even while the rest of the resource is broken."""
    grants = {}
    for resource in resources.resources.values():
        named = resource.spec.get("allowedNamespaces") if isinstance(resource.spec, Mapping) else None
        if isinstance(named, list | tuple):
            grants[resource.id] = tuple(n for n in named if isinstance(n, str))
    return grants


def _value(resources: ResourceSet, ref: str) -> str:
    namespace, name, key = ref.split("/", 2)
    return resources.secrets[namespace, name][key]
