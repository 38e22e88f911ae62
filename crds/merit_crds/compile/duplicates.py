"""List entries that occur twice where the schema allows each once: refused by the API server, possible in a folder."""

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from merit_crds.problems import Problem, shown
from merit_crds.schema import Schema, structural
from merit_crds.v1alpha1 import SPECS

Path = tuple[str | int, ...]


def find(kind: str, spec: Any) -> list[Problem]:
    """The second of each two equal entries of a valid spec, by the list types of its schema."""
    return list(_find(_lists(kind), spec, ("spec",)))


def twice(values: list[str], path: Path, what: str) -> list[Problem]:
    """The second of each two equal values, where the schema can't say it."""
    return [
        Problem(path=(*path, i), reason=f"{what} occurs twice: remove one", value=shown(value))
        for i, value in enumerate(values)
        if value in values[:i]
    ]


@cache
def _lists(kind: str) -> Schema:
    return _pruned(structural(SPECS[kind]))


def _pruned(schema: Schema) -> Schema:
    """What of a schema leads to a list with unique entries. Most of a spec doesn't, and thousands are checked."""
    made: Schema = {}
    if schema.get("x-kubernetes-list-type") in ("set", "map"):
        made["keys"] = schema.get("x-kubernetes-list-map-keys", [])
    if items := _pruned(schema["items"]) if "items" in schema else {}:
        made["items"] = items
    properties = {name: _pruned(child) for name, child in schema.get("properties", {}).items()}
    if fields := {name: child for name, child in properties.items() if child}:
        made["properties"] = fields
    return made


def _find(schema: Schema, value: Any, path: Path) -> Iterator[Problem]:
    if isinstance(value, Mapping):
        for name, child in schema.get("properties", {}).items():
            yield from _find(child, value.get(name), (*path, name))
    elif isinstance(value, list | tuple):
        if "keys" in schema:
            yield from _unique(value, schema["keys"], path)
        if "items" in schema:
            for i, item in enumerate(value):
                yield from _find(schema["items"], item, (*path, i))


def _unique(entries: list[Any] | tuple[Any, ...], keys: list[str], path: Path) -> Iterator[Problem]:
    seen = set()
    for i, entry in enumerate(entries):
        key = tuple(entry[k] for k in keys) if keys else entry
        if key in seen:
            what = " and ".join(f"{k} {v!r}" for k, v in zip(keys, key, strict=True)) if keys else repr(key)
            yield Problem(path=(*path, i), reason=f"{what} occurs twice in the list: remove one")
        seen.add(key)
