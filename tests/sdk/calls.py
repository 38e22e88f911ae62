"""Calls of an SDK's methods, made of OpenAI's published document: with what one needs, and with each parameter.

openai-node's own tests of API resources are in no package that it publishes, so these take their place: the same
methods, with the required and with all parameters, the mock to say whether each request is what the document allows.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

FILE = {"$file": "a.png"}
"""Stands for a file in the parameters."""
_BINARY = frozenset({"binary"})
_DEEPEST = 6


@dataclass(frozen=True)
class Method:
    """Of the SDK, and what it calls."""

    name: str
    """`chat.completions.create`."""
    path: str
    verb: str = "post"
    positional: tuple[str, ...] = ()
    always: Mapping[str, Any] | None = None
    """Parameters that the document doesn't need and a gateway does, and values that it can't know."""
    never: tuple[str, ...] = ()
    """Parameters that are not sent."""


@dataclass(frozen=True)
class Call:
    """One call."""

    name: str
    method: str
    positional: tuple[str, ...]
    params: Mapping[str, Any]

    def plain(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def calls(document: Path, method: Method) -> Iterator[Call]:
    """With what is needed; with each other parameter; with all; as a stream."""
    schema = _body(_read(document), method)
    if schema is None:
        yield Call(f"{method.name}: as it is", method.name, method.positional, {})
        return
    maker = _Maker(_read(document)["components"]["schemas"])
    properties, required = maker.fields(schema)
    always = dict(method.always or {})
    made = {name: always.get(name, maker.value(part, 0)) for name, part in properties.items()}
    made |= {name: value for name, value in always.items() if name not in properties}
    needed = {name: made[name] for name in [*required, *always] if name not in method.never}
    optional = [name for name in properties if name not in needed and name not in {"stream", *method.never}]
    yield Call(f"{method.name}: required", method.name, method.positional, needed)
    for name in optional:
        if name != "stream_options":
            yield Call(f"{method.name}: {name}", method.name, method.positional, {**needed, name: made[name]})
    everything = {name: made[name] for name in optional if name != "stream_options"}
    yield Call(f"{method.name}: all", method.name, method.positional, {**needed, **everything})
    if "stream" in properties:
        yield Call(f"{method.name}: stream", method.name, method.positional, {**needed, "stream": True})


@cache
def _read(document: Path) -> dict[str, Any]:
    read: dict[str, Any] = yaml.load(document.read_bytes(), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    return read


def _body(document: dict[str, Any], method: Method) -> dict[str, Any] | None:
    content = document["paths"][method.path][method.verb].get("requestBody", {}).get("content", {})
    kinds = sorted(content, key=lambda kind: kind != "multipart/form-data")  # what the SDK sends where it may choose
    return content[kinds[0]]["schema"] if kinds else None


class _Maker:
    """Values that a schema allows."""

    def __init__(self, schemas: dict[str, Any]):
        self._schemas = schemas

    def fields(self, schema: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
        """Of an object: its properties, and which it must have."""
        schema = self._known(schema)
        properties, required = dict(schema.get("properties", {})), list(schema.get("required", ()))
        for part in schema.get("allOf", ()):
            more, needed = self.fields(part)
            properties |= more
            required += [name for name in needed if name not in required]
        return properties, required

    def value(self, schema: dict[str, Any], depth: int) -> Any:
        """One of them, with no more in it than it needs."""
        schema = self._known(schema)
        if depth > _DEEPEST:
            raise AssertionError("the document goes deeper than this")
        if "const" in schema:
            return schema["const"]
        if schema.get("enum"):
            return schema["enum"][0]
        for several in ("anyOf", "oneOf"):
            if schema.get(several):
                options = [part for part in schema[several] if self._known(part).get("type") != "null"]
                return self.value(options[0], depth)
        if "allOf" in schema or schema.get("type") == "object" or "properties" in schema:
            properties, required = self.fields(schema)
            if not properties and len(schema.get("allOf", ())) == 1:
                return self.value(schema["allOf"][0], depth)
            return {name: self.value(properties[name], depth + 1) for name in required if name in properties}
        match schema.get("type"):
            case "array":
                return [self.value(schema["items"], depth + 1)] * max(1, schema.get("minItems", 1))
            case "integer" | "number":
                return self._number(schema)
            case "boolean":
                return True
            case "string" if schema.get("format") in _BINARY:
                return FILE
            case "string" if schema.get("format") == "uri":
                return "https://example.com/a.png"
        return "string"

    @staticmethod
    def _number(schema: dict[str, Any]) -> int | float:
        least, most = schema.get("minimum"), schema.get("maximum")
        given: int | float = schema.get("default") or 1
        if least is not None and given < least:
            given = least
        return most if most is not None and given > most else given

    def _known(self, schema: dict[str, Any]) -> dict[str, Any]:
        while "$ref" in schema:
            schema = self._schemas[schema["$ref"].rpartition("/")[2]]
        return schema
