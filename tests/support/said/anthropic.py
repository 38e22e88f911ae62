"""What Anthropic says in its Messages."""

import json
from typing import Any

from tests.support.said.answer import Said, Turn, Usage, events, read

Fields = dict[str, Any]


def whole(body: bytes) -> Said:
    """A message."""
    return _of(json.loads(body))


def stream(body: bytes) -> Said:
    """A message, put together from its events."""
    message: Fields = {"content": []}
    blocks: dict[int, Fields] = {}
    failed = ""
    for event in events(body):
        match event["type"]:
            case "message_start":
                message = {**event["message"], "content": []}
            case "content_block_start":
                blocks[event["index"]] = {**event["content_block"], "json": ""}
            case "content_block_delta":
                _grow(blocks[event["index"]], event["delta"])
            case "message_delta":
                message |= event["delta"]
                told = {name: value for name, value in (event.get("usage") or {}).items() if value is not None}
                message["usage"] = {**(message.get("usage") or {}), **told}
            case "error":
                failed = event["error"]["message"]
    for block in blocks.values():
        if block["json"]:
            block["input"] = json.loads(block["json"])
    said = _of({**message, "content": list(blocks.values())})
    said.error = failed
    return said


def _grow(block: Fields, delta: Fields) -> None:
    for name in ("text", "thinking", "signature"):
        if name in delta:
            block[name] = block.get(name, "") + delta[name]
    block["json"] += delta.get("partial_json", "")
    if "citation" in delta:
        block["citations"] = [*(block.get("citations") or ()), delta["citation"]]


def _of(message: Fields) -> Said:
    turn = Turn(stop=message.get("stop_reason"))
    for block in message["content"]:
        match block["type"]:
            case "text":
                turn.text += block["text"]
                cited = block.get("citations") or ()
                turn.citations += len(cited)
                turn.pages += sum(1 for c in cited if str(c.get("url") or c.get("source") or "").startswith("http"))
            case "thinking":
                turn.thoughts += block["thinking"]
                turn.signatures += [block["signature"]] if block.get("signature") else []
            case "redacted_thinking":
                turn.signatures.append(block["data"])
            case "tool_use":
                turn.calls.append((block["name"], read(block["input"])))
            case kind:
                turn.others.append(kind)
    return Said(
        turns=[turn],
        identity=message.get("id") or "",
        model=message.get("model") or "",
        usage=_usage(message.get("usage")),
    )


def _usage(given: Any) -> Usage | None:
    if not isinstance(given, dict) or given.get("output_tokens") is None:
        return None
    cached, written = given.get("cache_read_input_tokens") or 0, given.get("cache_creation_input_tokens") or 0
    details = given.get("output_tokens_details") or {}
    return Usage(
        input=(given.get("input_tokens") or 0) + cached + written,
        cached=cached,
        written=written,
        output=given["output_tokens"],
        reasoning=details.get("thinking_tokens"),
    )
