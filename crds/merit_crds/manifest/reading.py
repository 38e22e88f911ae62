"""Documents to resources and Secrets."""

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from merit_crds import API_VERSION, GROUP
from merit_crds.manifest.documents import Document, documents
from merit_crds.manifest.model import DEFAULT_NAMESPACE, Fault, Manifest
from merit_crds.resources import KINDS, Resource, ResourceId, own_annotations

_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
_NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_FIELDS = {"apiVersion", "kind", "metadata", "spec", "status"}


@dataclass(slots=True)
class _Reading:
    source: str
    substitute: Callable[[str], str]
    resources: list[Resource] = field(default_factory=list)
    secrets: dict[tuple[str, str], Mapping[str, str]] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)

    def fault(self, document: Document, reason: str, *path: str) -> None:
        """Remembers a fault at a field, or at the nearest one above it that is there."""
        line = next((document.lines[path[:n]] for n in range(len(path), -1, -1) if path[:n] in document.lines), 0)
        self.faults.append(Fault(self.source, line or document.line, reason))


def read(text: str, *, source: str, substitute: Callable[[str], str] = str) -> Manifest:
    """Resources, Secrets and faults of a text with any number of documents.

    `substitute` is applied to the plain values (`stringData`) of Secrets; it may raise KeyError for a name that it
    lacks. Kinds of other groups are passed over: a folder may hold a Deployment too.
    """
    reading = _Reading(source, substitute)
    for document in documents(text):
        _document(reading, document)
    return Manifest(tuple(reading.resources), reading.secrets, tuple(reading.faults))


def _document(reading: _Reading, document: Document) -> None:
    value = document.value
    if document.fault:
        reading.fault(document, document.fault)
    elif not isinstance(value, Mapping):
        reading.fault(document, "is no resource: a document must be a mapping with apiVersion, kind and metadata")
    elif value.get("apiVersion") == "v1" and value.get("kind") == "Secret":
        _secret(reading, document)
    elif str(value.get("apiVersion")).split("/")[0] == GROUP or value.get("kind") in KINDS:
        _resource(reading, document)
    elif value.get("kind") == "List" and isinstance(value.get("items"), list):
        reading.fault(document, "kind List is not read from files: separate the items with ---", "kind")


def _resource(reading: _Reading, document: Document) -> None:
    value, kind, api_version = document.value, document.value.get("kind"), document.value.get("apiVersion")
    if api_version != API_VERSION:
        reading.fault(document, f"apiVersion: must be {API_VERSION} (is {api_version!r})", "apiVersion")
    elif kind not in KINDS:
        reading.fault(document, f"kind: must be one of {', '.join(KINDS)} (is {kind!r})", "kind")
    elif extra := sorted({str(key) for key in value} - _FIELDS):
        words = f"{extra[0]}: is not a field of a {kind}: remove it or move it under spec"
        reading.fault(document, words, extra[0])
    elif named := _named(reading, document):
        metadata = value["metadata"]
        generation, created = metadata.get("generation"), metadata.get("creationTimestamp")
        reading.resources.append(
            Resource(
                id=ResourceId(kind, *named),
                spec=value.get("spec"),
                generation=generation if type(generation) is int else 1,
                created=str(created or ""),
                source=f"{reading.source}:{document.line}",
                annotations=own_annotations(metadata),
                lines=document.lines,
            )
        )


def _named(reading: _Reading, document: Document) -> tuple[str, str] | None:
    """Namespace and name, when they are such as Kubernetes accepts."""
    metadata = document.value.get("metadata")
    if not isinstance(metadata, Mapping) or metadata.get("name") is None:
        reading.fault(document, "metadata.name: is required: add it", "metadata")
        return None
    namespace, name = metadata.get("namespace") or DEFAULT_NAMESPACE, metadata["name"]
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        words = f"metadata.name: must be lower-case letters, digits, '-' and '.' (is {name!r})"
        reading.fault(document, words, "metadata", "name")
        return None
    if not isinstance(namespace, str) or not _NAMESPACE.fullmatch(namespace):
        words = f"metadata.namespace: must be lower-case letters, digits and '-' (is {namespace!r})"
        reading.fault(document, words, "metadata", "namespace")
        return None
    return namespace, name


def _secret(reading: _Reading, document: Document) -> None:
    named = _named(reading, document)
    if named is None:
        return
    values: dict[str, str] = {}
    for key, value in _table(reading, document, "data").items():
        try:  # Kubernetes too reads base64 that is broken into lines
            values[key] = base64.b64decode("".join(str(value).split()), validate=True).decode()
        except (binascii.Error, ValueError):
            words = f"data.{key}: is no base64 of UTF-8 text: use stringData for plain text"
            reading.fault(document, words, "data", key)
    for key, value in _table(reading, document, "stringData").items():
        if not isinstance(value, str):
            reading.fault(document, f"stringData.{key}: must be a string: put it in quotes", "stringData", key)
            continue
        try:
            values[key] = reading.substitute(value)
        except KeyError as missing:
            words = f"stringData.{key}: environment variable {missing} is not set: set it"
            reading.fault(document, words, "stringData", key)
    reading.secrets[named] = values


def _table(reading: _Reading, document: Document, name: str) -> dict[str, Any]:
    table = document.value.get(name) or {}
    if isinstance(table, Mapping):
        return {str(key): value for key, value in table.items()}
    reading.fault(document, f"{name}: must be a mapping of keys to values", name)
    return {}
