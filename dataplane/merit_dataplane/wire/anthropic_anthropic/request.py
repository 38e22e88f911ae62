"""The client's own bytes, for a provider of the same protocol."""

from typing import Any

import msgspec

from merit_dataplane.wire.openai_anthropic.request import VERTEX_VERSION
from merit_dataplane.wire.openai_request import OURS, Native, Operation
from merit_dataplane.wire.sealed import MARK

_encode = msgspec.json.Encoder().encode
_turns = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])
_blocks = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])
_citations = msgspec.json.Decoder(list[dict[str, Any]])
_MARK = MARK.encode()


def request_body(native: Native, model: msgspec.Raw) -> bytes:
    """The bytes for the provider: `model` is the JSON string of the model's name there."""
    return _encode(_fields(native, model))


def vertex_body(native: Native, model: msgspec.Raw) -> bytes:
    """The same for Vertex AI: the protocol's version is a field there, and but for a count the URL names the model."""
    fields = _fields(native, model)
    if native.operation is not Operation.COUNT_TOKENS:
        del fields["model"]
    return _encode({"anthropic_version": VERTEX_VERSION, **fields})


def _fields(native: Native, model: msgspec.Raw) -> dict[str, Any]:
    fields = {name: raw for name, raw in native.fields.items() if name not in OURS}
    fields["model"] = model
    if _MARK in bytes(fields.get("messages", b"")):
        fields["messages"] = _without_ours(fields["messages"])
    return fields


def _without_ours(messages: msgspec.Raw) -> msgspec.Raw:
    """Thoughts and citations that Merit made of another vendor's answer: Anthropic would refuse their signatures."""
    try:
        turns = _turns.decode(messages)
        for turn in turns:
            content = bytes(turn.get("content", b""))
            if content.startswith(b"[") and _MARK in content:
                blocks = [made for block in _blocks.decode(content) if (made := _kept(block))]
                turn["content"] = msgspec.Raw(_encode(blocks))
    except (ValueError, RecursionError):
        return messages  # the provider is to say what is wrong with them
    return msgspec.Raw(_encode([turn for turn in turns if bytes(turn.get("content", b"")) != b"[]"]))


def _kept(block: dict[str, msgspec.Raw]) -> dict[str, msgspec.Raw]:
    signature, citations = bytes(block.get("signature", b"")), bytes(block.get("citations", b""))
    if signature.startswith(b'"' + _MARK):
        return {}
    if _MARK in citations:
        cited = [c for c in _citations.decode(citations) if not str(c.get("encrypted_index")).startswith(MARK)]
        return {**block, "citations": msgspec.Raw(_encode(cited or None))}
    return block
