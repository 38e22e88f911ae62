"""YAML documents to resources and Secrets, with the line of every field. Reads text, never a file."""

import base64
import binascii
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from merit_crds import API_VERSION, GROUP
from merit_crds.resources import KINDS, Resource, ResourceId

DEFAULT_NAMESPACE = "default"


@dataclass(frozen=True, slots=True)
class Fault:
    """Something in a file that is no resource: not YAML, no name, an unknown kind."""

    source: str
    line: int
    reason: str

    def __str__(self) -> str:
        return f"{self.source}:{self.line}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Manifest:
    """What one text holds."""

    resources: tuple[Resource, ...] = ()
    secrets: Mapping[tuple[str, str], Mapping[str, str]] = field(default_factory=dict, repr=False)
    faults: tuple[Fault, ...] = ()


class _Lines:
    """Lines of the fields of one document, by path."""

    def __init__(self, node: yaml.Node) -> None:
        self.by_path: dict[tuple[str | int, ...], int] = {}
        self._walk(node, ())

    def _walk(self, node: yaml.Node, path: tuple[str | int, ...]) -> None:
        self.by_path.setdefault(path, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                name = str(getattr(key, "value", ""))
                self.by_path[(*path, name)] = key.start_mark.line + 1
                self._walk(value, (*path, name))
        elif isinstance(node, yaml.SequenceNode):
            for i, value in enumerate(node.value):
                self._walk(value, (*path, i))


def read(text: str, *, source: str, substitute: Callable[[str], str] = str) -> Manifest:
    """Resources, Secrets and faults of a text with any number of documents.

    `substitute` is applied to the plain values (`stringData`) of Secrets; it may raise KeyError for a name that it lacks.
    Kinds of other groups are passed over: a folder may hold a Deployment too.
    """
    resources: list[Resource] = []
    secrets: dict[tuple[str, str], Mapping[str, str]] = {}
    faults: list[Fault] = []
    for document, lines, line in _documents(text, source, faults):
        if not isinstance(document, Mapping):
            faults.append(
                Fault(source, line, "is no resource: a document must be a mapping with apiVersion, kind and metadata")
            )
            continue
        api_version, kind = document.get("apiVersion"), document.get("kind")
        if api_version == "v1" and kind == "Secret":
            _secret(document, secrets, faults, source=source, line=line, substitute=substitute)
        elif str(api_version).split("/")[0] == GROUP or kind in KINDS:
            _resource(document, lines, resources, faults, source=source, line=line)
        elif kind == "List" and isinstance(document.get("items"), list):
            faults.append(Fault(source, line, "kind List is not read from files: separate the items with ---"))
    return Manifest(tuple(resources), secrets, tuple(faults))


def _documents(
    text: str, source: str, faults: list[Fault]
) -> Iterator[tuple[Any, dict[tuple[str | int, ...], int], int]]:
    loader = yaml.CSafeLoader(text) if hasattr(yaml, "CSafeLoader") else yaml.SafeLoader(text)
    try:
        while loader.check_node():
            node = loader.get_node()
            if node is None:
                continue
            duplicate = _duplicate_key(node)
            if duplicate is not None:
                faults.append(
                    Fault(source, duplicate[1], f"key {duplicate[0]!r} occurs twice in one mapping: remove one")
                )
                continue
            value = loader.construct_document(node)
            if value is not None:
                yield value, _Lines(node).by_path, node.start_mark.line + 1
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or str(error)
        faults.append(Fault(source, (mark.line + 1) if mark else 1, f"is no YAML: {problem}"))
    finally:
        loader.dispose()


def _duplicate_key(node: yaml.Node) -> tuple[str, int] | None:
    """The second of two equal keys: YAML loaders silently keep the last, and a price would be lost."""
    children: list[yaml.Node] = []
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    return key.value, key.start_mark.line + 1
                seen.add(key.value)
            children.append(value)
    elif isinstance(node, yaml.SequenceNode):
        children = node.value
    return next((found for child in children if (found := _duplicate_key(child))), None)


def _resource(
    document: Mapping[str, Any],
    lines: dict[tuple[str | int, ...], int],
    resources: list[Resource],
    faults: list[Fault],
    *,
    source: str,
    line: int,
) -> None:
    api_version, kind, metadata = document.get("apiVersion"), document.get("kind"), document.get("metadata")
    if api_version != API_VERSION:
        faults.append(
            Fault(source, lines.get(("apiVersion",), line), f"apiVersion: must be {API_VERSION} (is {api_version!r})")
        )
    elif kind not in KINDS:
        faults.append(
            Fault(source, lines.get(("kind",), line), f"kind: must be one of {', '.join(KINDS)} (is {kind!r})")
        )
    elif not isinstance(metadata, Mapping) or not isinstance(metadata.get("name"), str):
        faults.append(Fault(source, lines.get(("metadata",), line), "metadata.name: is required: add it"))
    elif extra := sorted(set(document) - {"apiVersion", "kind", "metadata", "spec", "status"}):
        faults.append(
            Fault(
                source,
                lines.get((extra[0],), line),
                f"{extra[0]}: is not a field of a {kind}: remove it or move it under spec",
            )
        )
    else:
        resources.append(
            Resource(
                id=ResourceId(kind, str(metadata.get("namespace") or DEFAULT_NAMESPACE), metadata["name"]),
                spec=document.get("spec"),
                generation=metadata.get("generation") if isinstance(metadata.get("generation"), int) else 1,
                created=str(metadata.get("creationTimestamp") or ""),
                source=f"{source}:{line}",
                lines=lines,
            )
        )


def _secret(
    document: Mapping[str, Any],
    secrets: dict[tuple[str, str], Mapping[str, str]],
    faults: list[Fault],
    *,
    source: str,
    line: int,
    substitute: Callable[[str], str],
) -> None:
    metadata = document.get("metadata")
    if not isinstance(metadata, Mapping) or not isinstance(metadata.get("name"), str):
        faults.append(Fault(source, line, "metadata.name: is required: add it"))
        return
    values: dict[str, str] = {}
    for key, value in (document.get("data") or {}).items():
        try:
            values[key] = base64.b64decode(str(value), validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            faults.append(Fault(source, line, f"data.{key}: is no base64 of UTF-8 text: use stringData for plain text"))
    for key, value in (document.get("stringData") or {}).items():
        if not isinstance(value, str):
            faults.append(Fault(source, line, f"stringData.{key}: must be a string: put it in quotes"))
            continue
        try:
            values[key] = substitute(value)
        except KeyError as missing:
            faults.append(Fault(source, line, f"stringData.{key}: environment variable {missing} is not set: set it"))
    secrets[str(metadata.get("namespace") or DEFAULT_NAMESPACE), metadata["name"]] = values
