"""A streamed answer of Bedrock's in OpenAI's format, as a state machine fed with any split of the bytes."""

import base64
import binascii
from collections.abc import Callable
from typing import Any

import msgspec

from merit_crds.pricing import CostDetails, Usage
from merit_dataplane.wire.amazon_event_stream import Message, MessageReader
from merit_dataplane.wire.delta_lists import DeltaLists
from merit_dataplane.wire.openai_bedrock.answer import cited_in, detail
from merit_dataplane.wire.openai_bedrock.errors import error_event
from merit_dataplane.wire.openai_bedrock.families import format_of_thoughts
from merit_dataplane.wire.openai_bedrock.tools import SCHEMA_TOOL
from merit_dataplane.wire.openai_bedrock.usage import beside, finish_reason, openai_usage, stop_sequence
from merit_dataplane.wire.openai_response import usage_of, with_cost
from merit_dataplane.wire.server_sent_events import MalformedStreamError

_encode = msgspec.json.Encoder().encode
_DONE = b"data: [DONE]\n\n"


class _ToolUse(msgspec.Struct, rename="camel"):
    name: str = ""
    tool_use_id: str = ""
    type: str = ""
    input: str = ""


class _Start(msgspec.Struct, rename="camel"):
    tool_use: _ToolUse | None = None
    tool_result: dict[str, Any] | None = None
    image: dict[str, Any] | None = None


class _Reasoning(msgspec.Struct, rename="camel"):
    text: str = ""
    signature: str = ""
    redacted_content: str = ""


class _Delta(msgspec.Struct, rename="camel"):
    text: str | None = None
    tool_use: _ToolUse | None = None
    tool_result: list[dict[str, Any]] | None = None
    reasoning_content: _Reasoning | None = None
    citation: dict[str, Any] | None = None
    image: dict[str, Any] | None = None


class _Event(msgspec.Struct, rename="camel"):
    content_block_index: int = 0
    start: _Start | None = None
    delta: _Delta | None = None
    stop_reason: str = ""
    usage: dict[str, Any] | None = None
    additional_model_response_fields: dict[str, Any] | None = None
    message: str = ""


class _Block:
    """What is known of a block that has begun."""

    def __init__(self, text_start: int):
        self.call: _ToolUse | None = None
        self.call_index = 0
        self.json = ""
        self.thought: int | None = None
        self.text_start = text_start
        self.citations: list[dict[str, Any]] = []
        self.other: dict[str, Any] | None = None
        self.bytes: list[bytes] = []


_event = msgspec.json.Decoder(_Event)
_object = msgspec.json.Decoder(dict[str, Any])


