"""A response, whole and streamed: the one made of the other, so that both share a cache entry.

The last event of a stream holds the whole response. What is streamed again is told item by item, as the vendor
documents it: each item's parts, one delta each.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(dict[str, Any]).decode
_ENDS = ("response.completed", "response.incomplete")
_WRITTEN = {
    "message": ("content", "content_index", "content_part"),
    "reasoning": ("summary", "summary_index", "reasoning_summary_part"),
}
"""Items that are written part by part: where their parts are, what counts these, and what their events are called."""
_TEXTS = {
    "output_text": ("text", "output_text"),
    "refusal": ("refusal", "refusal"),
    "summary_text": ("text", "reasoning_summary_text"),
    "reasoning_text": ("text", "reasoning_text"),
}
"""Parts: the field of their text, and what its events are called."""
_CALLS = {
    "function_call": ("arguments", "function_call_arguments"),
    "custom_tool_call": ("input", "custom_tool_call_input"),
    "mcp_call": ("arguments", "mcp_call_arguments"),
}
"""Items that are calls: the same."""
Item = dict[str, Any]


def response_of(events: Iterable[bytes]) -> bytes:
    """The response that a complete stream tells, given its events' data. Raises ValueError where it tells none."""
    last: Item = {}
    for data in events:
        last = _decode(data)
    response = last.get("response")
    if last.get("type") not in _ENDS or not isinstance(response, dict):
        raise ValueError("no complete response")
    return _encode(response)


def events_of(body: bytes) -> Iterator[bytes]:
    """The data of each event of a stream that tells this response. Raises ValueError where it is none."""
    response = _decode(body)
    kind = f"response.{response.get('status')}"
    if response.get("object") != "response" or kind not in _ENDS:
        raise ValueError("no complete response")
    for number, event in enumerate(_events(response, kind)):
        yield _encode({**event, "sequence_number": number})


def _events(response: Item, kind: str) -> Iterator[Item]:
    begun = {**response, "status": "in_progress", "output": [], "usage": None, "incomplete_details": None}
    if "completed_at" in begun:
        begun["completed_at"] = None
    yield {"type": "response.created", "response": begun}
    yield {"type": "response.in_progress", "response": begun}
    for index, item in enumerate(response["output"]):
        yield from _item(index, item)
    yield {"type": kind, "response": response}


def _item(index: int, item: Item) -> Iterator[Item]:
    place = {"item_id": item.get("id"), "output_index": index}
    start = {**item, "status": "in_progress"} if "status" in item else dict(item)
    written, called = _WRITTEN.get(str(item.get("type"))), _CALLS.get(str(item.get("type")))
    if written is not None:
        start[written[0]] = []
    if called is not None:
        start[called[0]] = ""
    yield {"type": "response.output_item.added", "output_index": index, "item": start}
    if written is not None:
        field, counted, name = written
        for at, part in enumerate(item.get(field) or ()):
            yield from _part(part, name, {**place, counted: at})
    if called is not None:
        field, name = called
        said = item.get(field) or ""
        yield {"type": f"response.{name}.delta", **place, "delta": said}
        yield {"type": f"response.{name}.done", **place, field: said}
    yield {"type": "response.output_item.done", "output_index": index, "item": item}


def _part(part: Item, name: str, place: Item) -> Iterator[Item]:
    field, kind = _TEXTS.get(str(part.get("type")), ("", ""))
    if not field:
        raise ValueError("a part that is newer than this")
    start = {**part, field: ""}
    for listed in ("annotations", "logprobs"):
        if listed in part:
            start[listed] = []
    logprobs = {"logprobs": part.get("logprobs") or []} if kind == "output_text" else {}
    yield {"type": f"response.{name}.added", **place, "part": start}
    yield {"type": f"response.{kind}.delta", **place, "delta": part.get(field) or "", **logprobs}
    for at, annotation in enumerate(part.get("annotations") or ()):
        noted = {"annotation_index": at, "annotation": annotation}
        yield {"type": "response.output_text.annotation.added", **place, **noted}
    yield {"type": f"response.{kind}.done", **place, field: part.get(field) or "", **logprobs}
    yield {"type": f"response.{name}.done", **place, "part": part}
