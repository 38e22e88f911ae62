"""What Cohere says in its v2."""

import json
from typing import Any

from tests.support.said.answer import Said, Turn, Usage, events, read

Fields = dict[str, Any]


def whole(body: bytes) -> Said:
    """An answer of /v2/chat."""
    given = json.loads(body)
    turn = Turn(stop=given.get("finish_reason"))
    _add(turn, given["message"])
    turn.logprobs = len(given.get("logprobs") or ())
    return Said(turns=[turn], identity=given.get("id") or "", usage=_usage(given.get("usage")))


def stream(body: bytes) -> Said:
    """Its events, put together."""
    turn, said = Turn(), Said()
    calls: dict[int, list[str]] = {}
    said.turns = [turn]
    for event in events(body):
        message = (event.get("delta") or {}).get("message") or {}
        match event.get("type"):
            case "message-start":
                said.identity = event.get("id") or ""
            case "content-start" | "content-delta":
                turn.text += message["content"].get("text") or ""
                turn.thoughts += message["content"].get("thinking") or ""
                turn.logprobs += 1 if event.get("logprobs") else 0
            case "tool-plan-delta":
                turn.thoughts += message["tool_plan"]
            case "tool-call-start":
                called = message["tool_calls"]["function"]
                calls[event["index"]] = [called["name"], called.get("arguments") or ""]
            case "tool-call-delta":
                calls[event["index"]][1] += message["tool_calls"]["function"].get("arguments") or ""
            case "citation-start":
                turn.citations += 1
                turn.pages += _pages(message["citations"])
            case "message-end":
                turn.stop = event["delta"].get("finish_reason")
                said.usage = _usage(event["delta"].get("usage"))
                said.error = event["delta"].get("error") or ""
    turn.calls = [(name, read(arguments)) for name, arguments in calls.values()]
    return said


def _add(turn: Turn, message: Fields) -> None:
    turn.thoughts += message.get("tool_plan") or ""
    for block in message.get("content") or ():
        turn.text += block.get("text") or ""
        turn.thoughts += block.get("thinking") or ""
    turn.calls = [
        (call["function"]["name"], read(call["function"].get("arguments"))) for call in message.get("tool_calls") or ()
    ]
    turn.citations = len(message.get("citations") or ())
    turn.pages = sum(_pages(citation) for citation in message.get("citations") or ())


def _pages(citation: Fields) -> int:
    """How many of its sources are pages in the web; those of a plan or a thought are at no place of the text."""
    if citation.get("type") not in (None, "TEXT_CONTENT"):
        return 0
    shown = [one.get("document") or one.get("tool_output") or {} for one in citation.get("sources") or ()]
    return sum(1 for one in shown if str(one.get("url") or "").startswith(("https://", "http://")))


def _usage(given: Any) -> Usage | None:
    if not isinstance(given, dict):
        return None
    tokens = given.get("tokens") or given["billed_units"]
    made = int(tokens.get("input_tokens") or 0) + int(tokens.get("image_tokens") or 0)
    return Usage(input=made, cached=int(given.get("cached_tokens") or 0), output=int(tokens.get("output_tokens") or 0))


def embeddings(body: bytes) -> Said:
    """Vectors of /v2/embed."""
    given = json.loads(body)
    billed = (given.get("meta") or {}).get("billed_units") or {}
    counted = int(billed.get("input_tokens") or 0) + int(billed.get("image_tokens") or 0)
    return Said(vectors=given["embeddings"]["float"], usage=Usage(input=counted))
