"""A streamed answer of Cohere's in OpenAI's format, as a state machine fed with any split of the bytes."""

from collections.abc import Callable
from typing import Any

import msgspec

from merit_crds.pricing import CostDetails, Usage
from merit_dataplane.wire.delta_lists import DeltaLists
from merit_dataplane.wire.errors import error_body
from merit_dataplane.wire.openai_cohere.answer import cited_in, logprobs, thought
from merit_dataplane.wire.openai_cohere.usage import FAILED, booked, finish_reason, openai_usage
from merit_dataplane.wire.openai_response import with_cost
from merit_dataplane.wire.server_sent_events import EventReader, MalformedStreamError

_encode = msgspec.json.Encoder().encode
_DONE = b"[DONE]"
_PLAN = -1
"""The plan's place among the blocks that hold thoughts."""


class _Content(msgspec.Struct):
    type: str = ""
    text: str | None = None
    thinking: str | None = None


class _Function(msgspec.Struct):
    name: str | None = None
    arguments: str | None = None


class _ToolCall(msgspec.Struct):
    id: str = ""
    function: _Function = msgspec.field(default_factory=_Function)


class _Message(msgspec.Struct):
    content: _Content | list[Any] | None = None
    tool_calls: _ToolCall | list[Any] | None = None
    tool_plan: str | None = None
    citations: dict[str, Any] | list[Any] | None = None


class _Delta(msgspec.Struct):
    message: _Message | None = None
    finish_reason: str | None = None
    error: str | None = None
    usage: dict[str, Any] | None = None


class _Event(msgspec.Struct):
    type: str
    id: str = ""
    index: int = 0
    delta: _Delta | None = None
    logprobs: dict[str, Any] | None = None


_event = msgspec.json.Decoder(_Event)


class CohereStream:
    """One stream. `feed` takes Cohere's bytes and gives the client's."""

    def __init__(self, *, wants_usage: bool, price: Callable[[Usage], CostDetails], model: str, created: int):
        self._wants_usage, self._price = wants_usage, price
        self._head = {"id": "", "object": "chat.completion.chunk", "created": created, "model": model}
        self._reader = EventReader()
        self._starts: dict[int, int] = {}
        self._text_end = 0
        self._thoughts: dict[int, int] = {}
        self._calls: dict[int, int] = {}
        self._arguments: set[int] = set()
        self._lists = DeltaLists()
        self.usage: Usage | None = None
        """What Cohere charges for."""
        self.complete = False
        """Cohere said that it is finished."""
        self.failed = False
        """Cohere ended with an error."""
        self.told: Usage | None = None
        """Nothing before the end."""

    def feed(self, data: bytes) -> bytes:
        """The client's bytes for Cohere's next bytes; may be empty. Raises MalformedStreamError."""
        return b"".join([self._translated(event) for event in self._reader.feed(data)])

    def finish(self) -> bytes:
        """What is left when Cohere's bytes have ended."""
        return b"".join([self._translated(event) for event in self._reader.finish()])

    def _translated(self, data: bytes) -> bytes:  # noqa: PLR0911 # one for each kind of event
        if data == _DONE or self.complete:
            return b""
        try:
            event = _event.decode(data)
        except (ValueError, RecursionError):
            raise MalformedStreamError("an event is none of Cohere's") from None
        delta = event.delta or _Delta()
        message = delta.message or _Message()
        match event.type:
            case "message-start":
                self._head["id"] = event.id
                return self._chunk({"role": "assistant", "content": ""})
            case "content-start":
                self._starts[event.index] = self._text_end
                return self._content(event, message.content)
            case "content-delta":
                return self._content(event, message.content)
            case "tool-plan-delta":
                return self._thought(_PLAN, message.tool_plan or "")
            case "tool-call-start":
                return self._call_started(event.index, message.tool_calls)
            case "tool-call-delta":
                return self._call_goes_on(event.index, message.tool_calls)
            case "tool-call-end":
                empty = event.index in self._calls and event.index not in self._arguments
                return self._call(event.index, {"function": {"arguments": "{}"}}) if empty else b""
            case "citation-start":
                found = message.citations
                return self._chunk(cited_in(found, self._starts)) if isinstance(found, dict) else b""
            case "message-end":
                return self._ended(delta)
        return b""  # an end that says no more, or what is newer than this

    def _content(self, event: _Event, content: Any) -> bytes:
        if not isinstance(content, _Content):
            return b""
        if content.thinking:
            return self._thought(event.index, content.thinking)
        text = content.text or ""
        self._text_end += len(text)
        told = logprobs([event.logprobs]) if event.logprobs else None
        return self._chunk({"content": text}, logprobs=told) if text or told else b""

    def _thought(self, block: int, text: str) -> bytes:
        if not text:
            return b""
        index = self._thoughts.setdefault(block, len(self._thoughts))
        return self._chunk({"reasoning_content": text, "reasoning_details": [thought(text, index)]})

    def _call_started(self, place: int, call: Any) -> bytes:
        if not isinstance(call, _ToolCall):
            return b""
        self._calls[place] = len(self._calls)
        given = call.function.arguments or ""
        if given:
            self._arguments.add(place)
        function = {"name": call.function.name or "", "arguments": given}
        return self._call(place, {"id": call.id, "type": "function", "function": function})

    def _call_goes_on(self, place: int, call: Any) -> bytes:
        given = call.function.arguments if isinstance(call, _ToolCall) else None
        if not given or place not in self._calls:
            return b""
        self._arguments.add(place)
        return self._call(place, {"function": {"arguments": given}})

    def _call(self, place: int, part: dict[str, Any]) -> bytes:
        return self._chunk({"tool_calls": [{"index": self._calls[place], **part}]})

    def _ended(self, delta: _Delta) -> bytes:
        self.complete = True
        self.usage = booked(delta.usage)
        if delta.finish_reason in FAILED:
            self.failed = True
            words = delta.error or f"Cohere ended with {delta.finish_reason}."
            return b"data: " + error_body(words, kind="server_error", code=str(delta.finish_reason).lower()) + b"\n\n"
        out = self._chunk({}, finish=finish_reason(delta.finish_reason), native_finish_reason=delta.finish_reason)
        if self.usage is not None and self._wants_usage:
            body = _encode({**self._head, "choices": [], "usage": openai_usage(delta.usage or {})})
            out += b"data: " + with_cost(body, self._price(self.usage)) + b"\n\n"
        return out + b"data: [DONE]\n\n"

    def _chunk(self, delta: dict[str, Any], *, finish: str | None = None, **more: Any) -> bytes:
        numbered = self._lists.numbered(delta)
        choice = {"index": 0, "delta": numbered, "logprobs": None, "finish_reason": finish, **more}
        return b"data: " + _encode({**self._head, "choices": [choice]}) + b"\n\n"
