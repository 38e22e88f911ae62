"""What an SDK gave to its program."""

import json
from dataclasses import dataclass, field
from typing import Any, Protocol

from tests.support.said import anthropic, openai, responses
from tests.support.said.answer import Said

Fields = dict[str, Any]


@dataclass
class Heard:
    """Of one request."""

    said: Said = field(default_factory=Said)
    raw: list[Fields] = field(default_factory=list)
    """The answer or the events: the SDK's types as JSON again."""
    helper: str = ""
    """Why the SDK's helper could not put the events together."""
    exception: str = ""
    """Name of the SDK's class."""
    status: int = 0
    error: Fields = field(default_factory=dict)
    """The error's object."""
    headers: Fields = field(default_factory=dict)


class Clients(Protocol):
    """The SDKs of one language, in front of one gateway."""

    async def ask(self, endpoint: str, body: Fields, *, stream: bool) -> Heard:
        """Sends the body with what the SDK calls that endpoint."""


def hear(endpoint: str, raw: list[Fields], final: Fields | None, helper: str = "") -> Heard:
    """`final`: what the SDK put together of the events; None where it puts nothing together, or can't."""
    heard = Heard(raw=raw, said=_said(endpoint, raw, final), helper=helper)
    if endpoint == "chat" and final is not None and "choices" in final and raw != [final]:
        for turn, own in zip(openai.whole(_json(final)).turns, heard.said.turns, strict=True):
            if (turn.text, turn.calls, turn.refusal) != (own.text, own.calls, own.refusal):
                heard.helper = f"it says {turn.text[:80]!r} {turn.calls}, the chunks say {own.text[:80]!r} {own.calls}"
    return heard


def _said(endpoint: str, raw: list[Fields], final: Fields | None) -> Said:
    match endpoint:
        case "moderations":
            return Said(identity=str(raw[0].get("id")))
        case "count_tokens":
            return Said()
        case "embeddings":
            return openai.embeddings(_json(raw[0]))
        case "messages":
            return anthropic.whole(_json(final or {}))
        case "responses":
            said = responses.of(final or {})
            text = responses.written(raw) if len(raw) > 1 else ""
            if len(raw) > 1 and said.turns[0].text and text != said.turns[0].text:
                raise AssertionError(f"the deltas say {text[:200]!r}, the last event {said.turns[0].text[:200]!r}")
            return said
        case _ if final is None or "delta" in str(raw[0].get("choices")) or len(raw) > 1:  # fields beside OpenAI's, too
            return openai.stream(b"".join(b"data: " + _json(event) + b"\n\n" for event in raw))
        case _:
            return openai.whole(_json(final))


def _json(value: Fields) -> bytes:
    return json.dumps(value).encode()


def unwrapped(body: object) -> Fields:
    """An error's object: OpenAI's SDK unwraps it by itself, Anthropic's doesn't."""
    if not isinstance(body, dict):
        return {"message": str(body)}
    inner = body.get("error")
    return inner if isinstance(inner, dict) else body
