"""The stream of another attempt as the rest of an answer that a client has the beginning of.

Its events get the identity of the first stream; what the client already has is left out. Thoughts are too: they are
of another mind than the text.
"""

from typing import Any

import msgspec

from merit_dataplane.wire.openai_response import decoded

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode
_THOUGHTS = ("reasoning_content", "reasoning", "reasoning_details")
_IDENTITY = ("id", "created")


def identity_of(stream: bytes) -> dict[str, msgspec.Raw]:
    """What all events of a stream have in common, from its first ones."""
    for line in stream.splitlines():
        if line.startswith(b"data: {") and (event := decoded(line[6:])) is not None:
            return {name: event[name] for name in _IDENTITY if name in event}
    return {}


class Splice:
    """One seam. `has`: the text that the client has."""

    def __init__(
        self,
        has: str,
        identity: dict[str, msgspec.Raw],
        mark: dict[str, str],
        *,
        anew: bool,
        echoes: bool = False,
        trimmed: str = "",
    ):
        self._identity, self._mark, self._anew = identity, mark, anew
        self._left = has if anew or echoes else trimmed
        """What may come once more, as far as it hasn't."""
        self._kept = ""
        """What has come of it, in case it is no repetition."""
        self._pieces = [has]
        self.diverged = False
        """The new answer begins otherwise than the client's."""

    @property
    def text(self) -> str:
        """All that the client has."""
        self._pieces = ["".join(self._pieces)]
        return self._pieces[0]

    def feed(self, data: bytes) -> bytes:
        """Whole events of the new stream in, the client's out."""
        out = []
        for event in data.replace(b"\r\n", b"\n").split(b"\n\n"):
            if not event:
                continue
            fields = decoded(event[6:]) if event.startswith(b"data: {") else None
            if fields is None:
                out.append(event + b"\n\n")
                continue
            made = self._event(fields)
            if self.diverged:
                break
            if made is not None:
                out.append(b"data: " + _encode(made) + b"\n\n")
        return b"".join(out)

    def _event(self, fields: dict[str, msgspec.Raw]) -> dict[str, Any] | None:
        made: dict[str, Any] = fields | self._identity
        choices = _decode(fields["choices"]) if "choices" in fields else None
        if not choices:
            return made
        choice = choices[0]
        delta = choice.get("delta") or {}
        delta = {name: value for name, value in delta.items() if name != "role" and name not in _THOUGHTS}
        ends = choice.get("finish_reason") is not None
        text = self._new(delta.get("content") or "", ends=ends or bool(delta.get("tool_calls")))
        if self.diverged:
            return None
        if text:
            delta["content"] = text
            self._pieces.append(text)
        else:
            delta.pop("content", None)
        if not delta and not ends:
            return None
        made["choices"] = [choice | {"delta": delta}]
        if self._mark:
            made["merit"], self._mark = self._mark, {}
        return made

    def _new(self, text: str, *, ends: bool) -> str:
        """What of a piece the client does not have."""
        if not self._left:
            return text
        if len(text) < len(self._left) and self._left.startswith(text) and not ends:
            self._left, self._kept = self._left[len(text) :], self._kept + text
            return ""
        left, kept = self._left, self._kept
        self._left = self._kept = ""
        if text.startswith(left):
            return text[len(left) :]
        if self._anew:
            self.diverged = True
            return ""
        return kept + text  # no repetition: the rest of the answer begins as its beginning does
