"""Tool calls of a stream, one after the other.

OpenAI's chunks may go to and fro between calls; other protocols want each whole before the next begins. A call that
another one follows has ended when its arguments are a whole JSON object; until then the others wait.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec

from merit_dataplane.wire.chat_chunks import CallPart, Function


class Begun(NamedTuple):
    """A call begins."""

    id: str
    name: str
    place: int


class More(NamedTuple):
    """A piece of its arguments."""

    text: str


class Ended(NamedTuple):
    """It is whole."""

    arguments: str


Step = Begun | More | Ended


@dataclass(slots=True)
class _Call:
    id: str = ""
    name: str = ""
    pieces: list[str] = field(default_factory=list)
    sent: int = 0
    begun: bool = False
    tried: int = -1


class CallSequence:
    """Of one stream."""

    def __init__(self) -> None:
        self._calls: list[_Call] = []
        self._by_index: dict[int, _Call] = {}
        self._at = 0

    def feed(self, part: CallPart) -> list[Step]:
        """What can be told after this part."""
        called = part.function
        if part.custom is not None and not (called and called.name):  # Snowflake writes an empty one beside a function
            called = Function(part.custom.name, part.custom.input)
        name = (called and called.name) or ""
        call = self._of(part, name)
        call.id = call.id or part.id or ""
        call.name = call.name or name
        given = called.arguments if called is not None else None
        if isinstance(given, dict):  # a vendor that writes the object itself
            given = msgspec.json.encode(given).decode()
        if given:
            call.pieces.append(given)
        return self._advance(last=False)

    def finish(self) -> list[Step]:
        """All that still waits."""
        return self._advance(last=True)

    @property
    def count(self) -> int:
        """Calls that have begun."""
        return len(self._calls)

    def _of(self, part: CallPart, name: str) -> _Call:
        """The call that a part belongs to. Some vendors number all calls of a turn 0, or none: then a new id tells."""
        if part.index is not None:
            call = self._by_index.get(part.index)
        elif part.id:
            call = next((c for c in self._calls if c.id == part.id), None)
        else:
            call = self._calls[-1] if self._calls else None
        if call is None or (part.id and call.id and part.id != call.id and name):
            call = _Call()
            self._calls.append(call)
            if part.index is not None:
                self._by_index[part.index] = call
        return call

    def _advance(self, *, last: bool) -> list[Step]:
        steps: list[Step] = []
        while self._at < len(self._calls):
            call = self._calls[self._at]
            if not call.begun and (call.name or last):
                call.begun = True
                steps.append(Begun(call.id, call.name, self._at))
            if call.begun and call.sent < len(call.pieces):
                steps.append(More("".join(call.pieces[call.sent :])))
                call.sent = len(call.pieces)
            followed = self._at + 1 < len(self._calls)
            if not last and not (call.begun and followed and _whole(call)):
                break
            steps.append(Ended("".join(call.pieces)))
            self._at += 1
        return steps


def _whole(call: _Call) -> bool:
    if call.tried == len(call.pieces):
        return False
    call.tried = len(call.pieces)
    try:
        return isinstance(msgspec.json.decode("".join(call.pieces)), dict)
    except (ValueError, RecursionError):
        return False
