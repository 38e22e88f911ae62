"""A request as a vendor takes it. Only a field that differs is touched; every other keeps its bytes."""

from collections.abc import Container

import msgspec

from merit_dataplane.wire.openai_request import OURS, Call, Operation
from merit_dataplane.wire.openai_vendors.table import Vendor

_encode = msgspec.json.Encoder().encode
_messages = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])
_OF_CHATS = (Operation.CHAT, Operation.COMPLETIONS)


class AllBut:
    """Every name but these."""

    def __init__(self, names: frozenset[str]):
        self._names = names

    def __contains__(self, name: object) -> bool:
        return name not in self._names


def vendor_body(vendor: Vendor, call: Call, model: msgspec.Raw) -> bytes:
    """The bytes for the vendor. `model`: JSON string."""
    if call.operation not in _OF_CHATS:
        return call.body_for(model)
    fields = {**call.fields, "model": model}
    if vendor.asks_for_usage:
        call.ask_for_usage(fields)
    for ours in OURS:
        fields.pop(ours, None)
    for name, theirs in (vendor.renamed or {}).items():
        value = fields.pop(name, None)
        if value is not None and bytes(value) != b"null":
            fields[theirs] = value
    if vendor.knows is not None:
        fields = {name: value for name, value in fields.items() if name in vendor.knows}
    for name in vendor.refuses & fields.keys():
        del fields[name]
    if vendor.message_knows is not None and call.operation is Operation.CHAT:
        fields["messages"] = _known(fields["messages"], vendor.message_knows)
    return _encode(fields)


def _known(messages: msgspec.Raw, names: frozenset[str]) -> msgspec.Raw:
    """Messages without the fields that are refused; as they are where there are none, or where they are no messages."""
    try:
        given = _messages.decode(messages)
    except (ValueError, RecursionError):
        return messages
    if all(names.issuperset(message) for message in given):
        return messages
    return msgspec.Raw(_encode([{n: v for n, v in message.items() if n in names} for message in given]))


def vendor_keeps(vendor: Vendor) -> Container[str] | None:
    """The parameters of OpenAI's that are sent on; None for all."""
    if vendor.knows is not None:
        renamed = vendor.renamed or {}
        return vendor.knows | {name for name, theirs in renamed.items() if theirs in vendor.knows}
    return AllBut(vendor.refuses) if vendor.refuses else None
