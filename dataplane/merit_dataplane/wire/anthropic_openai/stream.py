"""A streamed answer in OpenAI's format as Anthropic's events: a state machine fed with any split of the bytes.

Where the provider speaks Anthropic's itself its own events are in the chunks, and go out as they are. Should another
vendor go on with such an answer, its blocks follow.
"""

from typing import Any

import msgspec

from merit_crds.pricing import Usage
from merit_dataplane.wire.anthropic_openai.answer import citations, own_block, stopped_at, tool_id, with_costs
from merit_dataplane.wire.anthropic_openai.errors import error_event
from merit_dataplane.wire.anthropic_openai.usage import message_usage, stop_reason
from merit_dataplane.wire.call_sequence import Begun, CallSequence, Ended, More, Step
from merit_dataplane.wire.chat_chunks import (
    ABSENT,
    DONE,
    Choice,
    Delta,
    called_before,
    chunk_of,
    own_event,
    signed,
    told,
)
from merit_dataplane.wire.delta_lists import unplaced
from merit_dataplane.wire.openai_anthropic.answer import FORMAT
from merit_dataplane.wire.openai_response import usage_of
from merit_dataplane.wire.sealed import Detail, seal
from merit_dataplane.wire.server_sent_events import EventReader

_encode = msgspec.json.Encoder().encode
_NOTHING_YET = {"input_tokens": 0, "output_tokens": 0}
"""The counts have to be there from the start; OpenAI's vendors report them at the end."""


