"""Recorded answers in protocols beside Chat Completions, and what little of them is changed: the tool's name, usage."""

import hashlib
import struct
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any, Literal
from zlib import crc32

import msgspec

from merit_dataplane.fake_provider.answers import Answer, NoRecordingError
from merit_dataplane.fake_provider.native import Native
from merit_dataplane.fake_provider.question import Question
from merit_dataplane.fake_provider.spans import template, value_text

_JSON = ((b"content-type", b"application/json"),)
_SSE = ((b"content-type", b"text/event-stream"),)
_FRAMES = ((b"content-type", b"application/vnd.amazon.eventstream"),)
_OF_GEMINI: Mapping[str, tuple[str, ...]] = {
    "usage": ("usageMetadata",),
    "function": ("candidates", "*", "content", "parts", "*", "functionCall", "name"),
}
_PLACES: Mapping[tuple[str, bool], Mapping[str, tuple[str, ...]]] = {
    ("anthropic", False): {"usage": ("usage",), "function": ("content", "*", "name")},
    ("anthropic", True): {
        "usage": ("usage",),
        "begun": ("message", "usage"),
        "function": ("content_block", "name"),
    },
    ("bedrock", False): {"usage": ("usage",), "function": ("output", "message", "content", "*", "toolUse", "name")},
    ("bedrock", True): {"usage": ("usage",), "function": ("start", "toolUse", "name")},
    ("gemini", False): _OF_GEMINI,
    ("gemini", True): _OF_GEMINI,
    ("cohere", False): {"usage": ("usage",), "function": ("message", "tool_calls", "*", "function", "name")},
    ("cohere", True): {"usage": ("delta", "usage"), "function": ("delta", "message", "tool_calls", "function", "name")},
    ("responses", False): {"usage": ("usage",), "function": ("output", "*", "name")},
    ("responses", True): {
        "usage": ("response", "usage"),
        "function": ("item", "name"),
        "functions": ("response", "output", "*", "name"),
    },
}
"""By protocol and whether it is a stream: where in a JSON text the changed values stand."""


class NativeRecording(msgspec.Struct, frozen=True):
    """One recorded answer, as its file has it."""

    name: str
    protocol: Literal["anthropic", "bedrock", "cohere", "gemini", "responses"]
    operation: Literal["chat", "embeddings"]
    shape: Literal["text", "tools", "json", "vector"]
    stream: bool
    body: str | list[tuple[str, str]]
    """Of an event stream of Amazon's: the name and the payload of each event."""
    origin: dict[str, str]


@cache
def packaged_natives() -> tuple[NativeRecording, ...]:
    """The recordings that ship with Merit."""
    folder = files("merit_dataplane.fake_provider") / "native_recordings"
    found = sorted((f for f in folder.iterdir() if f.name.endswith(".json")), key=lambda f: f.name)
    return tuple(msgspec.json.decode(file.read_bytes(), type=NativeRecording) for file in found)


def native_answer(native: Native, asked: Question, *, counted: bool = True) -> Answer:
    """The recorded answer that fits. Raises NoRecordingError. `counted`: see `answers.answer`."""
    if native.operation == "count":
        return Answer(_JSON, msgspec.json.encode({"input_tokens": asked.prompt_tokens}), (), 0, 0)
    chosen = _chosen(native, asked)
    if chosen.operation == "embeddings":
        made = _googles if native.protocol == "gemini" else _embeddings
        return made(native, chosen, asked, counted=counted)
    texts = [payload for _, payload in chosen.body] if isinstance(chosen.body, list) else _jsons(chosen)
    usages = [_usage(chosen, text) for text in texts]
    recorded: dict[str, Any] = next((usage for usage in reversed(usages) if usage), {})
    prompt, completion = _tokens(chosen.protocol, recorded)
    values: dict[str, bytes] = {}
    if counted:
        prompt = asked.prompt_tokens
        values["begun"] = msgspec.json.encode(_counted(chosen.protocol, {}, prompt, 1))
    if asked.only_function is not None:
        values["function"] = values["functions"] = msgspec.json.encode(asked.only_function)
    places = _PLACES[chosen.protocol, chosen.stream]
    with_usage = values
    if counted:
        with_usage = values | {"usage": msgspec.json.encode(_counted(chosen.protocol, recorded, prompt, completion))}
    filled = [
        template(text, places).filled(with_usage if usage else values)  # where it is null it is not known yet
        for text, usage in zip(texts, usages, strict=True)
    ]
    if not chosen.stream:
        return Answer(_JSON, filled[0], (), prompt, completion)
    if isinstance(chosen.body, list):
        events = [frame(kind, payload) for (kind, _), payload in zip(chosen.body, filled, strict=True)]
        return Answer(_FRAMES, b"", tuple(events), prompt, completion)
    if chosen.protocol == "gemini":
        return Answer(_SSE, b"", tuple(b"data: %b\r\n\r\n" % data for data in filled), prompt, completion)
    named = [b"event: %b\ndata: %b\n\n" % (msgspec.json.decode(data)["type"].encode(), data) for data in filled]
    ends = (b"data: [DONE]\n\n",) if chosen.protocol == "cohere" else ()
    return Answer(_SSE, b"", (*named, *ends), prompt, completion)


