"""Chunks of a stream in OpenAI's format, put together as a client's code does it."""

import json
from collections.abc import Iterator
from typing import Any

from openai.types.chat import ChatCompletionChunk


def events(data: bytes) -> Iterator[dict[str, Any]]:
    """The JSON of each event, but for the closing mark."""
    for line in data.decode().splitlines():
        if line.startswith("data:") and "[DONE]" not in line:
            yield json.loads(line[5:])


def put_together(data: bytes) -> dict[str, Any]:
    """The message that the chunks make; each chunk is valid to OpenAI's own type."""
    message: dict[str, Any] = {"content": "", "tool_calls": [], "reasoning_content": "", "details": {}}
    for event in events(data):
        ChatCompletionChunk.model_validate(event)
        if event.get("usage"):
            message["usage"] = event["usage"]
        for choice in event["choices"]:
            _add(message, choice["delta"])
            message.setdefault("logprobs", []).extend((choice.get("logprobs") or {}).get("content") or ())
            if choice["finish_reason"]:
                message["finish_reason"] = choice["finish_reason"]
                message["native_finish_reason"] = choice.get("native_finish_reason")
    return message


def _add(message: dict[str, Any], delta: dict[str, Any]) -> None:
    message["content"] += delta.get("content") or ""
    message["reasoning_content"] += delta.get("reasoning_content") or ""
    for part in delta.get("reasoning_details") or ():
        detail = message["details"].setdefault(part["index"], {"text": "", "signature": "", "data": ""})
        for field in detail:
            detail[field] += part.get(field) or ""
    for part in delta.get("tool_calls") or ():
        if part["index"] == len(message["tool_calls"]):
            message["tool_calls"].append({"id": part["id"], "name": part["function"]["name"], "arguments": ""})
        message["tool_calls"][part["index"]]["arguments"] += part["function"]["arguments"]
    for kept in ("citations", "annotations", "provider_blocks"):
        grow(message.setdefault(kept, []), delta.get(kept) or [])


def grow(held: list[Any], entries: list[dict[str, Any]]) -> None:
    """Each entry of a list in chunks says its place in the whole, and stands there without it."""
    for entry in entries:
        if entry["index"] != len(held):
            raise AssertionError(f"{entry} is in place {len(held)}")
        held.append({name: value for name, value in entry.items() if name != "index"})
