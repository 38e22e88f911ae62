"""A streamed answer of Anthropic's in OpenAI's format, as a state machine fed with any split of the bytes."""

from collections.abc import Callable
from typing import Any

import msgspec

from merit_crds.pricing import CostDetails, Usage
from merit_dataplane.wire.delta_lists import DeltaLists
from merit_dataplane.wire.errors import error_body
from merit_dataplane.wire.openai_anthropic.answer import PLAIN, AnthropicError, cited_in, detail
from merit_dataplane.wire.openai_anthropic.usage import finish_reason, openai_usage, service_tier
from merit_dataplane.wire.openai_response import usage_of, with_cost
from merit_dataplane.wire.server_sent_events import EventReader, MalformedStreamError

_encode = msgspec.json.Encoder().encode


class _Delta(msgspec.Struct):
    type: str = ""
    text: str = ""
    thinking: str = ""
    signature: str = ""
    partial_json: str = ""
    citation: dict[str, Any] | None = None
    stop_reason: str | None = None
    stop_sequence: str | None = None


class _Start(msgspec.Struct):
    id: str = ""
    model: str = ""
    usage: dict[str, Any] | None = None


class _Event(msgspec.Struct):
    type: str
    message: _Start | None = None
    content_block: dict[str, Any] | None = None
    delta: _Delta | None = None
    usage: dict[str, Any] | None = None
    error: AnthropicError | None = None


_event = msgspec.json.Decoder(_Event)


