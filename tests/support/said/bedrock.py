"""What Amazon Bedrock says through Converse and ConverseStream."""

import json
import struct
from collections.abc import Iterator
from typing import Any

from tests.support.said.answer import Said, Turn, Usage, read

Fields = dict[str, Any]


def whole(body: bytes) -> Said:
    """An answer of Converse."""
    given = json.loads(body)
    return _of(given["output"]["message"]["content"], given.get("stopReason"), given.get("usage"))


def stream(body: bytes) -> Said:
    """The events of ConverseStream, put together."""
    blocks: dict[int, Fields] = {}
    stop, counted, failed = None, None, ""
    for headers, event in messages(body):
        kind = headers.get(":event-type")
        if kind == "contentBlockStart":
            for name, started in (event.get("start") or {}).items():
                blocks[event["contentBlockIndex"]] = {name: {**started, "input": ""}}
        elif kind == "contentBlockDelta":
            _grow(blocks.setdefault(event["contentBlockIndex"], {}), event["delta"])
        elif kind == "messageStop":
            stop = event["stopReason"]
        elif kind == "metadata":
            counted = event.get("usage")
        elif kind is None:
            failed = event.get("message") or headers.get(":error-message") or headers.get(":exception-type") or "?"
    said = _of(list(blocks.values()), stop, counted)
    said.error = failed
    return said


def _grow(block: Fields, delta: Fields) -> None:
    for name, added in delta.items():
        if name == "text":
            block["text"] = block.get("text", "") + added
        elif name == "toolUse":
            block["toolUse"]["input"] += added.get("input") or ""
        elif name == "reasoningContent":
            thought = block.setdefault("reasoningContent", {"reasoningText": {"text": "", "signature": ""}})
            for field in ("text", "signature"):
                thought["reasoningText"][field] += added.get(field) or ""
            if added.get("redactedContent"):
                thought["redactedContent"] = added["redactedContent"]
        elif name == "citation":
            block.setdefault("citations", []).append(added)


def _of(blocks: list[Fields], stop: str | None, counted: Any) -> Said:
    turn = Turn(stop=stop)
    for block in blocks:
        cited = block.get("citations") or ()
        if "citationsContent" in block:
            turn.text += "".join(part.get("text", "") for part in block["citationsContent"].get("content") or ())
            cited = block["citationsContent"].get("citations") or ()
        turn.citations += len(cited)
        turn.pages += sum(1 for one in cited if _page(one))
        turn.text += block.get("text") or ""
        if "toolUse" in block and block["toolUse"].get("type") != "server_tool_use":
            turn.calls.append((block["toolUse"]["name"], read(block["toolUse"].get("input"))))
        elif "reasoningContent" in block:
            thought = block["reasoningContent"].get("reasoningText") or {}
            turn.thoughts += thought.get("text") or ""
            turn.signatures += [thought["signature"]] if thought.get("signature") else []
            hidden = block["reasoningContent"].get("redactedContent")
            turn.signatures += [hidden] if hidden else []
        elif not block.keys() & {"text", "citationsContent", "citations", "toolUse"}:
            turn.others += list(block)[:1]
    return Said(turns=[turn], usage=_usage(counted))


def _page(citation: Fields) -> bool:
    """Whether it names a page in the web, be it as the source of a search result."""
    url = (citation.get("location") or {}).get("web", {}).get("url") or citation.get("source") or ""
    return str(url).startswith(("https://", "http://"))


def _usage(given: Any) -> Usage | None:
    if not isinstance(given, dict):
        return None
    cached, written = given.get("cacheReadInputTokens") or 0, given.get("cacheWriteInputTokens") or 0
    return Usage(
        input=given["inputTokens"] + cached + written, cached=cached, written=written, output=given["outputTokens"]
    )


def messages(body: bytes) -> Iterator[tuple[dict[str, str], Fields]]:
    """Headers and JSON of each message; the format is Amazon's (vnd.amazon.eventstream), headers are strings there."""
    at = 0
    while at < len(body):
        total, size = struct.unpack(">II", body[at : at + 8])
        place, end = at + 12, at + 12 + size
        headers = {}
        while place < end:
            length = body[place]
            name = body[place + 1 : place + 1 + length].decode()
            place += 1 + length
            count = int.from_bytes(body[place + 1 : place + 3], "big")
            headers[name] = body[place + 3 : place + 3 + count].decode()
            place += 3 + count
        payload = body[end : at + total - 4]
        yield headers, json.loads(payload) if payload else {}
        at += total


def embeddings(body: bytes) -> Said:
    """Vectors of InvokeModel: Titan's, Nova's, Cohere's."""
    given = json.loads(body)
    found = given.get("embeddings") or [given["embedding"]]
    if isinstance(found, dict):
        found = found["float"]
    return Said(vectors=[one["embedding"] if isinstance(one, dict) else one for one in found])
