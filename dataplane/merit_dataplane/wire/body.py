"""A request's body, decoded, with errors that name the field."""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

import msgspec

from merit_dataplane.wire.errors import RequestError

_T = TypeVar("_T")
P = ParamSpec("P")


def decoded(decoder: msgspec.json.Decoder[_T], body: bytes | msgspec.Raw) -> _T:
    """What the decoder makes of it.

    Raises RequestError (400) when it is no JSON object, or a field has the wrong type.
    """
    try:
        return decoder.decode(body)
    except (ValueError, RecursionError) as error:
        raise undecodable(error) from None


def undecodable(error: ValueError | RecursionError) -> RequestError:
    """The refusal (400) of a body that is no JSON object, or in which a field has the wrong type."""
    if isinstance(error, msgspec.ValidationError):
        return RequestError(400, _words(str(error)), param=_param(str(error)))
    if isinstance(error, ValueError):
        return RequestError(400, f"The body is no JSON object: {error}")
    return RequestError(400, "The body is nested too deeply.")


def unreadable(error: ValueError | RecursionError) -> RequestError:
    """The refusal (400) of a body in which a value can't be: it is read when it is needed.

    A number beyond all floats, a key that is no UTF-8.
    """
    if isinstance(error, UnicodeDecodeError):
        return RequestError(400, "The body is no JSON: it has a text that is no UTF-8.")
    if isinstance(error, ValueError):
        return RequestError(400, f"The body has a value that can't be read: {error}")
    return RequestError(400, "The body is nested too deeply.")


def understood(read: Callable[P, _T], *args: P.args, **kwargs: P.kwargs) -> _T:
    """What `read` gives. Raises RequestError (400) where it meets a value that can't be."""
    try:
        return read(*args, **kwargs)
    except (ValueError, RecursionError) as error:
        raise unreadable(error) from None


def _param(message: str) -> str | None:
    """The field in msgspec's words `… - at `$.max_tokens``."""
    if "missing required field `" in message:
        return message.split("missing required field `", 1)[1].split("`", 1)[0]
    return message.split("`$.", 1)[1].split("`", 1)[0] if "`$." in message else None


def _words(message: str) -> str:
    param = _param(message)
    if "missing required field" in message:
        return f"Missing required parameter: '{param}'."
    reason = message.split(" - at", maxsplit=1)[0]
    return f"Invalid type for '{param}': {reason}." if param else f"Invalid request: {reason}."
