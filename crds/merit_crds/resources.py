"""A set of resources as they were read, before anything was checked."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from merit_crds.v1alpha1 import SPECS

KINDS = tuple(SPECS)


def own_annotations(metadata: Mapping[Any, Any]) -> dict[str, str]:
    """Annotations of merit.dev from an object's metadata: only these mean something here."""
    given = metadata.get("annotations")
    if not isinstance(given, Mapping):
        return {}
    return {k: v for k, v in given.items() if isinstance(k, str) and isinstance(v, str) and k.startswith("merit.dev/")}


class ResourceId(NamedTuple):
    """Identity of a resource."""

    kind: str
    namespace: str
    name: str

    @property
    def key(self) -> str:
        """`namespace/name`, as the snapshot names it."""
        return f"{self.namespace}/{self.name}"

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True, eq=False)
class Resource:
    """One resource as it was read: `spec` is unchecked. Compared by identity: an unchanged one is known cheaply."""

    id: ResourceId
    spec: Any
    generation: int = 0
    created: str = ""
    """RFC 3339, from the API server; empty in a folder. Older resources win conflicts."""
    source: str = ""
    """Where a user finds it, e.g. `route.yaml:3`; empty in a cluster."""
    annotations: Mapping[str, str] = field(default_factory=dict)
    """Those of merit.dev alone."""
    lines: Mapping[tuple[str | int, ...], int] = field(default_factory=dict)
    """Line of each field by its path under the document's root."""

    @property
    def seniority(self) -> tuple[str, str, str]:
        """Sorts older resources first, then by name."""
        return (self.created, self.id.namespace, self.id.name)


Secrets = Mapping[tuple[str, str], Mapping[str, str]]
"""(namespace, name of a Secret) to its keys and values. Never logged, never part of a snapshot."""


@dataclass(frozen=True, slots=True)
class ResourceSet:
    """All resources and the Secrets that they name."""

    resources: Mapping[ResourceId, Resource]
    secrets: Secrets = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, resources: Iterable[Resource], secrets: Secrets | None = None) -> "ResourceSet":
        """A set in a fixed order, whatever the order of the input."""
        return cls({r.id: r for r in sorted(resources, key=lambda r: r.id)}, secrets or {})

    def of_kind(self, kind: str) -> Iterable[Resource]:
        """Resources of one kind, oldest first."""
        return sorted((r for r in self.resources.values() if r.id.kind == kind), key=lambda r: r.seniority)
