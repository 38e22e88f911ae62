"""Errors: what a vendor's status and words have to be to the client's SDK."""

import json
import re

from tests.fidelity.exchanges import Exchange
from tests.fidelity.heard import Heard
from tests.support.said.answer import Said

_OF_THE_PROVIDER = frozenset({401, 402, 403, 404, 407, 409})
"""The account's key, or a model that isn't there: nothing that the client could mend."""
_CLASSES = {
    400: "BadRequestError",
    413: ("APIStatusError", "RequestTooLargeError"),
    422: "UnprocessableEntityError",
    429: "RateLimitError",
    502: "InternalServerError",
}
_ANOTHER_STATUS = (
    (r"API key not valid", 401),
    (r"(?i)^The provided model identifier is invalid", 404),
    (r"(?i)^model '.*' (not found|was removed)", 404),
)
"""Where a vendor's 400 means another one: its own documents say so."""
_TOO_LONG = re.compile(
    r"(?i)prompt is too long|maximum context length|context window|too many tokens|input token count.*exceeds"
    r"|prompt too long|total length of all messages|Input Tokens Exceeded|Prompt contains \d+ tokens|token limit"
    r"|reduce the length of the messages"
)
_KINDS = {400: "invalid_request_error", 413: "request_too_large", 429: "rate_limit_error", 502: "api_error"}
"""Anthropic's types, by status."""


def meaning(exchange: Exchange, said: Said) -> int:
    """The status that the client has to get."""
    status = next((to for words, to in _ANOTHER_STATUS if re.search(words, said.error)), exchange.status)
    if status in _OF_THE_PROVIDER or status >= 500:
        return 502
    return status


def error_differences(exchange: Exchange, endpoint: str, said: Said, heard: Heard) -> list[str]:
    """Empty where the SDK raised what it should, with the vendor's words."""
    wanted, found = meaning(exchange, said), list[str]()
    if not heard.exception:
        return [f"no error for {exchange.status}"]
    if heard.status != wanted:
        found.append(f"status {heard.status} for {exchange.status}: {str(heard.error)[:200]}")
    if heard.exception not in _CLASSES.get(wanted, ()):
        found.append(f"{heard.exception} for {wanted}")
    message = str(heard.error.get("message") or "")
    if _plain(said.error)[:280] not in _plain(message):
        found.append(f"words {message[:200]!r} for {said.error[:200]!r}")
    lasting = wanted == 502 and exchange.status < 500
    if lasting and heard.headers.get("x-should-retry") != "false":
        found.append("the SDK would ask again")
    too_long = bool(_TOO_LONG.search(said.error)) and wanted in (400, 413, 422)
    if endpoint in ("messages", "count_tokens"):
        if heard.error.get("type") not in (_KINDS.get(wanted), "invalid_request_error" if wanted == 422 else None):
            found.append(f"type {heard.error.get('type')!r} for {wanted}")
        if too_long and "prompt is too long" not in message:
            found.append("nothing says that the prompt is too long")
    elif too_long and heard.error.get("code") != "context_length_exceeded":
        found.append(f"code {heard.error.get('code')!r} for a prompt that is too long")
    elif not isinstance(heard.error.get("type"), str):
        found.append(f"type {heard.error.get('type')!r}")
    return found


def stream_error_differences(said: Said, heard: Heard) -> list[str]:
    """The same of an error event within a stream."""
    if not heard.exception:
        return [f"no error for the event {said.error!r}"]
    told = json.dumps(heard.error)
    return [] if _plain(said.error) in _plain(told) else [f"words {told[:200]} for {said.error!r}"]


def _plain(text: str) -> str:
    """Without what quoting changes, and what is hidden of keys."""
    return re.sub(r"\\?\"|\s+|\S*\*\*\S*|\*\*\*", "", text)
