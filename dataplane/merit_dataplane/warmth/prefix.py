"""Identities of a prompt's beginnings: a chain of hashes, so that two prompts which begin alike share its first links.

Vendors cache a prompt from its first byte on, tools before messages, from 1,024 tokens (some 2,048 or 4,096): what is
shorter has no links. Links end where messages end and, within a long message, every so many bytes: 4 KiB at first, then
a sixteenth of what lies before, which bounds their number for a prompt of any length.
"""

import hashlib
import re
import secrets
from typing import NamedTuple

import msgspec

from merit_dataplane.wire.features import MEDIA
from merit_dataplane.wire.openai_request import Call, Operation

LEAST_TOKENS = 1024
"""Shorter prompts are cached nowhere: OpenAI and most Anthropic models start here, others later."""
_LEAST_BYTES = 4096
_WITHIN = 4
"""A message that ends a quarter of a block after the last link ends a link itself."""
_GROWTH = 16
_SALT = secrets.token_bytes(16)
"""Of this process: a link outside of it says nothing of any text, not even whether it is a known one."""
_MARK = b'"cache_control"'
_messages = msgspec.json.Decoder(list[msgspec.Raw])


class _Role(msgspec.Struct):
    role: str = ""


_role = msgspec.json.Decoder(_Role)
_ROLE_FIRST = re.compile(rb'\{\s*"role"\s*:\s*"(\w+)"')
INSTRUCTING = frozenset({"system", "developer"})
"""Roles of the messages that a conversation begins with, the same in many of them."""


class Prefix(NamedTuple):
    """The beginnings of one prompt, from the shortest to the longest."""

    links: tuple[int, ...]
    """Salted 64-bit hashes, each of all that lies before its end."""
    ends: tuple[int, ...]
    """Where each ends, in bytes."""
    length: int
    """Bytes of the whole prompt."""
    marked: bool
    """Whether the client says, as Anthropic's protocol wants, up to where it is to be cached."""
    tools: int = 0
    """Where the tools end, in bytes."""
    instructions: int = 0
    """Where the tools and the instructions that the conversation begins with end, in bytes."""


def prefix_of(call: Call, salt: bytes = _SALT) -> Prefix | None:
    """The beginnings of a chat's prompt; None where it is too short for any vendor's cache, or no plain text.

    `salt`: of who is to know prompts again.
    """
    if call.input_tokens < LEAST_TOKENS or call.operation is not Operation.CHAT or call.features & MEDIA:
        return None
    tools = bytes(call.fields.get("tools", b""))
    try:
        messages = _messages.decode(call.messages)
    except ValueError:
        return None
    hashed = hashlib.blake2b(tools, digest_size=8, key=salt)
    links, ends = [], []
    at, last, block = len(tools), 0, _LEAST_BYTES
    native = call.native.fields if call.native is not None else call.fields
    marked = _MARK in tools or "cache_control" in native  # of the whole request: Anthropic marks by itself then
    instructions, instructing = at, True
    for message in messages:
        text = bytes(message)
        if instructing and (instructing := _instructs(text)):
            instructions = at + len(text)
        marked = marked or _MARK in text
        start, rest = 0, at + len(text)
        while rest - last >= block:
            stop = start + max(0, last + block - at)  # nothing of it where the tools alone fill a block
            hashed.update(text[start:stop])
            at += stop - start
            start, last = stop, at
            block = max(_LEAST_BYTES, at // _GROWTH)
            links.append(int.from_bytes(hashed.digest()))
            ends.append(at)
        hashed.update(text[start:])
        at = rest
        if at - last >= block // _WITHIN and at >= _LEAST_BYTES:
            last, block = at, max(_LEAST_BYTES, at // _GROWTH)
            links.append(int.from_bytes(hashed.digest()))
            ends.append(at)
    return Prefix(tuple(links), tuple(ends), max(at, 1), marked, len(tools), instructions) if links else None


def _instructs(message: bytes) -> bool:
    if found := _ROLE_FIRST.match(message):  # as all SDKs write it: the rest need not be read
        return found[1].decode() in INSTRUCTING
    try:
        return _role.decode(message).role in INSTRUCTING
    except ValueError:
        return False
