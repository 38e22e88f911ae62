"""The exact cache's key: a hash of everything that can change an answer, and of whose answer it is.

The request in one canonical form: members in order, no white space, numbers that are whole written whole (what RFC 8785
does, but for the digits of other numbers: those are as our encoder writes them, in every pod the same).
"""

import hashlib
import json
from collections.abc import Collection, Iterable
from typing import Any

import msgspec

from merit_dataplane.stems.wording import canonical
from merit_dataplane.wire.openai_request import Call

_encode = msgspec.json.Encoder(order="sorted").encode
_IGNORED = frozenset({"model", "stream", "stream_options", "usage", "user", "metadata", "store", "cache"})
"""Fields that change how an answer is delivered or filed, not what it says. The model's name stands for its route."""


def exact_key(
    call: Call,
    *,
    scope: Iterable[bytes],
    shared: bool = False,
    equal_under: Collection[str] = (),
    without_question: bool = False,
) -> bytes | None:
    """SHA-256 over the scope and the canonical request; None where a field has no canonical form.

    `shared`: by consumers who don't trust each other. Then an object that names a member twice has no canonical form:
    a vendor might read the one and we the other, so that somebody could leave an answer to a question of others.
    `equal_under`: what may differ between the last user messages of requests that share an answer.
    `without_question`: whatever that message says, if it is a text.
    """
    asked = call if call.native is None else call.native
    try:
        fields = {name: _canonical(raw, shared) for name, raw in asked.fields.items() if name not in _IGNORED}
        if equal_under or without_question:
            _without_differences(fields.get("messages"), equal_under, without_question=without_question)
        parts = [*scope, asked.operation.encode(), _encode(fields)]
    except (ValueError, RecursionError):  # no UTF-8, or a number out of range: the provider is to say so
        return None
    if call.native is not None:
        parts.append(_encode(call.native.headers))
    if call.steering is not None:  # also what a suffix of the model's name says
        parts.append(_encode(call.steering))
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.digest()


def _without_differences(messages: Any, equal_under: Collection[str], *, without_question: bool) -> None:
    """Of a text that ends the messages. What isn't one has to be the same in every way."""
    last = messages[-1] if isinstance(messages, list) and messages else None
    if isinstance(last, dict) and last.get("role") == "user" and isinstance(last.get("content"), str):
        last["content"] = "" if without_question else canonical(last["content"], equal_under)


def _canonical(raw: msgspec.Raw, shared: bool) -> Any:
    value = json.loads(bytes(raw), object_pairs_hook=_distinct) if shared else msgspec.json.decode(raw)
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise ValueError("a member twice")
    return members
