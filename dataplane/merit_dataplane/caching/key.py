"""The exact cache's key: a hash of everything that can change an answer, and of whose answer it is."""

import hashlib

import msgspec

from merit_dataplane.wire.openai_request import Call

_encode = msgspec.json.Encoder(order="sorted").encode
_IGNORED = frozenset({"stream", "stream_options", "usage", "user", "metadata", "store"})
"""Fields that change how an answer is delivered or filed, not what it says."""


def exact_key(call: Call, *, consumer: str, route: str) -> bytes | None:
    """SHA-256 over the consumer, the route and the canonical request; None where a field has no canonical form."""
    asked = call if call.native is None else call.native
    try:
        fields = {name: msgspec.json.decode(raw) for name, raw in asked.fields.items() if name not in _IGNORED}
    except (ValueError, RecursionError):  # no UTF-8, or a number out of range: the provider is to say so
        return None
    parts = [consumer.encode(), route.encode(), asked.operation.encode(), _encode(fields)]
    if call.native is not None:
        parts.append(_encode(call.native.headers))
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.digest()
