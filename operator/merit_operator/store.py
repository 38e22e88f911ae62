"""Resources as the API server has them. A list replaces everything; an event changes one object until the next list."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from merit_crds.resources import Resource, ResourceId, ResourceSet, Secrets, own_annotations


class Seen(NamedTuple):
    """What the cluster has of one object, apart from its spec."""

    version: int = 0
    """Its resourceVersion."""
    uid: str = ""
    """Another one: it was deleted, and made again under its name."""
    changed: str = ""
    """RFC 3339 of the last change that was not to the status, by the API server's clock (whole seconds)."""
    status: Mapping[str, Any] = {}


class Store:
    """The four kinds. Each change that matters returns True; a status-only change is none."""

    def __init__(self) -> None:
        self._resources: dict[ResourceId, Resource] = {}
        self._seen: dict[ResourceId, Seen] = {}

    def replace(self, kind: str, objects: Iterable[Mapping[str, Any]], version: str) -> bool:
        """The authoritative list of a kind: what is not in it does not exist, unless it is newer than the list."""
        listed = {identify(kind, o): o for o in objects}
        gone = [
            i
            for i in self._resources
            if i.kind == kind and i not in listed and self._seen[i].version <= _number(version)
        ]
        for resource_id in gone:
            self._forget(resource_id)
        # no short-circuit: every object must be put
        changed = [self._put(resource_id, o) for resource_id, o in listed.items()]
        return bool(gone) or any(changed)

    def put(self, kind: str, body: Mapping[str, Any]) -> bool:
        """An object was added or modified, as an event says. An older version than the known one is passed over."""
        return self._put(identify(kind, body), body)

    def remove(self, kind: str, body: Mapping[str, Any]) -> bool:
        """An object was deleted, as an event says."""
        resource_id = identify(kind, body)
        known = self._resources.get(resource_id)
        if known is None or _version(body) < self._seen[resource_id].version:
            return False
        self._forget(resource_id)
        return True

    def resource_set(self, secrets: Secrets) -> ResourceSet:
        """Everything, for compile."""
        return ResourceSet.of(self._resources.values(), secrets)

    def seen(self, resource_id: ResourceId) -> Seen:
        """What the cluster has of it, as far as is known."""
        return self._seen.get(resource_id, Seen())

    def _put(self, resource_id: ResourceId, body: Mapping[str, Any]) -> bool:
        before, metadata = self.seen(resource_id), body.get("metadata", {})
        seen = Seen(_version(body), str(metadata.get("uid", "")), _last_change(metadata), body.get("status") or {})
        if seen.version < before.version:
            return False
        self._seen[resource_id] = seen
        known = self._resources.get(resource_id)
        spec, generation = body.get("spec"), int(metadata.get("generation") or 0)
        annotations = own_annotations(metadata)
        same = (
            known is not None
            and known.generation == generation
            and known.spec == spec
            and known.annotations == annotations
        )
        if same and seen.uid == before.uid:
            return False
        self._resources[resource_id] = Resource(
            id=resource_id,
            spec=spec,
            generation=generation,
            created=str(metadata.get("creationTimestamp") or ""),
            annotations=annotations,
        )
        return True

    def _forget(self, resource_id: ResourceId) -> None:
        self._resources.pop(resource_id, None)
        self._seen.pop(resource_id, None)


def identify(kind: str, body: Mapping[str, Any]) -> ResourceId:
    """Identity of an object."""
    metadata = body.get("metadata", {})
    return ResourceId(kind, str(metadata.get("namespace", "")), str(metadata.get("name", "")))


def _version(body: Mapping[str, Any]) -> int:
    # resource versions of one kind are comparable numbers since Kubernetes 1.35, and were numbers in etcd always
    return _number(str(body.get("metadata", {}).get("resourceVersion", "")))


def _number(version: str) -> int:
    return int(version) if version.isdigit() else 0


def _last_change(metadata: Mapping[str, Any]) -> str:
    times = [str(metadata.get("creationTimestamp") or "")]
    times += [str(f.get("time") or "") for f in metadata.get("managedFields", []) if f.get("subresource") != "status"]
    return max(times)
