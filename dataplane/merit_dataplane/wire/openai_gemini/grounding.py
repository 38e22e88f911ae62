"""Where an answer's words come from: Gemini's grounding as OpenAI's annotations."""

from collections.abc import Iterator
from typing import Any


def annotations(grounding: Any, texts: list[str]) -> list[dict[str, Any]]:
    """One for each source of each cited passage. `texts`: of each part of the answer, empty for one that is no text.

    Gemini counts bytes of UTF-8 from the part's start, OpenAI characters of the content.
    """
    if not isinstance(grounding, dict):
        return []
    return list(_cited(grounding, texts))


def _cited(grounding: dict[str, Any], texts: list[str]) -> Iterator[dict[str, Any]]:
    chunks, supports = grounding.get("groundingChunks"), grounding.get("groundingSupports")
    sources = [_source(chunk) for chunk in chunks] if isinstance(chunks, list) else []
    for support in supports if isinstance(supports, list) else ():
        match support:
            case {"segment": dict(segment), "groundingChunkIndices": list(places)}:
                start, end = _place(segment, texts)
                for place in places:
                    source = sources[place] if isinstance(place, int) and 0 <= place < len(sources) else None
                    if source is not None:
                        yield {
                            "type": "url_citation",
                            "url_citation": {**source, "start_index": start, "end_index": end},
                        }


def _source(chunk: Any) -> dict[str, str] | None:
    if isinstance(chunk, dict):
        for kind in ("web", "retrievedContext", "maps", "image"):
            match chunk.get(kind):
                case {"uri": str(uri), **rest} | {"sourceUri": str(uri), **rest}:
                    return {"url": uri, "title": str(rest.get("title") or "")}
    return None


def _place(segment: dict[str, Any], texts: list[str]) -> tuple[int, int]:
    part = segment.get("partIndex")
    if isinstance(part, int) and 0 < part < len(texts):
        base, text = sum(map(len, texts[:part])), texts[part]
    else:
        base, text = 0, "".join(texts)
    encoded = text.encode()
    start, end = (_count(encoded, segment.get(name)) for name in ("startIndex", "endIndex"))
    return base + start, base + max(start, end)


def _count(encoded: bytes, upto: Any) -> int:
    """Characters in so many bytes."""
    return len(encoded[:upto].decode(errors="ignore")) if isinstance(upto, int) and upto > 0 else 0
