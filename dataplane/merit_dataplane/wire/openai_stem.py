"""An answer of which a model wrote only the rest: the client gets it whole, in one."""

from typing import Any, NamedTuple

import msgspec

from merit_dataplane.wire.openai_response import decoded
from merit_dataplane.wire.openai_splice import Splice

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


class Joined(NamedTuple):
    """A whole answer with its beginning."""

    body: bytes
    repeats: bool
    """The model has said the beginning once more: it was written, and paid for."""


def whole_with(body: bytes, stem: str, tokens: int) -> Joined | None:
    """None where it has nothing that the beginning could be put before."""
    fields = decoded(body)
    try:
        choice = _only_choice(fields)
        message = choice["message"]
        text = message.get("content") or ""
        if message.get("tool_calls") or message.get("refusal") or not isinstance(text, str) or fields is None:
            return None
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    repeats = text.startswith(stem)
    if repeats:
        text = text[len(stem) :]
    for thought in ("reasoning_content", "reasoning", "reasoning_details"):
        message.pop(thought, None)
    made: dict[str, Any] = fields | {
        "choices": [choice | {"message": message | {"content": stem + text}}],
        "merit": _mark(tokens),
    }
    return Joined(_encode(made), repeats)


class Begun(Splice):
    """A stream with its beginning: an event of its own, before the first one of the rest."""

    def __init__(self, stem: str, tokens: int):
        super().__init__(stem, {}, {}, anew=False, echoes=True)
        self._stem, self._tokens, self._begun = stem, tokens, False
        self.repeats = False
        """As of a whole answer."""

    def feed(self, data: bytes) -> bytes:
        """Whole events of the rest in, the client's out."""
        first = b"" if self._begun else self._first(data)
        return first + super().feed(data)

    def _first(self, data: bytes) -> bytes:
        for line in data.splitlines():
            if line.startswith(b"data: {") and (event := decoded(line[6:])) is not None and "choices" in event:
                self._begun = True
                made: dict[str, Any] = {name: value for name, value in event.items() if name != "usage"}
                delta = {"role": "assistant", "content": self._stem}
                made |= {"choices": [{"index": 0, "delta": delta, "finish_reason": None}], "merit": _mark(self._tokens)}
                return b"data: " + _encode(made) + b"\n\n"
        return b""

    def _new(self, text: str, *, ends: bool) -> str:
        waited = self._left
        new = super()._new(text, ends=ends)
        if waited and not self._left and text.startswith(waited):
            self.repeats = True
        return new


def _only_choice(fields: dict[str, msgspec.Raw] | None) -> dict[str, Any]:
    """Raises ValueError, KeyError, TypeError."""
    if fields is None:
        raise ValueError("no answer")
    (choice,) = _decode(fields["choices"])
    return dict(choice)


def _mark(tokens: int) -> dict[str, Any]:
    return {"stem": {"tokens": tokens}}


def text_of(body: bytes) -> str:
    """The text of a whole answer; empty for one that says anything else, or was cut off by a filter."""
    fields = decoded(body)
    try:
        choice = _only_choice(fields)
        message = choice["message"]
        text = message.get("content")
        if message.get("tool_calls") or message.get("refusal") or not isinstance(text, str):
            return ""
        return text if choice.get("finish_reason") in {"stop", "length"} else ""
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return ""
