"""Errors: google.rpc.Status in OpenAI's words.

https://cloud.google.com/apis/design/errors
"""

import re
from typing import Any, NamedTuple

import msgspec

from merit_dataplane.wire.errors import error_body

_KINDS = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}
_TOO_LONG = re.compile(r"(?i)token count.{0,40}exceeds the maximum|exceeds the maximum number of tokens")
_OF_THE_KEY = frozenset({"API_KEY_INVALID", "API_KEY_EXPIRED", "API_KEY_SERVICE_BLOCKED"})
_DELAY = re.compile(r"([0-9]+(?:\.[0-9]+)?)s")


class GoogleError(msgspec.Struct):
    """What went wrong."""

    code: int = 0
    message: str = ""
    status: str = ""
    details: list[dict[str, Any]] = msgspec.field(default_factory=list)


class _Body(msgspec.Struct):
    error: GoogleError


class Read(NamedTuple):
    """An error, understood."""

    status: int
    body: bytes
    retry_after: float | None


_body = msgspec.json.Decoder(_Body | list[_Body])


def error_in(body: bytes) -> GoogleError | None:
    """The error that a body is; None when it is none of Google's."""
    try:
        given = _body.decode(body)
        error = given[0].error if isinstance(given, list) else given.error
    except (ValueError, RecursionError, IndexError):
        return None
    return error if error.status or error.code else None


def read_error(status: int, body: bytes) -> Read:
    """OpenAI's error with Google's words; a body that is no error of Google's stays as it is."""
    error = error_in(body)
    if error is None:
        return Read(status, body, None)
    reasons = {str(detail.get("reason")) for detail in error.details}
    if status == 400 and (not _OF_THE_KEY.isdisjoint(reasons) or "API key not valid" in error.message):
        status = 401
    elif status == 400 and error.status == "FAILED_PRECONDITION":
        status = 403  # where the account may be used from, or that it isn't paid for
    return Read(status, said(error, status), _retry_after(error))


def said(error: GoogleError, status: int) -> bytes:
    """OpenAI's error body."""
    kind = _KINDS.get(status, "server_error" if status >= 500 else "invalid_request_error")
    code = "context_length_exceeded" if _TOO_LONG.search(error.message) else error.status.lower() or None
    return error_body(error.message, kind=kind, code=code)


def _retry_after(error: GoogleError) -> float | None:
    for detail in error.details:
        if str(detail.get("@type")).endswith("RetryInfo") and (
            found := _DELAY.fullmatch(str(detail.get("retryDelay")))
        ):
            return float(found[1])
    return None
