"""Cache marks set in a request of OpenAI's format: `cache_control`, which translations to vendors that need it know."""

from typing import Any

import msgspec

from merit_dataplane.warmth.marks import Marks
from merit_dataplane.warmth.prefix import INSTRUCTING
from merit_dataplane.wire.openai_request import Call

_MARK = msgspec.Raw(b'{"type":"ephemeral"}')
_encode = msgspec.json.Encoder().encode
_items = msgspec.json.Decoder(list[msgspec.Raw])
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])
_text = msgspec.json.Decoder(str)


def marked(call: Call, marks: int) -> Call:
    """The request with marks at these places; all else keeps its bytes."""
    fields = dict(call.fields)
    if marks & Marks.TOOLS and "tools" in fields:
        fields["tools"] = _last_marked(fields["tools"])
    messages = _items.decode(call.messages)
    instructing = next((i for i, raw in enumerate(messages) if _role(raw) not in INSTRUCTING), len(messages))
    if marks & Marks.INSTRUCTIONS and instructing:
        messages[instructing - 1] = _message(messages[instructing - 1])
    if marks & Marks.END and len(messages) > instructing:
        messages[-1] = _message(messages[-1])
    fields["messages"] = msgspec.Raw(_encode(messages))
    return msgspec.structs.replace(call, fields=fields, messages=fields["messages"])


def _message(raw: msgspec.Raw) -> msgspec.Raw:
    """A text is marked as a whole, parts and calls at the last of them."""
    message = _fields.decode(raw)
    for place in ("tool_calls", "content"):
        given = bytes(message.get(place, b""))
        if given[:1] == b"[" and given != b"[]":
            message[place] = _last_marked(message[place])
            return msgspec.Raw(_encode(message))
    return _with_mark(message)


def _last_marked(raw: msgspec.Raw) -> msgspec.Raw:
    items = _items.decode(raw)
    if items and bytes(items[-1])[:1] == b"{":
        items[-1] = _with_mark(_fields.decode(items[-1]))
    return msgspec.Raw(_encode(items))


def _with_mark(given: dict[str, Any]) -> msgspec.Raw:
    return msgspec.Raw(_encode({**given, "cache_control": _MARK}))


def _role(raw: msgspec.Raw) -> str:
    try:
        return _text.decode(_fields.decode(raw).get("role", b'""'))
    except ValueError:
        return ""
