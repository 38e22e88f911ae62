"""What a client got, read as a client of that endpoint reads it."""

import json
from dataclasses import dataclass, field
from typing import Any

from tests.support.fault_matrix.answers import ARGUMENTS, TEXT, VECTOR


@dataclass(slots=True)
class Got:
    """An answer, or what there is of it."""

    status: int
    text: str = ""
    arguments: str = ""
    vector: list[float] = field(default_factory=list)
    finished: bool = False
    """It says why it ended, and its stream has its end mark."""
    error: str = ""
    """Code or kind of an error that it says."""
    broken: str = ""
    """How it is none of its protocol's."""

    def whole(self, *, calls: bool) -> bool:
        """Whether it is the answer, all of it, and nothing else."""
        if self.status != 200 or self.error or self.broken or not self.finished:
            return False
        if self.vector:
            return self.vector == VECTOR
        if calls:
            return self.text == "" and json.loads(self.arguments) == json.loads("".join(ARGUMENTS))
        return self.text == TEXT


def read(operation: str, status: int, kind: str, body: bytes) -> Got:
    """Of an answer's bytes; `kind` is its content type."""
    got = Got(status)
    try:
        if kind.startswith("text/event-stream"):
            for event in _events(body):
                _STREAMED[operation](got, event)
            if operation in ("chat/completions", "completions"):
                got.finished = got.finished and body.endswith(b"data: [DONE]\n\n")
        else:
            document = json.loads(body)
            if status >= 400:
                got.error = str(document["error"].get("code") or document["error"]["type"])
            else:
                _WHOLE[operation](got, document)
    except (ValueError, KeyError, IndexError, TypeError) as error:
        got.broken = f"{type(error).__name__}: {error}: {body[-300:]!r}"
    return got


def _events(body: bytes) -> list[dict[str, Any]]:
    if body and not body.replace(b"\r\n", b"\n").endswith(b"\n\n"):
        raise ValueError("half an event at its end")
    lines = [line[5:].strip() for line in body.splitlines() if line.startswith(b"data:")]
    return [json.loads(line) for line in lines if line != b"[DONE]"]


def _chat(got: Got, event: dict[str, Any]) -> None:
    if event.get("error"):
        got.error = str(event["error"].get("code") or event["error"]["type"])
        return
    for choice in event["choices"]:
        delta = choice.get("delta", choice)
        got.text += delta.get("content") or choice.get("text") or ""
        for call in delta.get("tool_calls") or ():
            got.arguments += call["function"].get("arguments") or ""
        got.finished = got.finished or bool(choice.get("finish_reason"))


def _message(got: Got, event: dict[str, Any]) -> None:
    match event["type"]:
        case "error":
            got.error = str(event["error"]["type"])
        case "content_block_delta":
            got.text += event["delta"].get("text") or ""
            got.arguments += event["delta"].get("partial_json") or ""
        case "message_stop":
            got.finished = True


def _response(got: Got, event: dict[str, Any]) -> None:
    match event["type"]:
        case "error":
            got.error = str(event.get("code") or "error")
        case "response.failed":
            got.error = str(event["response"]["error"]["code"])
        case "response.output_text.delta":
            got.text += event["delta"]
        case "response.function_call_arguments.delta":
            got.arguments += event["delta"]
        case "response.completed":
            got.finished = True


def _whole_chat(got: Got, document: dict[str, Any]) -> None:
    choice = document["choices"][0]
    message = choice.get("message") or {}
    got.text = message.get("content") or choice.get("text") or ""
    got.arguments = "".join(call["function"]["arguments"] for call in message.get("tool_calls") or ())
    got.finished = bool(choice["finish_reason"])


def _whole_message(got: Got, document: dict[str, Any]) -> None:
    for block in document["content"]:
        got.text += block.get("text") or ""
        got.arguments += json.dumps(block["input"]) if block["type"] == "tool_use" else ""
    got.finished = bool(document["stop_reason"])


def _whole_response(got: Got, document: dict[str, Any]) -> None:
    for item in document["output"]:
        got.text += "".join(part.get("text") or "" for part in item.get("content") or ())
        got.arguments += item.get("arguments") or ""
    got.finished = document["status"] == "completed"


def _whole_embedding(got: Got, document: dict[str, Any]) -> None:
    got.vector, got.finished = document["data"][0]["embedding"], True


_STREAMED = {
    "chat/completions": _chat,
    "completions": _chat,
    "messages": _message,
    "responses": _response,
}
_WHOLE = {
    "chat/completions": _whole_chat,
    "completions": _whole_chat,
    "messages": _whole_message,
    "responses": _whole_response,
    "embeddings": _whole_embedding,
}
