"""What is kept of an answer, whatever its client speaks, and the stream that is told of it again.

One entry for JSON and SSE: a whole answer in OpenAI's words, with the provider's own beside it where its client speaks
the same protocol (`passenger`).
"""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import msgspec

from merit_crds.pricing import CostDetails, Usage
from merit_dataplane.wire.anthropic_anthropic import whole as messages
from merit_dataplane.wire.anthropic_anthropic.answer import passed_answer as passed_message
from merit_dataplane.wire.anthropic_anthropic.stream import PassedStream as PassedMessage
from merit_dataplane.wire.openai_request import Call, Operation
from merit_dataplane.wire.openai_response import with_cost
from merit_dataplane.wire.openai_whole import is_whole, stream_of, whole_of
from merit_dataplane.wire.passenger import PASSENGER
from merit_dataplane.wire.responses_responses import whole as responses
from merit_dataplane.wire.responses_responses.answer import passed_answer as passed_response
from merit_dataplane.wire.responses_responses.stream import PassedStream as PassedResponse
from merit_dataplane.wire.server_sent_events import EventReader
from merit_dataplane.wire.streamed import OpenStream

STREAMED = frozenset({Operation.CHAT, Operation.COMPLETIONS})
"""Operations whose answers come in both ways."""
_NOTHING = CostDetails(input=0, output=0, request=0)
_ABSENT = msgspec.Raw(b"")
_SEAT = b'"%b":' % PASSENGER.encode()


class _Own(NamedTuple):
    """How a protocol's own answers are told whole and in events."""

    whole: Callable[[Iterable[bytes]], bytes]
    events: Callable[[bytes], Iterator[bytes]]
    translated: Callable[[bytes, int], tuple[bytes, Usage | None]]
    stream: OpenStream


_OWN = {
    Operation.MESSAGES: _Own(messages.message_of, messages.events_of, passed_message, PassedMessage),
    Operation.RESPONSES: _Own(responses.response_of, responses.events_of, passed_response, PassedResponse),
}


class _Told(msgspec.Struct):
    created: int | float | None = None
    model: str | None = None
    native: msgspec.Raw = msgspec.field(default=_ABSENT, name=PASSENGER)


_told = msgspec.json.Decoder(_Told)
_FAULTS = (ValueError, LookupError, TypeError, AttributeError, RecursionError)
"""Of an answer that isn't what its protocol says: vendors err."""


def kept_whole(given: bytes, call: Call, usage: Usage, *, estimated: bool) -> bytes | None:
    """The answer whole, free of charge; None where it can't be told exactly, in both ways.

    `estimated`: the provider didn't report the usage.
    """
    told = _folded(given, call, usage) if call.stream else given
    if told is None or (call.operation in STREAMED and not _tells(told, call)):
        return None
    return with_cost(told, _NOTHING, usage if estimated else None)


def kept_stream(body: bytes, call: Call) -> bytes:
    """The whole stream of a kept answer, for this client. Raises ValueError where it is none."""
    own = _own_of(call, body)
    if own is None:
        return stream_of(body, wants_usage=call.wants_usage)
    told = _told.decode(body)
    events = b"".join([b"data: %b\n\n" % event for event in own.events(bytes(told.native))])
    translator = own.stream(call, told.model or "", lambda _: _NOTHING, int(told.created or 0))
    return translator.feed(events) + translator.finish()


def _own_of(call: Call, body: bytes) -> _Own | None:
    return _OWN.get(call.native.operation) if call.native is not None and _SEAT in body else None


def _folded(stream: bytes, call: Call, usage: Usage) -> bytes | None:
    own = _own_of(call, stream)
    if own is None:
        return whole_of(stream, usage)
    reader = EventReader()
    try:
        chunks = [_told.decode(event) for event in (*reader.feed(stream), *reader.finish()) if event != b"[DONE]"]
        created = next((int(chunk.created) for chunk in chunks if chunk.created), 0)
        whole = own.whole([bytes(chunk.native) for chunk in chunks if chunk.native is not _ABSENT])
        return own.translated(whole, created)[0]
    except _FAULTS:
        return None


def _tells(body: bytes, call: Call) -> bool:
    """Whether a stream can be made of it."""
    if _own_of(call, body) is None:
        return is_whole(body)
    try:
        return bool(kept_stream(body, call))
    except _FAULTS:
        return False
