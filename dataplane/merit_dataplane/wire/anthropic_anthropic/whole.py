"""A message, whole and streamed: the one made of the other, so that both share a cache entry.

As in `openai_whole`, what a stream has and a message could not say exactly is never guessed at.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(dict[str, Any]).decode
_value = msgspec.json.Decoder().decode
_GROW = {"text_delta": "text", "thinking_delta": "thinking", "signature_delta": "signature"}
"""Deltas that lengthen a field of their block, and its name in both."""
Part = dict[str, Any]


def message_of(events: Iterable[bytes]) -> bytes:
    """The message that a complete stream tells, given its events' data. Raises ValueError where it can't be told."""
    told = _Told()
    for data in events:
        event = _decode(data)
        kind = event.get("type")
        if kind == "ping":
            continue
        if told.ended or bool(told.message) == (kind == "message_start"):
            raise ValueError("an event out of its order")
        told.add(str(kind), event)
    if not told.ended or not told.message.get("stop_reason") or told.inputs:
        raise ValueError("no complete message")
    return _encode(told.message)


class _Told:
    """As far as events have told it."""

    def __init__(self) -> None:
        self.message: Part = {}
        self.inputs: dict[int, str] = {}
        """Those that are being written, by their block's place."""
        self.ended = False

    def add(self, kind: str, event: Part) -> None:
        match kind:
            case "message_start":
                self.message = {**event["message"], "content": []}
            case "content_block_start":
                if event["index"] != len(self.message["content"]):
                    raise ValueError("a block out of its order")
                self.message["content"].append(event["content_block"])
            case "content_block_delta":
                self._grow(self.message["content"][event["index"]], event["delta"], event["index"])
            case "content_block_stop":
                if text := self.inputs.pop(event["index"], ""):
                    self.message["content"][event["index"]]["input"] = _value(text.encode())
            case "message_delta":
                usage = {**(self.message.get("usage") or {}), **_said(event.get("usage"))}
                more = {name: event[name] for name in event if name not in _OF_THE_EVENT}
                self.message |= {**(event.get("delta") or {}), **more, "usage": usage}
            case "message_stop":
                self.ended = True
            case _:
                raise ValueError("an event that is newer than this")

    def _grow(self, block: Part, delta: Part, index: int) -> None:
        kind = delta.get("type")
        if kind in _GROW and set(delta) == {"type", _GROW[kind]}:
            name = _GROW[kind]
            block[name] = (block.get(name) or "") + delta[name]
        elif kind == "input_json_delta":
            self.inputs[index] = self.inputs.get(index, "") + delta["partial_json"]
        elif kind == "citations_delta":
            block["citations"] = [*(block.get("citations") or []), delta["citation"]]
        else:
            raise ValueError("a delta that is newer than this")


_OF_THE_EVENT = frozenset({"type", "delta", "usage"})


def _said(usage: Part | None) -> Part:
    return {name: value for name, value in (usage or {}).items() if value is not None}


def events_of(body: bytes) -> Iterator[bytes]:
    """The data of each event of a stream that tells this message. Raises ValueError where it is none."""
    message = _decode(body)
    if message.get("type") != "message" or not message.get("stop_reason"):
        raise ValueError("no complete message")
    usage, last = message.get("usage") or {}, {name: message.get(name) for name in ("stop_reason", "stop_sequence")}
    begun = {**message, "content": [], **dict.fromkeys(last), "usage": {**usage, "output_tokens": 0}}
    if "container" in message:
        begun["container"], last["container"] = None, message["container"]
    yield _encode({"type": "message_start", "message": begun})
    for index, block in enumerate(message["content"]):
        start, deltas = _parts(block)
        yield _encode({"type": "content_block_start", "index": index, "content_block": start})
        for delta in deltas:
            yield _encode({"type": "content_block_delta", "index": index, "delta": delta})
        yield _encode({"type": "content_block_stop", "index": index})
    yield _encode({"type": "message_delta", "delta": last, "usage": usage})
    yield _encode({"type": "message_stop"})


def _parts(block: Part) -> tuple[Part, list[Part]]:
    """How a block starts, and what is said of it then."""
    start, deltas = dict(block), list[Part]()
    fields: tuple[str, ...] = ()
    cited = block.get("citations") if block.get("type") == "text" else None
    if cited:
        start["citations"] = []
        deltas += [{"type": "citations_delta", "citation": citation} for citation in cited]
    match block.get("type"):
        case "text":
            fields = ("text_delta",)
        case "thinking":
            fields = ("thinking_delta", "signature_delta")
        case "tool_use" | "server_tool_use" | "mcp_tool_use":
            start["input"] = {}
            deltas.append({"type": "input_json_delta", "partial_json": _encode(block.get("input")).decode()})
    for kind in fields:
        name = _GROW[kind]
        if block.get(name):
            start[name] = ""
            deltas.append({"type": kind, name: block[name]})
    return start, deltas
