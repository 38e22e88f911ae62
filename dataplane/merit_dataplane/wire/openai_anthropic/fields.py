"""Fields of a request, read with an error that names them."""

from typing import Any

from merit_dataplane.wire.errors import RequestError


def invalid(param: str, message: str) -> RequestError:
    """400 for one field."""
    return RequestError(400, f"Invalid value for '{param}': {message}.", code="invalid_value", param=param)


def an_object(value: Any, param: str) -> dict[str, Any]:
    """`value` if it is an object. Raises RequestError (400)."""
    if not isinstance(value, dict):
        raise invalid(param, "must be an object")
    return value


def a_list(value: Any, param: str) -> list[Any]:
    """`value` if it is a list; an absent one is empty. Raises RequestError (400)."""
    if value is None:
        return []
    if not isinstance(value, list):
        raise invalid(param, "must be a list")
    return value


def a_string(value: Any, param: str) -> str:
    """`value` if it is a string. Raises RequestError (400)."""
    if not isinstance(value, str):
        raise invalid(param, "must be a string")
    return value
