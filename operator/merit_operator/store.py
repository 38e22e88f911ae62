"""Resources as the API server has them. A list replaces everything; an event changes one object until the next list."""

from collections.abc import Iterable, Mapping
from typing import Any

from merit_crds.resources import Resource, ResourceId, ResourceSet, Secrets


class Store:
    """The four kinds. Each change that matters returns True; a status-only change is none."""

    def __init__(self) -> None:
        self._resources: dict[ResourceId, Resource] = {}
        self._versions: dict[ResourceId, int] = {}
        self._changed: dict[ResourceId, str] = {}
        self.statuses: dict[ResourceId, Mapping[str, Any]] = {}
        """Statuses as they were last seen."""

    def replace(self, kind: str, objects: Iterable[Mapping[str, Any]], version: str) -> bool:
        """The authoritative list of a kind: what is not in it does not exist, unless it is newer than the list."""
        listed = {identify(kind, o): o for o in objects}
        gone = [
            i for i in self._resources if i.kind == kind and i not in listed and self._versions[i] <= _number(version)
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
        if known is None or _version(body) < self._versions[resource_id]:
            return False
        self._forget(resource_id)
        return True

    def resource_set(self, secrets: Secrets) -> ResourceSet:
        """Everything, for compile."""
        return ResourceSet.of(self._resources.values(), secrets)

    def changed_at(self, resource_id: ResourceId) -> str:
        """RFC 3339 of the last change that was not to the status, by the API server's clock (whole seconds)."""
        return self._changed.get(resource_id, "")

    def _put(self, resource_id: ResourceId, body: Mapping[str, Any]) -> bool:
        version = _version(body)
        if version < self._versions.get(resource_id, 0):
            return False
        metadata = body.get("metadata", {})
        self._versions[resource_id] = version
        self._changed[resource_id] = _last_change(metadata)
        self.statuses[resource_id] = body.get("status") or {}
        known = self._resources.get(resource_id)
        spec, generation = body.get("spec"), int(metadata.get("generation") or 0)
        if known is not None and known.generation == generation and known.spec == spec:
            return False
        self._resources[resource_id] = Resource(
            id=resource_id, spec=spec, generation=generation, created=str(metadata.get("creationTimestamp") or "")
        )
        return True

    def _forget(self, resource_id: ResourceId) -> None:
        for table in (self._resources, self._versions, self._changed, self.statuses):
            table.pop(resource_id, None)


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
