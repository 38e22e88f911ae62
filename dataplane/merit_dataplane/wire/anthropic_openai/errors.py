"""Errors as Anthropic words them: https://docs.anthropic.com/en/api/errors."""

from typing import Any

import msgspec

from merit_dataplane.wire.chat_chunks import ABSENT
from merit_dataplane.wire.passenger import PASSENGER

_KINDS = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    405: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}
_TOO_LONG = "prompt is too long"
"""Anthropic's words, by which its clients know that they have to shorten a conversation."""
_LONGEST = 2000
"""Bytes of a body that is no JSON which are told."""
_encode = msgspec.json.Encoder().encode


class _Told(msgspec.Struct):
    message: str = ""
    code: Any = None
    param: Any = None


class _Body(msgspec.Struct):
    error: _Told | str | None = None
    message: str | None = None
    native: msgspec.Raw = msgspec.field(default=ABSENT, name=PASSENGER)


_body = msgspec.json.Decoder(_Body)


def error_body(body: bytes, status: int, request: str) -> bytes:
    """Of an error in OpenAI's shape, or in one that its vendor made up; its words are kept. `request`: the id."""
    words = body[:_LONGEST].decode(errors="replace") or f"The provider answered {status}."
    try:
        read = _body.decode(body)
    except (ValueError, RecursionError):
        return _error(status, words, request=request)
    if read.native is not ABSENT:
        return bytes(read.native)
    told = read.error
    if not isinstance(told, _Told):
        return _error(status, told or read.message or words, request=request)
    code, param = (value if isinstance(value, str) else None for value in (told.code, told.param))
    return _error(status, told.message or words, code=code, param=param, request=request)


def _error(
    status: int, message: str, *, code: str | None = None, param: str | None = None, request: str | None = None
) -> bytes:
    if code == "context_length_exceeded" and _TOO_LONG not in message:
        message = f"{_TOO_LONG}: {message}"
    error: dict[str, Any] = {"type": kind_of(status), "message": message}
    error |= {name: value for name, value in (("code", code), ("param", param)) if value is not None}
    made: dict[str, Any] = {"type": "error", "error": error}
    return _encode(made | {"request_id": request} if request else made)


def kind_of(status: int) -> str:
    """Anthropic's type of an error."""
    return _KINDS.get(status, "invalid_request_error" if status < 500 else "api_error")


def error_event(message: str, status: int = 500, code: str | None = None) -> bytes:
    """The event that ends a stream which has gone wrong."""
    return b"event: error\ndata: " + _error(status, message, code=code) + b"\n\n"
