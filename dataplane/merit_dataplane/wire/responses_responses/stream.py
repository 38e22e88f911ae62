"""The events of a response as chunks of a chat, which all stages but the last read, with the vendor's own in them."""

from collections.abc import Callable
from typing import Any

import msgspec

from merit_crds.pricing import CostDetails, Usage
from merit_dataplane.wire.chat_chunks import DONE
from merit_dataplane.wire.errors import error_body
from merit_dataplane.wire.openai_request import Call
from merit_dataplane.wire.openai_response import usage_of, with_cost
from merit_dataplane.wire.passenger import event_beside
from merit_dataplane.wire.responses_responses.answer import Response, chat_usage, finish_reason
from merit_dataplane.wire.server_sent_events import EventReader, MalformedStreamError

_encode = msgspec.json.Encoder().encode
_DONE = b"data: [DONE]\n\n"


class _Item(msgspec.Struct):
    type: str = ""
    call_id: str | None = None
    name: str | None = None


class _Event(msgspec.Struct):
    type: str
    response: Response | None = None
    item: _Item | None = None
    delta: Any = None
    message: str | None = None
    code: str | None = None


_event = msgspec.json.Decoder(_Event)


class PassedStream:
    """One stream. `feed` takes the vendor's bytes and gives a chat's, with the vendor's in them."""

    def __init__(self, _: Call, model: str, price: Callable[[Usage], CostDetails], created: int):
        self._price = price
        self._reader = EventReader()
        self._head: dict[str, Any] = {
            "id": "",
            "object": "chat.completion.chunk",
            "created": created,
            "model": model,
        }
        self._calls = 0
        self.usage: Usage | None = None
        self.complete = False
        """The provider said that it is finished."""
        self.failed = False
        """The provider sent an error event."""
        self.told: Usage | None = None
        """Nothing before the end."""

    def feed(self, data: bytes) -> bytes:
        """A chat's bytes for the vendor's next ones. Raises MalformedStreamError."""
        return b"".join([self._beside(event) for event in self._reader.feed(data)])

    def finish(self) -> bytes:
        """What is left when the vendor's bytes have ended."""
        return b"".join([self._beside(event) for event in self._reader.finish()])

    def _beside(self, event: bytes) -> bytes:
        if event == DONE:
            return b""  # OpenRouter's end of a chat, after the response's own
        return event_beside(self._translated(event), event, closed=True)

    def _translated(self, data: bytes) -> bytes:  # noqa: PLR0911 # one for each kind of event
        try:
            event = _event.decode(data)
        except (ValueError, RecursionError):
            raise MalformedStreamError("an event is none of a response's") from None
        kind = event.type.removeprefix("response.")
        match kind:
            case "created" if event.response is not None:
                self._head |= {"id": event.response.id, "model": event.response.model}
                return self._chunk({"role": "assistant", "content": ""})
            case "output_text.delta":
                return self._chunk({"content": event.delta})
            case "refusal.delta":
                return self._chunk({"refusal": event.delta})
            case "reasoning_text.delta" | "reasoning_summary_text.delta":
                return self._chunk({"reasoning_content": event.delta})
            case "output_item.added" if event.item is not None and event.item.type in _CALLS:
                self._calls += 1
                called = {"name": event.item.name, "arguments": ""}
                return self._call({"id": event.item.call_id, "type": "function", "function": called})
            case "function_call_arguments.delta" | "custom_tool_call_input.delta":
                return self._call({"function": {"arguments": event.delta}})
            case "completed" | "incomplete":
                return self._ended(event.response or Response())
            case "failed" | "error":
                self.failed = True
                told = event.response.error if event.response is not None else None
                error = told if isinstance(told, dict) else {"message": event.message, "code": event.code}
                code = str(error.get("code") or "server_error")
                message = str(error.get("message") or "The provider failed.")
                return b"data: " + error_body(message, kind="server_error", code=code) + b"\n\n"
        return b""

    def _ended(self, response: Response) -> bytes:
        self.complete = True
        out = self._chunk({}, finish=finish_reason(response, calls=self._calls > 0))
        usage = _encode({**self._head, "choices": [], **chat_usage(response)})
        self.usage = usage_of(usage)
        if self.usage is not None:
            out += b"data: " + with_cost(usage, self._price(self.usage)) + b"\n\n"
        return out + _DONE

    def _call(self, part: dict[str, Any]) -> bytes:
        return self._chunk({"tool_calls": [{"index": self._calls - 1, **part}]})

    def _chunk(self, delta: dict[str, Any], *, finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return b"data: " + _encode({**self._head, "choices": [choice]}) + b"\n\n"


_CALLS = frozenset({"function_call", "custom_tool_call"})