class MessageStream:
    """One stream. `feed` takes OpenAI's bytes and gives Anthropic's."""

    def __init__(self, stops: tuple[str, ...]):
        self._stops = stops
        self._reader = EventReader()
        self._calls = CallSequence()
        self._started = self._stopped = False
        self._block = ""
        """Kind of the block that is open."""
        self._index = -1
        self._details: list[Detail] = []
        """Of the thinking block that is open."""
        self._text = ""
        self._cited: dict[str, list[Any]] = {}
        self._last: Choice = Choice()
        self._refused = False
        self._usage: Usage | None = None
        self._reported = ABSENT
        """OpenAI's usage object, with the cost."""
        self._own_end = b""
        """Anthropic's own message_delta, which waits for the cost."""

    def feed(self, data: bytes) -> bytes:
        """Anthropic's bytes for OpenAI's next ones; may be empty. Raises MalformedStreamError."""
        return b"".join([self._event(payload) for payload in self._reader.feed(data)])

    def finish(self) -> bytes:
        """What is left when OpenAI's bytes have ended. Raises MalformedStreamError."""
        return b"".join([self._event(payload) for payload in self._reader.finish()])

    def _event(self, payload: bytes) -> bytes:
        if payload == DONE:
            return self._ended()
        chunk = chunk_of(payload)
        if chunk.usage is not ABSENT and bytes(chunk.usage)[:1] == b"{":
            self._reported, self._usage = chunk.usage, usage_of(payload)
        if chunk.native is not ABSENT:
            return self._passed(bytes(chunk.native))
        if chunk.error is not None:
            message, code = told(chunk.error)
            return error_event(message, code=code or None)
        begins = not self._started and (chunk.id or chunk.choices)  # Azure tells its filter's results before
        out = [self._start(chunk.id, chunk.model)] if begins else []
        for choice in chunk.choices or ():
            if choice.index == 0:
                out.append(self._goes_on(choice.delta or Delta()))
                if choice.finish_reason is not None:
                    self._last = choice
        return b"".join(out)

    def _passed(self, own: bytes) -> bytes:
        event = own_event(own)
        match event.type:
            case "message_start":
                self._started = True
            case "content_block_start":
                self._block, self._index = "own", event.index
            case "content_block_stop":
                self._block = ""
            case "message_delta":
                out, self._own_end = self._flushed(), own
                return out
            case "message_stop":
                self._stopped = True
        return self._flushed() + _named(event.type, own)

    def _flushed(self) -> bytes:
        own, self._own_end = self._own_end, b""
        return _named("message_delta", with_costs(own, self._reported)) if own else b""

    def _start(self, identity: str | None, model: str | None) -> bytes:
        self._started = True
        message: dict[str, Any] = {
            "id": identity or "msg_0",
            "type": "message",
            "role": "assistant",
            "model": model or "",
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": _NOTHING_YET,
        }
        return _sent({"type": "message_start", "message": message})

    def _goes_on(self, delta: Delta) -> bytes:
        out = b""
        if delta.reasoning_details:
            out += b"".join([self._thinks(detail) for detail in delta.reasoning_details])
        elif thought := delta.thought():
            out += self._thinks({"type": "reasoning.text", "text": thought})
        for block in filter(own_block, delta.provider_blocks or ()):
            out += self._opened("other", unplaced(block)) + self._closed()
        if text := delta.text() or delta.refusal:
            self._refused = self._refused or not delta.text()
            out += self._says(text)
        for name, given in (("citations", delta.citations), ("annotations", delta.annotations)):
            if given:
                self._cited.setdefault(name, []).extend(given)
        for detail in signed(delta.extra_content, ""):
            out += self._thinks(detail)
        for part in (*(delta.tool_calls or ()), *called_before(delta)):
            name = (part.function and part.function.name) or ""
            for detail in signed(part.extra_content, tool_id(part.id, name, self._calls.count)):
                out += self._thinks(detail)
            out += self._steps(self._calls.feed(part))
        return out

    def _says(self, text: str) -> bytes:
        out = b""
        if self._block != "text":
            out = self._steps(self._calls.finish()) + self._opened("text", {"type": "text", "text": ""})
        self._text += text
        return out + self._delta({"type": "text_delta", "text": text})

    def _thinks(self, detail: Detail) -> bytes:
        if detail.get("format") == FORMAT and detail.get("type") == "reasoning.encrypted":
            block = {"type": "redacted_thinking", "data": str(detail.get("data") or "")}
            return self._opened("other", block) + self._closed()
        out = b""
        last = self._details[-1] if self._block == "thinking" else None
        new = last is None or (_own(last) and last.get("index") != detail.get("index"))
        if new:
            out = self._steps(self._calls.finish())
            out += self._opened("thinking", {"type": "thinking", "thinking": "", "signature": ""})
        elif last is not None and last.get("index") == detail.get("index") and last.get("type") == detail.get("type"):
            for name, value in detail.items():
                joins = name in ("signature", "data") and isinstance(last.get(name), str) and isinstance(value, str)
                last[name] = last[name] + value if joins else value
            return out + self._thought(detail)
        self._details.append(dict(detail))
        return out + self._thought(detail)

    def _thought(self, detail: Detail) -> bytes:
        text = detail.get("text") or detail.get("summary")
        return self._delta({"type": "thinking_delta", "thinking": str(text)}) if text else b""

    def _steps(self, steps: list[Step]) -> bytes:
        return b"".join([self._step(step) for step in steps])

    def _step(self, step: Step) -> bytes:
        match step:
            case Begun(identity, name, place):
                block = {"type": "tool_use", "id": tool_id(identity, name, place), "name": name, "input": {}}
                return self._opened("tool", block)
            case More(text):
                return self._delta({"type": "input_json_delta", "partial_json": text})
            case Ended():
                return self._closed()

    def _opened(self, kind: str, block: dict[str, Any]) -> bytes:
        out = self._closed()
        self._block = kind
        self._index += 1
        return out + _sent({"type": "content_block_start", "index": self._index, "content_block": block})

    def _closed(self) -> bytes:
        if not self._block:
            return b""
        out = b""
        if self._block == "thinking":
            own = "".join(str(d["signature"]) for d in self._details if _own(d) and d.get("signature"))
            out = self._delta({"type": "signature_delta", "signature": own or seal(self._details)})
            self._details = []
        elif self._block == "text":
            message: dict[str, Any] = dict(self._cited)
            for citation in citations(message, self._text):
                out += self._delta({"type": "citations_delta", "citation": citation})
            self._cited = {}
        self._block = ""
        return out + _sent({"type": "content_block_stop", "index": self._index})

    def _delta(self, delta: dict[str, Any]) -> bytes:
        return _sent({"type": "content_block_delta", "index": self._index, "delta": delta})

    def _ended(self) -> bytes:
        if self._stopped:
            return b""
        if self._own_end:
            return self._flushed() + _sent({"type": "message_stop"})
        out = b"" if self._started else self._start(None, None)
        out += self._steps(self._calls.finish()) + self._closed()
        last = self._last
        stopped = stopped_at({"stop_sequence": last.stop_sequence, "stop_reason": last.stop_reason}, self._stops)
        reason = stop_reason(last.finish_reason, last.native_finish_reason, calls=self._calls.count > 0)
        if stopped is not None or self._refused:
            reason = "stop_sequence" if stopped is not None else "refusal"
        delta = {"stop_reason": reason, "stop_sequence": stopped}
        usage = message_usage(self._usage) or _NOTHING_YET
        end = _encode({"type": "message_delta", "delta": delta, "usage": usage})
        return out + _named("message_delta", with_costs(end, self._reported)) + _sent({"type": "message_stop"})


def _own(detail: Detail) -> bool:
    return detail.get("format") == FORMAT


def _sent(event: dict[str, Any]) -> bytes:
    return _named(event["type"], _encode(event))


def _named(kind: str, data: bytes) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), data)
