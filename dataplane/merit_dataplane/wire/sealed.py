"""Thoughts of one vendor on their way through a client that speaks another protocol, and back.

A client gets them as a signature or as encrypted content, and sends them back with its next turn, as its protocol has
it. Then they are told from the vendor's own by `MARK`, and unpacked. They hold no secret: nothing is encrypted.
"""

import base64
from typing import Any

import msgspec

MARK = "merit.v1."
_encode = msgspec.json.Encoder().encode
_details = msgspec.json.Decoder(list[dict[str, Any]])
Detail = dict[str, Any]
"""OpenRouter's object of one thought."""


def seal(details: list[Detail]) -> str:
    """Details as one string. What they say in words stands beside it, and is left out."""
    silent = [{name: value for name, value in detail.items() if name not in ("text", "summary")} for detail in details]
    return MARK + base64.b64encode(_encode(silent)).decode()


def unseal(text: str, spoken: str) -> list[Detail]:
    """The details of such a string; `spoken` is what they said. Empty where it is none, or was tampered with."""
    if not text.startswith(MARK):
        return []
    try:
        details = _details.decode(base64.b64decode(text[len(MARK) :], validate=True))
    except (ValueError, RecursionError):
        return []
    words = next((d for d in details if d.get("type") in ("reasoning.text", "reasoning.summary")), None)
    if words is not None and spoken:
        words["summary" if words["type"] == "reasoning.summary" else "text"] = spoken
    return details
