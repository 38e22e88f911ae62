"""Errors as OpenAI words them."""

import msgspec

_INVALID = "invalid_request_error"
_KINDS = {
    401: (_INVALID, "invalid_api_key"),
    403: (_INVALID, "unsupported_country_region_territory"),
    404: (_INVALID, "model_not_found"),
    429: ("requests", "rate_limit_exceeded"),
}


class Refusal(Exception):  # noqa: N818 # not a fault of this program: the answer that it gives
    """The request is answered with an error."""

    def __init__(self, status: int, message: str, code: str | None = None):
        super().__init__(message)
        self.status = status
        self.body = error_body(status, message, code)


def error_body(status: int, message: str, code: str | None = None) -> bytes:
    """The body of an error. `code` overrides the one that is usual for the status."""
    kind, usual = _KINDS.get(status, (_INVALID if status < 500 else "server_error", None))
    error = {"message": message, "type": kind, "param": None, "code": code or usual}
    return msgspec.json.encode({"error": error})


def wrong_key(key: str) -> Refusal:
    """No key, or one that isn't accepted; the key is shown masked, as OpenAI does."""
    if not key:
        return Refusal(401, "You didn't provide an API key: send it as Authorization: Bearer YOUR_KEY.")
    shown = f"{key[:3]}***{key[-3:]}" if len(key) > 12 else "***"
    message = f"Incorrect API key provided: {shown}. You can find your API key at"
    return Refusal(401, f"{message} https://platform.openai.com/account/api-keys.")


def unknown_model(model: str) -> Refusal:
    """A model that this vendor doesn't have."""
    return Refusal(404, f"The model `{model}` does not exist or you do not have access to it.")


def prefix_refused() -> Refusal:
    """A model that does not go on from the beginning of an answer."""
    return Refusal(400, "This model does not support assistant message prefill: end with a user message.")


def unknown_url(method: str, path: str) -> Refusal:
    """A path that this vendor doesn't have."""
    return Refusal(404, f"Unknown request URL: {method} {path}.", "unknown_url")
