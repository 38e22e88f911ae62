"""Recorded answers: which one fits a request, and what little of it is changed."""

import hashlib
import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import msgspec

_BYTES_PER_TOKEN = 4


class Recording(msgspec.Struct, frozen=True):
    """One recorded answer."""

    name: str
    operation: str
    """chat, completions or embeddings."""
    shape: str
    """text, tools, json, vector or base64."""
    stream: bool
    vendor: str
    headers: dict[str, str]
    body: str
    origin: dict[str, str]


class Answer(msgspec.Struct, frozen=True):
    """The answer to one request."""

    headers: dict[str, str]
    body: bytes
    """Of an answer that is not streamed."""
    events: tuple[bytes, ...]
    """Of a stream, each with its blank line."""
    prompt_tokens: int
    completion_tokens: int


@cache
def packaged() -> tuple[Recording, ...]:
    """The recordings that ship with Merit."""
    folder = files("merit_dataplane.fake_provider") / "recordings"
    found = [
        file.read_bytes() for file in sorted(folder.iterdir(), key=lambda f: f.name) if file.name.endswith(".json")
    ]
    return tuple(msgspec.json.decode(data, type=Recording) for data in found)


def from_folder(folder: Path) -> tuple[Recording, ...]:
    """Recordings of a folder. Raises OSError or msgspec.MsgspecError."""
    return tuple(msgspec.json.decode(f.read_bytes(), type=Recording) for f in sorted(folder.glob("*.json")))


def answer(
    recordings: tuple[Recording, ...], operation: str, request: Mapping[str, Any], *, counted: bool = True
) -> Answer:
    """The recorded answer that fits, for this request's model.

    `counted`: usage has this request's prompt tokens (bytes of text / 4) and the recording's completion tokens, so that
    a bill can be foreseen; otherwise it is as recorded.
    """
    stream = bool(request.get("stream")) and operation != "embeddings"
    recording = _choose(recordings, operation, _shape(operation, request), request, stream=stream)
    prompt = max(1, len(_text(request).encode()) // _BYTES_PER_TOKEN)
    if stream:
        return _stream_answer(recording, request, prompt, counted=counted)
    document = msgspec.json.decode(recording.body)
    usage = dict(document.get("usage") or {})
    completion = int(usage.get("completion_tokens") or 0)
    if counted:
        usage |= {"prompt_tokens": prompt, "total_tokens": prompt + completion}
        usage.pop("prompt_tokens_details", None)
    document |= {"model": request["model"], "usage": usage}
    _rename_tool(document.get("choices", []), request)
    return Answer(
        recording.headers, msgspec.json.encode(document), (), int(usage.get("prompt_tokens") or 0), completion
    )


def _shape(operation: str, request: Mapping[str, Any]) -> str:
    if operation == "embeddings":
        return "base64" if request.get("encoding_format") == "base64" else "vector"
    messages = request.get("messages") or [{}]
    last = messages[-1] if isinstance(messages, list) and isinstance(messages[-1], dict) else {}
    if request.get("tools") and request.get("tool_choice") != "none" and last.get("role") != "tool":
        return "tools"
    wanted = request.get("response_format")
    return "json" if isinstance(wanted, dict) and wanted.get("type") in ("json_schema", "json_object") else "text"


def _choose(
    recordings: tuple[Recording, ...], operation: str, shape: str, request: Mapping[str, Any], *, stream: bool
) -> Recording:
    fitting = [r for r in recordings if r.operation == operation and r.stream == stream and r.shape == shape]
    fitting = fitting or [r for r in recordings if r.operation == operation and r.stream == stream]
    digest = hashlib.sha256(_text(request).encode()).digest()
    return fitting[digest[0] % len(fitting)]


def _text(request: Mapping[str, Any]) -> str:
    """All text that the request sends."""
    parts: list[str] = []
    for message in request.get("messages") or []:
        content = message.get("content") if isinstance(message, dict) else None
        if isinstance(content, str):
            parts.append(content)
        elif isinstance(content, list):
            parts += [str(part.get("text", "")) for part in content if isinstance(part, dict)]
    for name in ("prompt", "input"):
        value = request.get(name)
        parts += [value] if isinstance(value, str) else [str(v) for v in value or []]
    return "".join(parts)


def _stream_answer(recording: Recording, request: Mapping[str, Any], prompt: int, *, counted: bool) -> Answer:
    events: list[bytes] = []
    usage: dict[str, Any] = {}
    created = 0
    for event in re.split(r"\r?\n\r?\n", recording.body):
        payload = event.removeprefix("data:").strip()
        if not payload or payload == "[DONE]":
            continue
        document = msgspec.json.decode(payload)
        usage = document.pop("usage", None) or usage
        created = document.get("created", created)
        if not document.get("choices") and usage:
            continue
        _rename_tool(document.get("choices", []), request, part="delta")
        events.append(_event({**document, "model": request["model"]}))
    completion = int(usage.get("completion_tokens") or len(events))
    if counted or not usage:
        usage = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
    if (request.get("stream_options") or {}).get("include_usage"):
        kind = "chat.completion.chunk" if recording.operation == "chat" else "text_completion"
        last = {"id": recording.name, "object": kind, "created": created, "model": request["model"]}
        events.append(_event({**last, "choices": [], "usage": usage}))
    headers = {**recording.headers, "content-type": "text/event-stream; charset=utf-8"}
    return Answer(headers, b"", (*events, b"data: [DONE]\n\n"), int(usage["prompt_tokens"]), completion)


def _event(document: Mapping[str, Any]) -> bytes:
    return b"data: " + msgspec.json.encode(document) + b"\n\n"


def _rename_tool(choices: list[Any], request: Mapping[str, Any], part: str = "message") -> None:
    """A request with one function gets calls of that function."""
    tools = request.get("tools") or []
    if len(tools) != 1 or not isinstance(tools[0], dict) or tools[0].get("type") != "function":
        return
    for choice in choices:
        for call in (choice.get(part) or {}).get("tool_calls") or []:
            function = call.get("function") or {}
            if function.get("name"):
                function["name"] = tools[0]["function"]["name"]
            call.setdefault("type", "function")
