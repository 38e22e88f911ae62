"""Chunks of a streamed chat completion, read for a client that speaks another protocol."""

from typing import Any

import msgspec

from merit_dataplane.wire.passenger import PASSENGER
from merit_dataplane.wire.server_sent_events import MalformedStreamError

DONE = b"[DONE]"
ABSENT = msgspec.Raw(b"")


def text_of(content: Any) -> str:
    """The text of a message's `content`; of Mistral's parts that of those that are text."""
    if isinstance(content, list):
        return "".join(str(part.get("text") or "") for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""


def thought_of(content: Any) -> str:
    """What Mistral's parts of the type `thinking` say."""
    parts = content if isinstance(content, list) else ()
    thoughts = [part.get("thinking") for part in parts if isinstance(part, dict) and part.get("type") == "thinking"]
    return "".join(text_of(thought) for thought in thoughts)


class Function(msgspec.Struct):
    """Of a tool call, a part of it."""

    name: str | None = None
    arguments: str | dict[str, Any] | None = None


class Custom(msgspec.Struct):
    """Of a call of a custom tool, a part of it."""

    name: str | None = None
    input: str | None = None


class CallPart(msgspec.Struct):
    """A part of a tool call."""

    index: int | None = None
    id: str | None = None
    function: Function | None = None
    custom: Custom | None = None
    extra_content: Any = None
    """Google's: the signature of the thought before it."""


class Delta(msgspec.Struct):
    """What a chunk adds to the message."""

    content: str | list[Any] | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: Any = None
    reasoning_details: list[dict[str, Any]] | None = None
    tool_calls: list[CallPart] | None = None
    function_call: Function | None = None
    citations: list[Any] | None = None
    annotations: list[Any] | None = None
    provider_blocks: list[dict[str, Any]] | None = None
    extra_content: Any = None

    def text(self) -> str:
        """Its text."""
        return text_of(self.content)

    def thought(self) -> str:
        """What it thinks aloud: DeepSeek's field, that of OpenRouter, Groq and vLLM, or Mistral's parts."""
        spoken = self.reasoning_content or (self.reasoning if isinstance(self.reasoning, str) else "")
        return spoken or thought_of(self.content)


def called_before(delta: Delta) -> tuple[CallPart, ...]:
    """The older `function_call` as the call that it is. Snowflake writes an empty one beside a text."""
    called = delta.function_call
    return (CallPart(index=0, function=called),) if called is not None and (called.name or called.arguments) else ()


class Choice(msgspec.Struct):
    """A choice of a chunk."""

    index: int = 0
    delta: Delta | None = None
    finish_reason: str | None = None
    native_finish_reason: Any = None
    stop_sequence: Any = None
    stop_reason: Any = None
    """vLLM's word for the stop sequence."""
    logprobs: Any = None


class Chunk(msgspec.Struct):
    """One event."""

    id: str | None = None
    model: str | None = None
    choices: list[Choice] | None = None
    error: Any = None
    usage: msgspec.Raw = ABSENT
    native: msgspec.Raw = msgspec.field(default=ABSENT, name=PASSENGER)
    """The provider's own event (`passenger`)."""
    created: int | float | None = None
    service_tier: str | None = None


_chunk = msgspec.json.Decoder(Chunk)


def signed(extra_content: Any, call: str) -> list[dict[str, Any]]:
    """Gemini's signature as a detail of the call that it belongs to, or of the text where `call` is empty."""
    match extra_content:
        case {"google": {"thought_signature": str(signature)}}:
            return [{"type": "reasoning.encrypted", "data": signature, "id": call, "format": "google-gemini-v1"}]
    return []


def chunk_of(payload: bytes) -> Chunk:
    """An event's chunk. Raises MalformedStreamError."""
    try:
        return _chunk.decode(payload)
    except (ValueError, RecursionError):
        raise MalformedStreamError("an event is no chunk of a chat completion") from None


class OwnEvent(msgspec.Struct):
    """An event of the provider's own, as far as what follows depends on it."""

    type: str = ""
    index: int = 0
    sequence_number: int = 0
    output_index: int = -1
    response: msgspec.Raw = ABSENT


_own_event = msgspec.json.Decoder(OwnEvent)


def own_event(data: bytes) -> OwnEvent:
    """A passenger. Raises MalformedStreamError."""
    try:
        return _own_event.decode(data)
    except (ValueError, RecursionError):
        raise MalformedStreamError("an event is none of its protocol's") from None


def told(error: Any) -> tuple[str, str]:
    """Message and code of an error in a stream, however its vendor shaped it."""
    if isinstance(error, dict):
        code = error.get("code") or error.get("type")
        return str(error.get("message") or "The provider failed."), code if isinstance(code, str) else ""
    return str(error), ""
