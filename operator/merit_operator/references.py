"""Which Secrets the resources name. Tolerates any spec: what is wrong with it, compile says."""

from collections.abc import Iterator, Mapping
from typing import Any

from merit_crds.credentials import references
from merit_crds.resources import ResourceSet
from merit_crds.snapshot import Snapshot

_DEEPEST = 4


def named_secrets(resources: ResourceSet, previous: Snapshot | None) -> set[tuple[str, str]]:
    """(namespace, name) of every Secret that a resource names now, or that a last good form still needs."""
    found = {(r.id.namespace, name) for r in resources.resources.values() for name in _names(r.id.kind, r.spec)}
    if previous is not None:
        for ref in references(previous):
            namespace, name, _ = ref.split("/", 2)
            found.add((namespace, name))
    return found


def _names(kind: str, spec: Any) -> Iterator[str]:
    field = {"Provider": "credentials", "Consumer": "apiKeys"}.get(kind, "")
    for selector in _selectors(_get(spec, field), depth=0):
        name = selector["name"]
        if isinstance(name, str) and name:
            yield name


def _selectors(value: Any, *, depth: int) -> Iterator[Mapping[str, Any]]:
    """What looks like a selector of a Secret's key, in any scheme: compile knows which there are."""
    if depth > _DEEPEST:
        return
    if isinstance(value, Mapping):
        if "name" in value and "key" in value:
            yield value
        value = value.values()
    elif not isinstance(value, list | tuple):
        return
    for inner in value:
        yield from _selectors(inner, depth=depth + 1)


def _get(value: Any, key: str) -> Any:
    return value.get(key) if isinstance(value, Mapping) else None
