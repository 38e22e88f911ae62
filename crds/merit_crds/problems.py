"""What is wrong with a resource, in words that name the field, the value and the fix."""

import difflib
import json
import re
from collections.abc import Mapping
from functools import cache
from typing import Any

import msgspec
from pydantic import BaseModel, ValidationError

from merit_crds.resources import Resource
from merit_crds.v1alpha1 import SPECS

_WORDS = {
    "missing": "is required: add it",
    "string_type": "must be a string: put it in quotes",
    "int_type": "must be a whole number without quotes",
    "tuple_type": "must be a list",
    "model_type": "must be a mapping",
    "model_attributes_type": "must be a mapping",
    "too_short": "must have at least {min_length} entries",
    "too_long": "must have at most {max_length} entries",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "literal_error": "must be one of {expected}",
    "invalid_key": "has a name that is no string: put it in quotes",
}
_SECRET_FIELDS = {"credentials", "apiKeys"}
"""Values there, and those of headers, are never shown: people write keys into them."""
_SHOWN = 60


class Problem(msgspec.Struct, frozen=True):
    """One fault of one field."""

    path: tuple[str | int, ...]
    """Path under the document's root, e.g. ("spec", "tiers", 0, "name")."""
    reason: str
    """What is wrong and how to fix it."""
    value: str = ""
    """The value as JSON, shortened; empty where there is none, or none that may be shown."""

    @property
    def field(self) -> str:
        """The path as users write it: `spec.tiers[0].name`."""
        text = ""
        for step in self.path:
            text += f"[{step}]" if isinstance(step, int) else (f".{step}" if text else step)
        return text

    def __str__(self) -> str:
        shown = f" (is {self.value})" if self.value else ""
        return f"{self.field}: {self.reason}{shown}"


def line_of(resource: Resource, problem: Problem) -> int:
    """Line of the problem's field, or of the nearest field above it that is in the file; 0 where unknown."""
    for end in range(len(problem.path), -1, -1):
        line = resource.lines.get(problem.path[:end])
        if line is not None:
            return line
    return 0


def check_spec(resource: Resource) -> BaseModel | list[Problem]:
    """The resource's typed spec, or everything that is wrong with it."""
    model = SPECS[resource.id.kind]
    if resource.spec is None:
        return [Problem(path=("spec",), reason=_WORDS["missing"])]
    try:
        return model.model_validate(_normal(resource.spec), strict=True)
    except ValidationError as error:
        errors = error.errors(include_url=False)
        return [_problem(model, e) for e in errors if not _follows(e, errors)]
    except RecursionError:
        return [Problem(path=("spec",), reason="is nested too deep")]


def _follows(error: Any, errors: list[Any]) -> bool:
    """A list is too short for pydantic when its entries are wrong: that is said of the entries, and enough."""
    path = error["loc"]
    return error["type"] == "too_short" and any(e["loc"][: len(path)] == path and e is not error for e in errors)


def _normal(value: Any) -> Any:
    """Lists as tuples, since strict validation takes no list for one; without nulls, as the API server prunes them."""
    if isinstance(value, list | tuple):
        return tuple(_normal(v) for v in value)
    if isinstance(value, Mapping):
        return {k: _normal(v) for k, v in value.items() if v is not None}
    return value


def _problem(model: type[BaseModel], error: Any) -> Problem:
    kind, context = error["type"], error.get("ctx", {})
    path = ("spec", *error["loc"])
    if kind == "extra_forbidden":
        close = difflib.get_close_matches(str(error["loc"][-1]), _fields(model, error["loc"][:-1]), n=1)
        fix = f"did you mean {close[0]!r}?" if close else "remove it"
        return Problem(path=path, reason=f"is not a field of this resource: {fix}")
    if kind == "missing":
        return Problem(path=path, reason=_WORDS[kind])
    words = _WORDS.get(kind)
    reason = words.format_map({k: str(v) for k, v in context.items()}) if words else str(error["msg"])
    reason = reason.replace(" 1 entries", " 1 entry")
    hidden = not _SECRET_FIELDS.isdisjoint(path) or path[-1] == "value"
    return Problem(path=path, reason=reason, value="" if hidden else shown(error["input"]))


@cache
def _schema(model: type[BaseModel]) -> dict[str, Any]:
    return model.model_json_schema()


def _fields(model: type[BaseModel], path: tuple[str | int, ...]) -> list[str]:
    """Names of the fields that are possible at a path."""
    schema = _schema(model)
    node = schema
    for step in path:
        node = _resolve(schema, node)
        node = node.get("items", {}) if isinstance(step, int) else node.get("properties", {}).get(step, {})
    return list(_resolve(schema, node).get("properties", {}))


def _resolve(schema: dict[str, Any], node: dict[str, Any]) -> dict[str, Any]:
    for option in [node, *node.get("anyOf", [])]:
        if "$ref" in option:
            return dict(schema["$defs"][option["$ref"].rsplit("/", 1)[1]])
    return node


def shown(value: Any) -> str:
    """A single value as short JSON; empty for a list or a mapping, whose fields have names of their own."""
    if isinstance(value, list | tuple | Mapping):
        return ""
    text = re.sub(r"(://)[^/@]*@", r"\1***@", json.dumps(value, default=str))
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
