"""JSON Schemas, without the keywords that Gemini refuses.

What it knows: https://ai.google.dev/api/generate-content#FIELDS.response_json_schema
"""

from typing import Any

_DEEPEST = 64
_VALUES = frozenset(
    {
        "$id", "$ref", "$anchor", "type", "format", "title", "description", "enum", "minItems", "maxItems", "minimum",
        "maximum", "required", "propertyOrdering", "pattern", "minLength", "maxLength", "nullable", "default",
    }
)  # fmt: skip
_SCHEMAS = frozenset({"items", "additionalProperties"})
_LISTS = frozenset({"prefixItems", "anyOf", "oneOf"})
_TABLES = frozenset({"properties", "$defs"})


def cleaned(schema: Any, depth: int = 0) -> Any:
    """The schema as Gemini takes it: `const` as an enum, `allOf` as one, `definitions` as `$defs`; the rest of what it
    doesn't know is left out, and the answer is then held to less than was asked."""
    if not isinstance(schema, dict) or depth > _DEEPEST:
        return schema if isinstance(schema, bool) else {}
    if isinstance(schema.get("$ref"), str):  # beside it nothing may stand that has no $
        made = {"$ref": schema["$ref"].replace("#/definitions/", "#/$defs/")}
        defs = schema.get("$defs")
        return made | ({"$defs": _table(defs, depth)} if isinstance(defs, dict) else {})
    made, every = {}, schema.get("allOf")
    for part in every if isinstance(every, list) else ():
        made = _joined(made, cleaned(part, depth + 1))
    for name, value in schema.items():
        made = _joined(made, _keyword(name, value, depth))
    return made


def _keyword(name: str, value: Any, depth: int) -> dict[str, Any]:
    if name in _VALUES:
        return {name: value}
    if name in _SCHEMAS:
        return {name: cleaned(value, depth + 1)}
    if name in _LISTS and isinstance(value, list):
        return {name: [cleaned(inner, depth + 1) for inner in value]}
    if (name in _TABLES or name == "definitions") and isinstance(value, dict):
        return {"$defs" if name == "definitions" else name: _table(value, depth)}
    if name == "const":
        return {"enum": [value]}
    return {}


def _table(schemas: dict[str, Any], depth: int) -> dict[str, Any]:
    return {name: cleaned(inner, depth + 1) for name, inner in schemas.items()}


def _joined(one: dict[str, Any], other: Any) -> dict[str, Any]:
    if not isinstance(other, dict):
        return one
    made = one | other
    for name in ("properties", "$defs"):
        if isinstance(one.get(name), dict) and isinstance(other.get(name), dict):
            made[name] = one[name] | other[name]
    if isinstance(one.get("required"), list) and isinstance(other.get("required"), list):
        made["required"] = [*one["required"], *(n for n in other["required"] if n not in one["required"])]
    return made
