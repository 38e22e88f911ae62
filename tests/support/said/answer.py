"""What an answer says, whoever says it: the form in which a vendor's own bytes and what a client reads are compared."""

import json
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Usage:
    """Tokens."""

    input: int = 0
    """All of it: what was read from the cache or written to it included."""
    cached: int = 0
    written: int = 0
    output: int = 0
    """Thoughts included."""
    reasoning: int | None = None
    """None where the vendor doesn't tell it apart."""


@dataclass
class Turn:
    """One choice of an answer."""

    text: str = ""
    calls: list[tuple[str, Any]] = field(default_factory=list)
    """Names and arguments, these read as JSON where they are some."""
    stop: str | None = None
    """The vendor's own word, or the client's."""
    refusal: str = ""
    thoughts: str = ""
    """What it thinks aloud."""
    signatures: list[str] = field(default_factory=list)
    """Of thoughts, or of what is hidden of them."""
    citations: int = 0
    pages: int = 0
    """Citations of web pages that say which part of the text they are of."""
    logprobs: int = 0
    """Tokens of which a probability is told."""
    images: int = 0
    others: list[str] = field(default_factory=list)
    """Kinds of what no other vendor has: what its servers did."""


@dataclass
class Said:
    """One answer."""

    turns: list[Turn] = field(default_factory=list)
    usage: Usage | None = None
    identity: str = ""
    model: str = ""
    vectors: list[list[float]] = field(default_factory=list)
    error: str = ""
    """Its words, where the answer is an error or a stream that ended with one."""


def read(arguments: Any) -> Any:
    """Arguments of a call: read where they are the text of JSON."""
    if not isinstance(arguments, str):
        return {} if arguments is None else arguments
    try:
        return json.loads(arguments) if arguments.strip() else {}
    except ValueError:
        return arguments


def events(body: bytes) -> list[dict[str, Any]]:
    """JSON of each server-sent event, by the rules of WHATWG HTML 9.2, but for closing marks."""
    text = body.decode(errors="replace").removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    found = []
    for event in text.split("\n\n"):
        data = [line.partition(":")[2] for line in event.split("\n") if line.partition(":")[0] == "data"]
        whole = "\n".join(part.removeprefix(" ") for part in data)
        if whole and whole != "[DONE]":
            found.append(json.loads(whole))
    return found
