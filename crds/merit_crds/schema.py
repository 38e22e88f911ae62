"""pydantic models to structural OpenAPI v3, as a CustomResourceDefinition wants it.

References are put in place, `anyOf [X, null]` becomes X, titles and defaults go: the API server neither writes into a
spec nor knows pydantic.
"""

from typing import Any

from pydantic import BaseModel

_KEPT = (
    "type",
    "format",
    "description",
    "enum",
    "pattern",
    "minLength",
    "maxLength",
    "minimum",
    "maximum",
    "minItems",
    "maxItems",
    "required",
)
Schema = dict[str, Any]


def structural(model: type[BaseModel]) -> Schema:
    """The structural schema of a model."""
    document = model.model_json_schema(by_alias=True)
    return _convert(document, document.get("$defs", {}))


def _convert(node: Schema, definitions: dict[str, Schema]) -> Schema:
    node = _resolved(node, definitions)
    made: Schema = {key: node[key] for key in _KEPT if key in node}
    if "const" in node:
        made["enum"] = [node["const"]]
    if made.get("enum") and "type" not in made:
        made["type"] = "string"
    if made.get("type") == "integer":
        made["format"] = "int64"
    if "properties" in node:
        made["type"] = "object"
        made["properties"] = {name: _convert(child, definitions) for name, child in sorted(node["properties"].items())}
    if "items" in node:
        made["items"] = _convert(node["items"], definitions)
        _bound_enum(made["items"])
    made |= {key: value for key, value in node.items() if key.startswith("x-kubernetes-")}
    if "required" in made:
        made["required"] = sorted(made["required"])
    return dict(sorted(made.items()))


def _bound_enum(items: Schema) -> None:
    """The cost of a rule over a list of enums is estimated by their length."""
    if "enum" in items:
        items["maxLength"] = max(len(value) for value in items["enum"])


def _resolved(node: Schema, definitions: dict[str, Schema]) -> Schema:
    """References and `anyOf [X, null]` replaced by what they mean; what stands beside them wins."""
    while True:
        beside = {k: v for k, v in node.items() if k not in ("$ref", "anyOf", "allOf")}
        if "$ref" in node:
            node = {**definitions[node["$ref"].rsplit("/", 1)[1]], **beside}
        elif "anyOf" in node:
            (real,) = [option for option in node["anyOf"] if option.get("type") != "null"]
            node = {**real, **beside}
        else:
            return node


def unbounded(schema: Schema, path: str = "spec") -> list[str]:
    """Paths of strings, lists and numbers without a bound: they make rules too dear for the API server."""
    found = []
    kind = schema.get("type")
    if kind == "string" and "maxLength" not in schema and "enum" not in schema and schema.get("format") != "date-time":
        found.append(path)
    if kind == "integer" and "maximum" not in schema and not path.endswith("bservedGeneration"):
        found.append(path)
    if kind == "array":
        if "maxItems" not in schema:
            found.append(path)
        found += unbounded(schema["items"], f"{path}[]")
    for name, child in schema.get("properties", {}).items():
        found += unbounded(child, f"{path}.{name}")
    return found