class AnthropicStream:
    """One stream. `feed` takes Anthropic's bytes and gives the client's."""

    def __init__(self, *, wants_usage: bool, price: Callable[[Usage], CostDetails], created: int):
        self._wants_usage, self._price, self._created = wants_usage, price, created
        self._reader = EventReader()
        self._head: dict[str, Any] = {}
        self._reported: dict[str, Any] = {}
        self._block: dict[str, Any] = {}
        self._json = ""
        self._calls = self._thoughts = 0
        self._text_start = self._text_end = 0
        self._citations: list[dict[str, Any]] = []
        self._lists = DeltaLists()
        self.usage: Usage | None = None
        self.complete = False
        """Anthropic said that it is finished."""
        self.failed = False
        """Anthropic sent an error event."""

    def feed(self, data: bytes) -> bytes:
        """The client's bytes for Anthropic's next bytes; may be empty. Raises MalformedStreamError."""
        return b"".join([self.event(event) for event in self._reader.feed(data)])

    def finish(self) -> bytes:
        """What is left when Anthropic's bytes have ended."""
        return b"".join([self.event(event) for event in self._reader.finish()])

    def event(self, data: bytes) -> bytes:  # noqa: PLR0911 # one for each kind of event
        """The client's bytes for the data of one event. Raises MalformedStreamError."""
        try:
            event = _event.decode(data)
        except (ValueError, RecursionError):
            raise MalformedStreamError("an event is none of Anthropic's") from None
        match event.type:
            case "message_start":
                return self._started(event.message or _Start())
            case "content_block_start":
                return self._block_started(event.content_block or {})
            case "content_block_delta":
                return self._block_goes_on(event.delta or _Delta())
            case "content_block_stop":
                return self._block_stopped()
            case "message_delta":
                self._reported |= {name: value for name, value in (event.usage or {}).items() if value is not None}
                if event.delta is not None and event.delta.stop_reason and "output_tokens" in (event.usage or {}):
                    self.usage = self.told  # all of it, though the end mark is still to come
                return self._stopped(event.delta or _Delta())
            case "message_stop":
                return self._ended()
            case "error":
                self.failed = True
                error = event.error or AnthropicError()
                return b"data: " + error_body(error.message, kind=error.type, code=error.type or None) + b"\n\n"
        return b""  # a ping, or what is newer than this

    def _started(self, message: _Start) -> bytes:
        self._head = {
            "id": message.id,
            "object": "chat.completion.chunk",
            "created": self._created,
            "model": message.model,
        }
        self._reported = dict(message.usage or {})
        return self._chunk({"role": "assistant", "content": ""})

    def _block_started(self, block: dict[str, Any]) -> bytes:
        self._block, self._json, self._citations = block, "", []
        match block.get("type"):
            case "text":
                self._text_start = self._text_end
                return self._text(str(block.get("text") or ""))
            case "tool_use":
                self._calls += 1
                function = {"name": block.get("name"), "arguments": ""}
                return self._call({"id": block.get("id"), "type": "function", "function": function})
            case "redacted_thinking":
                return self._thought("", "", str(block.get("data") or ""))
            case "thinking" if block.get("thinking"):
                return self._thought(str(block["thinking"]), "", "")
        return b""

    def _block_goes_on(self, delta: _Delta) -> bytes:
        match delta.type:
            case "text_delta":
                return self._text(delta.text)
            case "input_json_delta":
                self._json += delta.partial_json
                if self._block.get("type") != "tool_use" or not delta.partial_json:
                    return b""
                return self._call({"function": {"arguments": delta.partial_json}})
            case "thinking_delta" | "signature_delta":
                return self._thought(delta.thinking, delta.signature, "")
            case "citations_delta" if delta.citation is not None:
                self._citations.append(delta.citation)
        return b""

    def _block_stopped(self) -> bytes:
        block, kind = self._block, self._block.get("type")
        self._block = {}
        if kind == "text" and self._citations:
            place = {"start_index": self._text_start, "end_index": self._text_end}
            return self._chunk(cited_in([{**citation, **place} for citation in self._citations]))
        if kind == "tool_use" and not self._json:  # no argument at all, or all of them in the block's start
            return self._call({"function": {"arguments": _encode(block.get("input") or {}).decode()}})
        if kind in ("thinking", "redacted_thinking"):
            self._thoughts += 1
        if kind is not None and kind not in PLAIN:
            if self._json:
                block = {**block, "input": _object(self._json)}
            return self._chunk({"provider_blocks": [block]})
        return b""

    def _text(self, text: str) -> bytes:
        self._text_end += len(text)
        return self._chunk({"content": text}) if text else b""

    def _call(self, part: dict[str, Any]) -> bytes:
        return self._chunk({"tool_calls": [{"index": self._calls - 1, **part}]})

    def _thought(self, text: str, signature: str, data: str) -> bytes:
        made = detail("redacted_thinking" if data else "thinking", text, signature, data)
        delta: dict[str, Any] = {"reasoning_details": [{**(made or {}), "index": self._thoughts}]}
        return self._chunk({"reasoning_content": text, **delta} if text else delta)

    def _stopped(self, delta: _Delta) -> bytes:
        if delta.stop_reason is None:
            return b""
        more: dict[str, Any] = {"native_finish_reason": delta.stop_reason}
        if delta.stop_sequence:
            more["stop_sequence"] = delta.stop_sequence
        return self._chunk({}, finish=finish_reason(delta.stop_reason), **more)

    def _ended(self) -> bytes:
        self.complete = True
        self.usage = self.told if "output_tokens" in self._reported else None
        if self.usage is None or not self._wants_usage:
            return b"data: [DONE]\n\n"
        return b"data: " + with_cost(self._usage_event(), self._price(self.usage)) + b"\n\ndata: [DONE]\n\n"

    @property
    def told(self) -> Usage | None:
        """See StreamedAnswer: `message_start` has the input's tokens."""
        return usage_of(self._usage_event()) if self._reported else None

    def _usage_event(self) -> bytes:
        usage = {"usage": openai_usage(self._reported), **service_tier(self._reported)}
        return _encode({**self._head, "choices": [], **usage})

    def _chunk(self, delta: dict[str, Any], *, finish: str | None = None, **more: Any) -> bytes:
        numbered = self._lists.numbered(delta)
        choice = {"index": 0, "delta": numbered, "logprobs": None, "finish_reason": finish, **more}
        return b"data: " + _encode({**self._head, "choices": [choice]}) + b"\n\n"


def _object(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except (ValueError, RecursionError):
        return text
