"""Which requests may be served by stem, and what else than the last user message their answers depend on."""

import hashlib
from collections.abc import Iterable
from typing import Any, NamedTuple

import msgspec

from merit_dataplane.wire.features import Feature
from merit_dataplane.wire.openai_prefix import takes_prefix
from merit_dataplane.wire.openai_request import Call

_encode = msgspec.json.Encoder(order="sorted").encode
_messages = msgspec.json.Decoder(list[msgspec.Raw])
_SAMPLING = ("temperature", "top_p")
_FIELDS = frozenset({
    "model", "messages", "stream", "stream_options", *_SAMPLING, "max_tokens", "max_completion_tokens",
    "user", "metadata", "store", "service_tier", "usage", "cache", "models", "provider", "safety_identifier",
    "prompt_cache_key",
})  # fmt: skip
"""All that such a request may have. What else there is might make another answer of a beginning: tools, schemas, seeds,
penalties, stop sequences, thoughts, what nobody knows yet."""
_WITHOUT = int(Feature.TOOLS | Feature.IMAGES | Feature.AUDIO)


class _Message(msgspec.Struct, forbid_unknown_fields=True):
    role: str
    content: Any


_last = msgspec.json.Decoder(_Message)


class Question(NamedTuple):
    """What a request asks."""

    text: str
    context: bytes
    """32 bytes: hash of what was said before, and of how the answer is to be chosen."""


def question_of(call: Call) -> Question | None:
    """None for a request that is never served by stem, and from which none is learned."""
    if call.native is not None or call.features & _WITHOUT or not takes_prefix(call):
        return None
    if not call.fields.keys() <= _FIELDS:
        return None
    try:
        *before, last = _messages.decode(call.messages)
        message = _last.decode(last)
        if message.role != "user" or not isinstance(message.content, str):
            return None
        said = [_encode(msgspec.json.decode(raw)) for raw in before]
        chosen = {name: float(msgspec.json.decode(call.fields[name])) for name in _SAMPLING if _given(call, name)}
    except (ValueError, TypeError, RecursionError):
        return None
    return Question(message.content, digest((*said, _encode(chosen))))


def digest(parts: Iterable[bytes]) -> bytes:
    """SHA-256, with the parts told apart."""
    made = hashlib.sha256()
    for part in parts:
        made.update(len(part).to_bytes(8, "big"))
        made.update(part)
    return made.digest()


def _given(call: Call, name: str) -> bool:
    return bytes(call.fields.get(name, b"null")) != b"null"
