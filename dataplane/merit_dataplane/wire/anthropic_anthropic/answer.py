"""A whole answer, and an error, of Anthropic's for a client of Anthropic's."""

import msgspec

from merit_crds.pricing import Usage
from merit_dataplane.wire.openai_anthropic.answer import answer_body, error_answer
from merit_dataplane.wire.openai_response import usage_of
from merit_dataplane.wire.passenger import beside


def passed_answer(body: bytes, created: int) -> tuple[bytes, Usage | None]:
    """The message beside its translation. Raises ValueError when it is none."""
    translated = answer_body(body, created)
    return beside(translated, body), usage_of(translated)


class _Marked(msgspec.Struct):
    type: str = ""


_marked = msgspec.json.Decoder(_Marked)


def passed_error(body: bytes) -> bytes:
    """The error beside its translation; what is none of Anthropic's stays as it is."""
    try:
        if _marked.decode(body).type != "error":
            return body
    except (ValueError, RecursionError):
        return body
    translated = error_answer(body)
    return body if translated is body else beside(translated, body)
