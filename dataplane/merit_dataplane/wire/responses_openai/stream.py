"""A streamed chat completion as the events of a response: a state machine fed with any split of the bytes.

Items come one after the other, each with all its events, as the vendor documents them. Where the provider has Responses
itself its own events are in the chunks, and go out as they are.
"""

import time
from typing import Any

import msgspec

from merit_crds.pricing import Usage
from merit_dataplane.wire.anthropic_openai.answer import with_costs
from merit_dataplane.wire.call_sequence import CallSequence
from merit_dataplane.wire.chat_chunks import ABSENT, DONE, Choice, Chunk, Delta, chunk_of, own_event, told
from merit_dataplane.wire.openai_request import Call
from merit_dataplane.wire.openai_response import decoded, usage_of
from merit_dataplane.wire.responses_openai.events import Events
from merit_dataplane.wire.responses_openai.output import Output
from merit_dataplane.wire.responses_openai.response import asked, customs, ended, response, response_usage
from merit_dataplane.wire.server_sent_events import EventReader

_encode = msgspec.json.Encoder().encode
_ENDS = frozenset({"response.completed", "response.incomplete", "response.failed"})


class ResponseStream:
    """One stream. `feed` takes a chat completion's bytes and gives a response's."""

    def __init__(self, call: Call | None):
        self._echoed = asked(call)
        self._reader, self._events = EventReader(), Events()
        self._calls = CallSequence()
        self._output = Output(self._events, self._calls, customs(call))
        self._response: dict[str, Any] = {}
        self._last = Choice()
        self._usage: Usage | None = None
        self._reported = ABSENT
        self._own_start = ABSENT
        """The response as the vendor's own events had it last."""
        self._own_end = b""
        """The vendor's own last event, which waits for the cost."""
        self._over = False

    def feed(self, data: bytes) -> bytes:
        """The client's bytes for the next ones; may be empty. Raises MalformedStreamError."""
        return b"".join([self._event(payload) for payload in self._reader.feed(data)])

    def finish(self) -> bytes:
        """What is left when the bytes have ended. Raises MalformedStreamError."""
        return b"".join([self._event(payload) for payload in self._reader.finish()])

    def whole(self, chunk: Chunk, body: bytes) -> bytes:
        """The response of a whole answer, which is like a stream of one chunk."""
        self._reported, self._usage = chunk.usage, usage_of(body)
        self._chunk(chunk)
        self._end()
        return with_costs(_encode(self._response), self._reported)

    def _event(self, payload: bytes) -> bytes:
        if payload == DONE:
            return self._flushed() if self._own_end or self._over else self._end()
        chunk = chunk_of(payload)
        if chunk.usage is not ABSENT and bytes(chunk.usage)[:1] == b"{":
            self._reported, self._usage = chunk.usage, usage_of(payload)
        if chunk.native is not ABSENT:
            return self._passed(bytes(chunk.native))
        if self._own_end:
            return b""
        if chunk.error is not None:
            return self._failed(*told(chunk.error))
        if not self._response and not (chunk.id or chunk.choices):
            return b""  # Azure tells its filter's results before
        return self._chunk(chunk)

    def _passed(self, own: bytes) -> bytes:
        event = own_event(own)
        self._events.passed(event.sequence_number)
        self._output.passed(event.output_index)
        if event.type in _ENDS:
            self._own_end = own
            return b""
        if event.response is not ABSENT:
            self._own_start = event.response.copy()
        return b"event: %b\ndata: %b\n\n" % (event.type.encode(), own)

    def _flushed(self) -> bytes:
        own, self._own_end = self._own_end, b""
        if not own:
            return b""
        self._over = True
        event, fields = own_event(own), decoded(own) or {}
        fields["response"] = msgspec.Raw(with_costs(bytes(event.response), self._reported))
        return b"event: %b\ndata: %b\n\n" % (event.type.encode(), _encode(fields))

    def _start(self, chunk: Chunk) -> bytes:
        if own := decoded(bytes(self._own_start)):
            self._response = {**own}
            return b""  # the client knows it already, by its id
        created = int(chunk.created or time.time())
        self._response = response(chunk.id or "resp_0", chunk.model or "", created, self._echoed)
        self._output.identity = self._response["id"].removeprefix("resp_").removeprefix("chatcmpl-")
        send = self._events.send
        return send("response.created", response=self._response) + send("response.in_progress", response=self._response)

    def _chunk(self, chunk: Chunk) -> bytes:
        out = b"" if self._response else self._start(chunk)
        if chunk.service_tier:
            self._response["service_tier"] = chunk.service_tier
        for choice in chunk.choices or ():
            if choice.index == 0:
                out += self._output.add(choice.delta or Delta(), choice.logprobs)
                if choice.finish_reason is not None:
                    self._last = choice
        return out

    def _end(self) -> bytes:
        out = b"" if self._response else self._start(Chunk())
        state = ended(self._last.finish_reason)
        out += self._output.end(state["status"])
        usage = response_usage(self._usage)
        self._response |= {**state, "output": self._output.items, "usage": usage, "completed_at": int(time.time())}
        made = msgspec.Raw(with_costs(_encode(self._response), self._reported))
        self._over = True
        return out + self._events.send(f"response.{state['status']}", response=made)

    def _failed(self, message: str, code: str) -> bytes:
        out = b"" if self._response else self._start(Chunk())
        self._over = True
        out += self._events.send("error", code=code or None, message=message, param=None)
        error = {"code": "server_error", "message": message}
        self._response |= {"status": "failed", "error": error, "output": self._output.items}
        return out + self._events.send("response.failed", response=self._response)
