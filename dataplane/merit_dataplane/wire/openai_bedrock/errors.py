"""Bedrock's exceptions in OpenAI's words.

Which one it is stands in the header `x-amzn-errortype`, in the body's `__type`, or in a stream's `:exception-type`:
https://docs.aws.amazon.com/bedrock/latest/APIReference/CommonErrors.html
"""

import re
from collections.abc import Callable
from typing import NamedTuple

import msgspec

from merit_dataplane.wire.errors import error_body

_TOO_LONG = re.compile(
    r"(?i)input tokens exceeded|input is too long|prompt is too long|too many (input )?tokens for"
    r"|maximum context length|exceeds? the (model'?s )?(maximum|max) (context|input|number of)|context window"
)
_UNKNOWN_MODEL = re.compile(r"(?i)model identifier is invalid|could not resolve the foundation model")
_SKEWED = re.compile(r"(?i)signature (expired|not yet current)|too skewed|request has expired")


class _Meaning(NamedTuple):
    status: int
    type: str
    code: str | None = None


_INVALID, _SERVER = "invalid_request_error", "server_error"
_MEANINGS = {
    "ValidationException": _Meaning(400, _INVALID),
    "AccessDeniedException": _Meaning(403, _INVALID, "access_denied"),
    "UnrecognizedClientException": _Meaning(401, _INVALID, "invalid_api_key"),
    "InvalidSignatureException": _Meaning(401, _INVALID, "invalid_api_key"),
    "IncompleteSignature": _Meaning(401, _INVALID, "invalid_api_key"),
    "InvalidClientTokenId": _Meaning(401, _INVALID, "invalid_api_key"),
    "MissingAuthenticationTokenException": _Meaning(401, _INVALID, "invalid_api_key"),
    "ExpiredTokenException": _Meaning(401, _INVALID, "expired_token"),
    "OptInRequired": _Meaning(403, _INVALID, "access_denied"),
    "ResourceNotFoundException": _Meaning(404, _INVALID, "model_not_found"),
    "ThrottlingException": _Meaning(429, "requests", "rate_limit_exceeded"),
    "ServiceQuotaExceededException": _Meaning(429, "requests", "rate_limit_exceeded"),
    "ModelNotReadyException": _Meaning(503, _SERVER, "model_not_ready"),
    "ModelTimeoutException": _Meaning(504, _SERVER, "timeout"),
    "ModelErrorException": _Meaning(502, _SERVER, "model_error"),
    "ModelStreamErrorException": _Meaning(502, _SERVER, "model_error"),
    "InternalServerException": _Meaning(500, _SERVER),
    "InternalFailure": _Meaning(500, _SERVER),
    "ServiceUnavailableException": _Meaning(503, _SERVER, "overloaded"),
}


class _Body(msgspec.Struct):
    message: str | None = None
    capital: str | None = msgspec.field(default=None, name="Message")
    kind: str | None = msgspec.field(default=None, name="__type")


_body = msgspec.json.Decoder(_Body)


def exception_name(header: str | None, body: bytes = b"") -> str:
    """`ThrottlingException` of `x-amzn-errortype` or of the body; empty where neither says it."""
    given = header or ""
    if not given:
        try:
            given = _body.decode(body).kind or ""
        except (ValueError, RecursionError):
            return ""
    name = given.split(":", 1)[0].rsplit("#", 1)[-1].strip()
    return name[:1].upper() + name[1:]


def error_answer(body: bytes, status: int, header: str | None = None) -> tuple[int, bytes]:
    """Status and OpenAI's error body, with Bedrock's words. `header`: `x-amzn-errortype`.

    A body that is no error of Bedrock's stays as it is.
    """
    try:
        given = _body.decode(body)
    except (ValueError, RecursionError):
        return status, body
    words = given.message or given.capital or ""
    name = exception_name(header, body)
    if not words and not name:
        return status, body
    meaning, made = _meant(name, words, status)
    return meaning.status, made


def bedrock_error(
    status: int, body: bytes, header: Callable[[str], str | None]
) -> tuple[int, bytes, float | None, str]:
    """As a dialect asks for it: see `Refusal`."""
    told, made = error_answer(body, status, header("x-amzn-errortype"))
    return told, made, None, _words(body)


def _words(body: bytes) -> str:
    try:
        given = _body.decode(body)
    except (ValueError, RecursionError):
        return ""
    return given.message or given.capital or ""


def error_event(name: str, words: str) -> bytes:
    """OpenAI's error body for an exception within a stream."""
    return _meant(exception_name(name), words, 500)[1]


def clock_is_wrong(words: str) -> bool:
    """Whether Amazon refused a signature for its time."""
    return _SKEWED.search(words) is not None


def _meant(name: str, words: str, status: int) -> tuple[_Meaning, bytes]:
    known = _MEANINGS.get(name)
    meaning = known or _Meaning(status, _INVALID if status < 500 else _SERVER)
    code: str | None
    if meaning.status == 400 and _TOO_LONG.search(words):
        code = "context_length_exceeded"
    elif meaning.status == 400 and _UNKNOWN_MODEL.search(words):
        meaning, code = _MEANINGS["ResourceNotFoundException"], "model_not_found"
    elif clock_is_wrong(words):
        code = "clock_skew"
    else:
        code = meaning.code or name or None
    kind = "tokens" if meaning.status == 429 and "token" in words.lower() else meaning.type
    return meaning, error_body(words or name, kind=kind, code=code)
