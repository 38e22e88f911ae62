"""Citations in Anthropic's words: its own, and those of its models on Bedrock.

Formats: https://docs.anthropic.com/en/docs/build-with-claude/citations and `CitationLocation` of
https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_CitationLocation.html.
"""

from typing import Any

_OWN = frozenset({
    "char_location", "page_location", "content_block_location", "web_search_result_location", "search_result_location",
})  # fmt: skip
_PLACES = ("start_index", "end_index", "index")
"""What Merit adds to them."""
_DOCUMENTS = {
    "documentChar": ("char_location", "start_char_index", "end_char_index"),
    "documentPage": ("page_location", "start_page_number", "end_page_number"),
    "documentChunk": ("content_block_location", "start_block_index", "end_block_index"),
}
Citation = dict[str, Any]


def own_citation(given: Any) -> Citation | None:
    """One that an Anthropic client knows; None where there is none for it."""
    if not isinstance(given, dict):
        return None
    kind = given.get("type")
    if isinstance(kind, str) and kind in _OWN:
        return {name: value for name, value in given.items() if name not in _PLACES}
    location = given.get("location")
    return _of_bedrock(given, location) if isinstance(location, dict) else None


def _of_bedrock(given: Citation, location: Citation) -> Citation | None:
    quoted = given.get("sourceContent")
    parts = quoted if isinstance(quoted, list) else ()
    said = {"cited_text": "".join(str(part.get("text") or "") for part in parts if isinstance(part, dict))}
    for name, (kind, start, end) in _DOCUMENTS.items():
        place = location.get(name)
        if isinstance(place, dict):
            document = {"document_index": _count(place, "documentIndex"), "document_title": given.get("title")}
            return {"type": kind, **said, **document, start: _count(place, "start"), end: _count(place, "end")}
    place = location.get("searchResultLocation")
    if isinstance(place, dict):
        return {
            "type": "search_result_location",
            **said,
            "source": str(given.get("source") or ""),
            "title": given.get("title"),
            "search_result_index": _count(place, "searchResultIndex"),
            "start_block_index": _count(place, "start"),
            "end_block_index": _count(place, "end"),
        }
    return None


def _count(place: Citation, name: str) -> int:
    value = place.get(name)
    return value if isinstance(value, int) else 0