def frame(kind: str, payload: bytes) -> bytes:
    """An event in Amazon's framing (see merit_dataplane.wire.amazon_event_stream)."""
    named = {":event-type": kind, ":content-type": "application/json", ":message-type": "event"}
    headers = b"".join(
        struct.pack(">B", len(name)) + name.encode() + struct.pack(">BH", 7, len(value)) + value.encode()
        for name, value in named.items()
    )
    prelude = struct.pack(">II", 16 + len(headers) + len(payload), len(headers))
    whole = prelude + struct.pack(">I", crc32(prelude)) + headers + payload
    return whole + struct.pack(">I", crc32(whole))


def _chosen(native: Native, asked: Question) -> NativeRecording:
    """By the hash of what the user said last: the same words, the same answer."""
    stream = bool(asked.stream)
    operation = "chat" if native.operation == "chat" else "embeddings"
    of_kind = [r for r in packaged_natives() if r.protocol == native.protocol and r.operation == operation]
    possible = [r for r in of_kind if r.stream == stream]
    for shape in (asked.shape(operation), "text", "vector"):
        fitting = [r for r in possible if r.shape == shape]
        if fitting:
            return fitting[hashlib.sha256(asked.last_said.encode()).digest()[0] % len(fitting)]
    raise NoRecordingError(f"This simulated vendor has no recording for {native.protocol}'s {native.operation}.")


def _jsons(chosen: NativeRecording) -> list[str]:
    body = str(chosen.body)
    if not chosen.stream:
        return [body]
    lines = [line[5:].strip() for line in body.splitlines() if line.startswith("data:")]
    return [line for line in lines if line != "[DONE]"]


def _usage(chosen: NativeRecording, text: str) -> dict[str, Any]:
    found = value_text(text, *_PLACES[chosen.protocol, chosen.stream]["usage"])
    return msgspec.json.decode(found, type=dict[str, Any] | None) or {} if found else {}


def _tokens(protocol: str, usage: dict[str, Any]) -> tuple[int, int]:
    if protocol == "bedrock":
        return usage.get("inputTokens", 0), usage.get("outputTokens", 0)
    if protocol in ("anthropic", "responses"):
        return usage.get("input_tokens", 0), usage.get("output_tokens", 0)
    if protocol == "gemini":
        thoughts = usage.get("thoughtsTokenCount", 0)
        return usage.get("promptTokenCount", 0), usage.get("candidatesTokenCount", 0) + thoughts
    billed = usage.get("billed_units", {})
    return billed.get("input_tokens", 0), billed.get("output_tokens", 0)


def _counted(protocol: str, recorded: dict[str, Any], prompt: int, completion: int) -> dict[str, Any]:
    """What the recording says of its own prompt (cached parts) is not true of this one, and left out."""
    if protocol == "bedrock":
        return {"inputTokens": prompt, "outputTokens": completion, "totalTokens": prompt + completion}
    if protocol == "anthropic":
        return {"input_tokens": prompt, "output_tokens": completion}
    if protocol == "gemini":
        return {"promptTokenCount": prompt, "candidatesTokenCount": completion, "totalTokenCount": prompt + completion}
    tokens = {"input_tokens": prompt, "output_tokens": completion}
    if protocol == "responses":  # its SDKs need the details
        own = {"input_tokens_details": {"cached_tokens": 0}, "total_tokens": prompt + completion}
        return recorded | tokens | own
    return {"billed_units": tokens, "tokens": tokens}


def _googles(native: Native, chosen: NativeRecording, asked: Question, *, counted: bool) -> Answer:
    """Embeddings of Google AI's, or the same on Vertex AI."""
    document = msgspec.json.decode(str(chosen.body), type=dict[str, Any])
    vector = document["embeddings"][0]["values"]
    prompt = asked.prompt_tokens if counted else document["usageMetadata"]["promptTokenCount"]
    if native.operation == "predictions":
        statistics = {"truncated": False, "token_count": prompt}
        each = {"embeddings": {"values": vector, "statistics": statistics}}
        rest = {"embeddings": {"values": vector, "statistics": {"truncated": False, "token_count": 0}}}
        made: dict[str, Any] = {"predictions": [each, *[rest] * (asked.inputs - 1)]}
    else:
        made = {"embeddings": [{"values": vector}] * asked.inputs, "usageMetadata": {"promptTokenCount": prompt}}
    return Answer(_JSON, msgspec.json.encode(made), (), prompt, 0)


def _embeddings(_: Native, chosen: NativeRecording, asked: Question, *, counted: bool) -> Answer:
    document = msgspec.json.decode(str(chosen.body), type=dict[str, Any])
    vector = document["embeddings"]["float"][0]
    document["embeddings"] = {"float": [vector] * asked.inputs}
    document["texts"] = asked.input
    prompt = document["meta"]["billed_units"]["input_tokens"]
    if counted:
        prompt = document["meta"]["billed_units"]["input_tokens"] = asked.prompt_tokens
    return Answer(_JSON, msgspec.json.encode(document), (), prompt, 0)
