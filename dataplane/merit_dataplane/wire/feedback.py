"""The body of `POST /v1/feedback`: `{"id": "req_…", "score": 1}`."""

from typing import Any, NamedTuple

import msgspec

from merit_dataplane.wire.errors import RequestError

_FIELDS = ("id", "score", "name", "comment")
_EXAMPLE = '{"id": "req_…", "score": 1}'
_LONGEST_ID = 256


class Feedback(NamedTuple):
    """How well one answer did."""

    id: str
    score: float
    """From 0, an escalated ticket, to 1, a resolved one."""


def parse_feedback(body: bytes) -> Feedback:
    """`name` and `comment` are taken, and not kept. Raises RequestError (400) that names field, value and fix."""
    try:
        fields = msgspec.json.decode(body)
    except (ValueError, RecursionError):
        fields = None
    if not isinstance(fields, dict):
        raise RequestError(400, f"The body must be a JSON object such as {_EXAMPLE}.", code="invalid_feedback")
    for name in fields:
        if name not in _FIELDS:
            raise _wrong(name[:64], fields[name], f"is no field; fields are {', '.join(_FIELDS)}")
    answer, score = fields.get("id"), fields.get("score")
    if not isinstance(answer, str) or not 0 < len(answer) <= _LONGEST_ID:
        raise _wrong("id", answer, "must be a string: the `x-merit-request-id` of the answer")
    if isinstance(score, bool) or not isinstance(score, int | float) or not 0 <= score <= 1:
        raise _wrong("score", score, "must be a number from 0 to 1, such as 1 for a resolved ticket")
    for name in ("name", "comment"):
        if not isinstance(fields.get(name), str | None):
            raise _wrong(name, fields[name], "must be a string")
    return Feedback(answer, float(score))


def _wrong(name: str, value: Any, fix: str) -> RequestError:
    shown = msgspec.json.encode(value).decode()
    shown = shown if len(shown) <= 64 else shown[:64] + "…"
    return RequestError(400, f"{name}: {fix} (is {shown}).", code="invalid_feedback", param=name)
