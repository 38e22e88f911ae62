"""Vectors of embeddings as OpenAI's clients want them."""

import base64
import struct

import msgspec

from merit_dataplane.wire.openai_request import Call

_floats = msgspec.json.Decoder(list[float])


def as_base64(call: Call) -> bool:
    """Whether the client wants its vectors so."""
    return bytes(call.fields.get("encoding_format", b"")) == b'"base64"'


def packed(raw: msgspec.Raw) -> str:
    """As OpenAI does it: 32-bit floats, little-endian, in base64. Raises ValueError."""
    numbers = _floats.decode(raw)
    try:
        return base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()
    except (OverflowError, struct.error):
        raise ValueError("an embedding has a number that is no 32-bit float") from None


def listing(vectors: list[msgspec.Raw], *, base64_wanted: bool) -> list[dict[str, object]]:
    """OpenAI's `data`. Raises ValueError."""
    return [
        {"object": "embedding", "index": place, "embedding": packed(raw) if base64_wanted else raw}
        for place, raw in enumerate(vectors)
    ]
