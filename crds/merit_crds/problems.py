"""What is wrong with a resource, in words that name the field, the value and the fix."""

import difflib
import json
from collections.abc import Mapping
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
}
_SHOWN = 60


class Problem(msgspec.Struct, frozen=True):
    """One fault of one field."""

    path: tuple[str | int, ...]
    """Path under the document's root, e.g. ("spec", "tiers", 0, "name")."""
    reason: str
    """What is wrong and how to fix it."""
    value: str = ""
    """The value as JSON, shortened; empty where there is none."""

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
    try:
        return SPECS[resource.id.kind].model_validate(_tuples(resource.spec), strict=True)
    except ValidationError as error:
        return [_problem(SPECS[resource.id.kind], e) for e in error.errors(include_url=False)]


def _tuples(value: Any) -> Any:
    """Lists as tuples: strict validation takes no list for a tuple."""
    if isinstance(value, list | tuple):
        return tuple(_tuples(v) for v in value)
    if isinstance(value, Mapping):
        return {k: _tuples(v) for k, v in value.items()}
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
    return Problem(path=path, reason=reason, value=_shown(error["input"]))


def _fields(model: type[BaseModel], path: tuple[str | int, ...]) -> list[str]:
    """Names of the fields that are possible at a path."""
    schema = model.model_json_schema()
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


def _shown(value: Any) -> str:
    try:
        text = json.dumps(value, default=str)
    except (TypeError, ValueError):
        text = repr(value)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
