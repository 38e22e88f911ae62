"""Errors that are not in OpenAI's shape, or don't say in its words that a prompt is too long."""

import re
from typing import Any

import msgspec

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(dict[str, Any]).decode
_TOO_LONG = re.compile(
    r"(?i)maximum context length|context[ _]length|context window|prompt too long|too_many_prompt_tokens"
    r"|total length of all messages|prompt contains [0-9]+ tokens|exceeds the model'?s? max"
)
_KINDS = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}
_CODE = "context_length_exceeded"


def openai_error(status: int, body: bytes) -> bytes:
    """The body in OpenAI's shape with the vendor's words. One that is in it already, and what is none, stays."""
    try:
        given = _decode(body)
    except (ValueError, RecursionError):
        return body
    error = given.get("error")
    if not isinstance(error, dict):
        message = _words(error) or _words(given.get("message")) or _words(given.get("detail"))
        if not message:
            return body
        error = {"message": message, "type": given.get("type"), "param": given.get("param"), "code": given.get("code")}
    elif not isinstance(error.get("message"), str):
        return body
    changed = error is not given.get("error")
    if not isinstance(error.get("type"), str):
        error["type"] = _KINDS.get(status, "server_error" if status >= 500 else "invalid_request_error")
        changed = True
    if (
        status in (400, 413, 422)
        and error.get("code") != _CODE
        and _TOO_LONG.search(f"{error['message']} {error['type']}")
    ):
        error["code"] = _CODE
        changed = True
    return _encode({"error": error}) if changed else body


def _words(given: Any) -> str:
    """Of a string, of FastAPI's list of faults, of an object that has some."""
    if isinstance(given, str):
        return given
    if isinstance(given, dict):
        return _words(given.get("message")) or _words(given.get("detail"))
    if isinstance(given, list):
        return "; ".join(
            f"{'.'.join(map(str, fault.get('loc', ())))}: {fault['msg']}" if isinstance(fault.get("loc"), list)
            else str(fault["msg"])
            for fault in given
            if isinstance(fault, dict) and "msg" in fault
        )  # fmt: skip
    return ""
