"""What Gemini says, at Google AI and on Vertex AI."""

import json
from typing import Any

from tests.support.said.answer import Said, Turn, Usage, events

Fields = dict[str, Any]


def whole(body: bytes) -> Said:
    """A GenerateContentResponse."""
    return _of([json.loads(body)])


def stream(body: bytes) -> Said:
    """Its pieces: server-sent events, or one array."""
    if body.lstrip()[:1] in (b"[", b"{"):
        pieces = json.loads(body)
        return _of(pieces if isinstance(pieces, list) else [pieces])
    return _of(events(body))


def _of(pieces: list[Fields]) -> Said:
    said, turns = Said(), dict[int, Turn]()
    for piece in pieces:
        if piece.get("error"):
            said.error = piece["error"].get("message") or ""
        said.identity = said.identity or piece.get("responseId") or ""
        said.model = said.model or piece.get("modelVersion") or ""
        said.usage = _usage(piece.get("usageMetadata")) or said.usage
        for place, candidate in enumerate(piece.get("candidates") or ()):
            _add(turns.setdefault(candidate.get("index", place), Turn()), candidate)
        blocked = (piece.get("promptFeedback") or {}).get("blockReason")
        if blocked and not piece.get("candidates"):
            turns[0] = Turn(stop=blocked, refusal=piece["promptFeedback"].get("blockReasonMessage") or blocked)
    said.turns = list(turns.values())
    return said


def _add(turn: Turn, candidate: Fields) -> None:
    for part in (candidate.get("content") or {}).get("parts") or ():
        if part.get("thoughtSignature"):
            turn.signatures.append(part["thoughtSignature"])
        if "functionCall" in part:
            turn.calls.append((part["functionCall"]["name"], part["functionCall"].get("args") or {}))
        elif part.get("inlineData", {}).get("mimeType", "").startswith("image/"):
            turn.images += 1
        elif "text" not in part:
            turn.others += [name for name in part if name not in ("thoughtSignature", "thought")][:1]
        elif part.get("thought"):
            turn.thoughts += part["text"]
        else:
            turn.text += part["text"]
    turn.stop = candidate.get("finishReason") or turn.stop
    turn.citations += len((candidate.get("citationMetadata") or {}).get("citations") or ())
    chunks = (candidate.get("groundingMetadata") or {}).get("groundingChunks") or ()
    for support in (candidate.get("groundingMetadata") or {}).get("groundingSupports") or ():
        places = support.get("groundingChunkIndices") or ()
        turn.pages += sum(1 for place in places if place < len(chunks) and "uri" in chunks[place].get("web", {}))
    turn.logprobs += len((candidate.get("logprobsResult") or {}).get("chosenCandidates") or ())


def _usage(given: Any) -> Usage | None:
    if not isinstance(given, dict) or not given.get("promptTokenCount"):
        return None
    thoughts = given.get("thoughtsTokenCount") or 0
    return Usage(
        input=given["promptTokenCount"] + (given.get("toolUsePromptTokenCount") or 0),
        cached=given.get("cachedContentTokenCount") or 0,
        output=(given.get("candidatesTokenCount") or 0) + thoughts,
        reasoning=thoughts,
    )


def embeddings(body: bytes) -> Said:
    """Vectors of batchEmbedContents, or of a prediction on Vertex AI."""
    given = json.loads(body)
    if "predictions" in given:
        found = [one["embeddings"] for one in given["predictions"]]
        counted = sum(one.get("statistics", {}).get("token_count", 0) for one in found)
        return Said(vectors=[one["values"] for one in found], usage=Usage(input=counted))
    return Said(vectors=[one["values"] for one in given["embeddings"]])
