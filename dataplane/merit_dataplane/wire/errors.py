"""Errors that a client sees, in OpenAI's shape.

RequestError
  400 invalid_request_error   the request is no valid JSON, or a field has the wrong type
  401 invalid_api_key         no key, or one that no Consumer has
  404 model_not_found         no route of this consumer has this model name
  413 request_too_large
  429, 5xx                    what the last attempt met, once every candidate has failed
"""

import msgspec

_encode = msgspec.json.Encoder().encode


class RequestError(Exception):
    """Ends a request with an OpenAI error body."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        kind: str = "invalid_request_error",
        code: str | None = None,
        param: str | None = None,
        headers: tuple[tuple[bytes, bytes], ...] = (),
    ):
        super().__init__(message)
        self.status = status
        self.kind = kind
        self.code = code
        self.param = param
        self.headers = headers

    def body(self) -> bytes:
        """The JSON body."""
        return error_body(str(self), kind=self.kind, code=self.code, param=self.param)


def error_body(message: str, *, kind: str, code: str | None = None, param: str | None = None) -> bytes:
    """OpenAI's error object as JSON."""
    return _encode({"error": {"message": message, "type": kind, "param": param, "code": code}})


def invalid_key() -> RequestError:
    """The same words for a missing and for a wrong key."""
    return RequestError(
        401,
        "Incorrect or missing API key. Send the key of a Consumer as 'Authorization: Bearer KEY' or 'x-api-key: KEY'.",
        code="invalid_api_key",
    )


def model_not_found(model: str, *, param: str = "model") -> RequestError:
    """No route of this consumer answers to this name."""
    shown = model if len(model) <= 128 else model[:128] + "…"
    return RequestError(
        404,
        f"The model {shown!r} does not exist or you do not have access to it. GET /v1/models lists yours.",
        code="model_not_found",
        param=param,
    )
