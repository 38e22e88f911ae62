"""Cache marks set in a request: Anthropic's `cache_control`, which translations of OpenAI's format know too."""

from typing import Any

import msgspec

from merit_dataplane.warmth.marks import Marks
from merit_dataplane.warmth.prefix import INSTRUCTING
from merit_dataplane.wire.openai_request import Call, Native, Operation

_MARK = msgspec.Raw(b'{"type":"ephemeral"}')
_EMPTY = msgspec.Raw(b"[]")
_encode = msgspec.json.Encoder().encode
_items = msgspec.json.Decoder(list[msgspec.Raw])
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])
_text = msgspec.json.Decoder(str)


def marked(call: Call, marks: int) -> Call:
    """The request with marks at these places, if any; all else keeps its bytes."""
    if not marks:
        return call
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
    native = call.native
    if native is not None and native.operation is Operation.MESSAGES:
        native = _native(native, marks)
    return msgspec.structs.replace(call, fields=fields, messages=fields["messages"], native=native)


def _native(native: Native, marks: int) -> Native:
    """The same in the client's own words, where those are Anthropic's: the provider may get them as they are."""
    fields = dict(native.fields)
    if marks & Marks.TOOLS and "tools" in fields:
        fields["tools"] = _last_marked(fields["tools"])
    if marks & Marks.INSTRUCTIONS and "system" in fields:
        fields["system"] = _content(fields["system"])
    if marks & Marks.END and "messages" in fields:
        turns = _items.decode(fields["messages"])
        if turns:
            last = _fields.decode(turns[-1])
            turns[-1] = msgspec.Raw(_encode({**last, "content": _content(last.get("content", _EMPTY))}))
            fields["messages"] = msgspec.Raw(_encode(turns))
    return msgspec.structs.replace(native, fields=fields)


def _content(raw: msgspec.Raw) -> msgspec.Raw:
    """A text as a block, which can be marked; of blocks the last one."""
    if bytes(raw)[:1] != b'"':
        return _last_marked(raw)
    return msgspec.Raw(_encode([{"type": "text", "text": raw, "cache_control": _MARK}]))


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
