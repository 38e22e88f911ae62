"""The client's own bytes, for a provider that has Responses."""

from typing import Any

import msgspec

from merit_dataplane.wire.openai_request import OURS, Native
from merit_dataplane.wire.sealed import MARK

_FALSE = msgspec.Raw(b"false")
_ENCRYPTED = "reasoning.encrypted_content"
_encode = msgspec.json.Encoder().encode
_items = msgspec.json.Decoder(list[msgspec.Raw])
_includes = msgspec.json.Decoder(list[Any])


class _Item(msgspec.Struct):
    type: Any = None
    encrypted_content: Any = None


_item = msgspec.json.Decoder(_Item)


def request_body(native: Native, model: msgspec.Raw) -> bytes:
    """The bytes for the provider: `model` is the JSON string of the model's name there.

    A client that counts on a store sends thoughts back by their ids. Here they have to carry their content: it is asked
    for where the request says that the model reasons.
    """
    given = native.fields
    fields = {name: raw for name, raw in given.items() if name not in OURS}
    fields["model"] = model
    fields["store"] = _FALSE
    stores = bytes(given.get("store", b"null")) != b"false"
    if stores and bytes(given.get("reasoning", b"null")) not in (b"null", b"{}"):
        fields["include"] = _with_thoughts(given.get("include"))
    if b'"reasoning"' in bytes(fields.get("input", b"")):
        fields["input"] = _readable(fields["input"])
    return _encode(fields)


def _with_thoughts(include: msgspec.Raw | None) -> msgspec.Raw:
    try:
        wanted = _includes.decode(include) if include is not None and bytes(include) != b"null" else []
    except (ValueError, RecursionError):
        return include or msgspec.Raw(b"null")  # the provider is to say what is wrong with it
    return msgspec.Raw(_encode(wanted if _ENCRYPTED in wanted else [*wanted, _ENCRYPTED]))


def _readable(items: msgspec.Raw) -> msgspec.Raw:
    try:
        return msgspec.Raw(_encode([item for item in _items.decode(items) if _can_be_read(item)]))
    except (ValueError, RecursionError):
        return items


def _can_be_read(raw: msgspec.Raw) -> bool:
    if b'"reasoning"' not in bytes(raw):
        return True
    item = _item.decode(raw)
    if item.type != "reasoning":
        return True
    return isinstance(item.encrypted_content, str) and not item.encrypted_content.startswith(MARK)
