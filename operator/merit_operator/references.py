"""Which Secrets the resources name. Tolerates any spec: what is wrong with it, compile says."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from merit_crds.credentials import references
from merit_crds.resources import ResourceSet
from merit_crds.snapshot import Snapshot


def named_secrets(resources: ResourceSet, previous: Snapshot | None) -> set[tuple[str, str]]:
    """(namespace, name) of every Secret that a resource names now, or that a last good form still needs."""
    found = {(r.id.namespace, name) for r in resources.resources.values() for name in _names(r.id.kind, r.spec)}
    if previous is not None:
        for ref in references(previous):
            namespace, name, _ = ref.split("/", 2)
            found.add((namespace, name))
    return found


def _names(kind: str, spec: Any) -> Iterator[str]:
    if kind == "Provider":
        selectors: Iterable[Any] = [_get(_get(spec, "credentials"), "apiKey")]
    elif kind == "Consumer":
        keys = _get(spec, "apiKeys")
        selectors = keys if isinstance(keys, list | tuple) else []
    else:
        return
    for selector in selectors:
        name = _get(selector, "name")
        if isinstance(name, str) and name:
            yield name


def _get(value: Any, key: str) -> Any:
    return value.get(key) if isinstance(value, Mapping) else None