class BedrockStream:
    """One stream. `feed` takes Bedrock's bytes and gives the client's."""

    def __init__(
        self, *, wants_usage: bool, price: Callable[[Usage], CostDetails], identity: str, model: str, created: int
    ):
        self._wants_usage, self._price = wants_usage, price
        self._head = {"id": identity, "object": "chat.completion.chunk", "created": created, "model": model}
        self._form = format_of_thoughts(model)
        self._reader = MessageReader()
        self._blocks: dict[int, _Block] = {}
        self._calls = self._thoughts = self._text_end = 0
        self._stopped = False
        self._lists = DeltaLists()
        self.usage: Usage | None = None
        self.complete = False
        """Bedrock said that it is finished."""
        self.failed = False
        """Bedrock sent an exception."""
        self.told: Usage | None = None
        """Nothing before the end."""

    def feed(self, data: bytes) -> bytes:
        """The client's bytes for Bedrock's next bytes; may be empty. Raises MalformedStreamError."""
        return b"".join([self._translated(message) for message in self._reader.feed(data)])

    def finish(self) -> bytes:
        """What is left when Bedrock's bytes have ended: an answer may be whole without its usage."""
        if not self._stopped or self.complete or self.failed:
            return b""
        self.complete = True
        return _DONE

    def _translated(self, message: Message) -> bytes:  # noqa: PLR0911 # one for each kind of event
        kind = message.text(":message-type")
        if kind == "error":  # of the framing itself: its words stand in headers
            return self._broken(message.text(":error-code"), message.text(":error-message"))
        try:
            event = _event.decode(message.payload)
        except (ValueError, RecursionError):
            raise MalformedStreamError("an event is none of Bedrock's") from None
        if kind == "exception":
            return self._broken(message.text(":exception-type"), event.message)
        match message.text(":event-type"):
            case "messageStart":
                return self._chunk({"role": "assistant", "content": ""})
            case "contentBlockStart":
                return self._block_started(self._block(event), event.start or _Start())
            case "contentBlockDelta":
                return self._block_goes_on(self._block(event), event.delta or _Delta())
            case "contentBlockStop":
                block = self._block(event)
                del self._blocks[event.content_block_index]
                return self._block_stopped(block)
            case "messageStop":
                return self._message_stopped(event)
            case "metadata":
                return self._ended(event, message.payload)
        return b""  # newer than this

    def _broken(self, name: str, words: str) -> bytes:
        self.failed = True
        return b"data: " + error_event(name, words) + b"\n\n"

    def _block(self, event: _Event) -> _Block:
        return self._blocks.setdefault(event.content_block_index, _Block(self._text_end))

    def _block_started(self, block: _Block, start: _Start) -> bytes:
        call = start.tool_use
        if call is not None and call.type == "server_tool_use":
            block.other = {"toolUse": {"toolUseId": call.tool_use_id, "name": call.name, "type": call.type}}
        elif call is not None:
            block.call = call
            if call.name == SCHEMA_TOOL:
                return b""
            block.call_index, self._calls = self._calls, self._calls + 1
            function = {"name": call.name, "arguments": ""}
            return self._call(block, {"id": call.tool_use_id, "type": "function", "function": function})
        elif start.tool_result is not None:
            block.other = {"toolResult": {**start.tool_result, "content": []}}
        elif start.image is not None:
            block.other = {"image": dict(start.image)}
        return b""

    def _block_goes_on(self, block: _Block, delta: _Delta) -> bytes:
        if delta.text is not None:
            return self._text(delta.text)
        if delta.tool_use is not None:
            return self._arguments(block, delta.tool_use.input)
        if delta.reasoning_content is not None:
            return self._thought(block, delta.reasoning_content)
        if delta.citation is not None:
            block.citations.append(delta.citation)
        elif block.other is not None:
            _grow(block, delta)
        return b""

    def _block_stopped(self, block: _Block) -> bytes:
        if block.citations:
            return self._chunk(cited_in(block.citations, block.text_start, self._text_end))
        if block.call is not None and not block.json:  # a tool without arguments
            return self._arguments(block, "{}")
        if block.other is not None:
            return self._chunk({"provider_blocks": [_whole(block)]})
        return b""

    def _text(self, text: str) -> bytes:
        self._text_end += len(text)
        return self._chunk({"content": text}) if text else b""

    def _arguments(self, block: _Block, piece: str) -> bytes:
        block.json += piece
        if block.call is None or not piece:
            return b""
        if block.call.name == SCHEMA_TOOL:
            return self._text(piece)
        return self._call(block, {"function": {"arguments": piece}})

    def _call(self, block: _Block, part: dict[str, Any]) -> bytes:
        return self._chunk({"tool_calls": [{"index": block.call_index, **part}]})

    def _thought(self, block: _Block, piece: _Reasoning) -> bytes:
        if block.thought is None:
            block.thought, self._thoughts = self._thoughts, self._thoughts + 1
        made = {**detail(self._form, piece.text, piece.signature, piece.redacted_content), "index": block.thought}
        delta: dict[str, Any] = {"reasoning_details": [made]}
        return self._chunk({"reasoning_content": piece.text, **delta} if piece.text else delta)

    def _message_stopped(self, event: _Event) -> bytes:
        self._stopped = True
        more: dict[str, Any] = {"native_finish_reason": event.stop_reason}
        if sequence := stop_sequence(event.additional_model_response_fields):
            more["stop_sequence"] = sequence
        return self._chunk({}, finish=finish_reason(event.stop_reason, called=bool(self._calls)), **more)

    def _ended(self, event: _Event, payload: bytes) -> bytes:
        self.complete = self._stopped
        usage = event.usage or {}
        try:
            given = _object.decode(payload)
        except (ValueError, RecursionError):
            raise MalformedStreamError("an event is none of Bedrock's") from None
        body = _encode({**self._head, "choices": [], "usage": openai_usage(usage), **beside(given)})
        self.usage = usage_of(body) if "outputTokens" in usage else None
        told = b""
        if self.usage is not None and self._wants_usage:
            told = b"data: " + with_cost(body, self._price(self.usage)) + b"\n\n"
        return told + _DONE if self.complete else told

    def _chunk(self, delta: dict[str, Any], *, finish: str | None = None, **more: Any) -> bytes:
        numbered = self._lists.numbered(delta)
        choice = {"index": 0, "delta": numbered, "logprobs": None, "finish_reason": finish, **more}
        return b"data: " + _encode({**self._head, "choices": [choice]}) + b"\n\n"


def _grow(block: _Block, delta: _Delta) -> None:
    """A piece of a block that OpenAI has no word for."""
    other = block.other or {}
    if delta.tool_result is not None and "toolResult" in other:
        other["toolResult"]["content"] += delta.tool_result
    if delta.image is not None and "image" in other:
        source = delta.image.get("source")
        piece = source.get("bytes") if isinstance(source, dict) else None
        try:
            block.bytes.append(base64.b64decode(piece or ""))
        except (binascii.Error, TypeError, ValueError):
            raise MalformedStreamError("an image's bytes are no base64") from None
        if delta.image.get("error"):
            other["image"]["error"] = delta.image["error"]


def _whole(block: _Block) -> dict[str, Any]:
    other = block.other or {}
    if "toolUse" in other:
        try:
            other["toolUse"]["input"] = msgspec.json.decode(block.json or "{}")
        except (ValueError, RecursionError):
            other["toolUse"]["input"] = block.json
    if block.bytes:
        other["image"]["source"] = {"bytes": base64.b64encode(b"".join(block.bytes)).decode()}
    return other
