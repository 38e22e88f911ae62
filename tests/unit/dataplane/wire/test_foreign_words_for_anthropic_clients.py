"""What vendors say in words of their own, as Anthropic's clients get it."""

import json
from typing import Any

import pytest
from anthropic.types import Message

from merit_dataplane.wire.anthropic_openai.answer import message_body
from merit_dataplane.wire.anthropic_openai.stream import MessageStream
from merit_dataplane.wire.responses_openai.renderer import ResponseRenderer
from tests.support.said import anthropic as read
from tests.support.said import responses as read_responses

THINKS = [
    {"type": "thinking", "thinking": [{"type": "text", "text": "Hm, "}, {"type": "text", "text": "yes."}]},
    {"type": "text", "text": "144"},
]
"""Mistral's, of its reasoning models."""


def answer(message: dict[str, Any]) -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": "stop"}
    return json.dumps({"id": "c", "object": "chat.completion", "model": "m", "choices": [choice]}).encode()


def stream(*deltas: dict[str, Any]) -> bytes:
    chunks = [{"id": "c", "model": "m", "choices": [{"index": 0, "delta": delta}]} for delta in deltas]
    chunks.append({"id": "c", "model": "m", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    return b"".join(b"data: " + json.dumps(c).encode() + b"\n\n" for c in chunks) + b"data: [DONE]\n\n"


def test_mistrals_thoughts_are_thoughts() -> None:
    whole = read.whole(message_body(answer({"content": THINKS}), ()))
    assert (whole.turns[0].thoughts, whole.turns[0].text) == ("Hm, yes.", "144")
    made = MessageStream(())
    given = stream(*({"content": [part]} for part in THINKS))
    streamed = read.stream(made.feed(given) + made.finish())
    assert (streamed.turns[0].thoughts, streamed.turns[0].text) == ("Hm, yes.", "144")


def test_mistrals_thoughts_are_a_reasoning_item() -> None:
    _, body = ResponseRenderer(None, "r").whole(answer({"content": THINKS}), 200)
    turn = read_responses.whole(body).turns[0]
    assert (turn.thoughts, turn.text) == ("Hm, yes.", "144")
    renderer = ResponseRenderer(None, "r")
    made = renderer.feed(stream(*({"content": [part]} for part in THINKS))) + renderer.finish()
    turn = read_responses.stream(made).turns[0]
    assert (turn.thoughts, turn.text) == ("Hm, yes.", "144")


AZURES = (
    b'data: {"choices":[],"created":0,"id":"","model":"","object":"","prompt_filter_results":[{"prompt_index":0}]}\n\n'
)
"""What its content filter says of the prompt, before the answer."""


def test_an_answer_has_its_id_and_model_where_another_event_came_first() -> None:
    made = MessageStream(())
    said = read.stream(made.feed(AZURES + stream({"content": "a"})) + made.finish())
    assert (said.identity, said.model) == ("c", "m")
    renderer = ResponseRenderer(None, "r")
    response = read_responses.stream(renderer.feed(AZURES + stream({"content": "a"})) + renderer.finish())
    assert response.model == "m"


BEDROCKS = {"title": "t", "source": "https://s.example/", "sourceContent": [{"text": "q"}]}


@pytest.mark.parametrize(
    ("location", "wanted"),
    [
        (
            {"documentChar": {"documentIndex": 1, "start": 2, "end": 3}},
            {"type": "char_location", "document_index": 1, "start_char_index": 2, "end_char_index": 3},
        ),
        (
            {"documentPage": {"documentIndex": 1, "start": 2, "end": 3}},
            {"type": "page_location", "document_index": 1, "start_page_number": 2, "end_page_number": 3},
        ),
        (
            {"documentChunk": {"documentIndex": 1, "start": 2, "end": 3}},
            {"type": "content_block_location", "document_index": 1, "start_block_index": 2, "end_block_index": 3},
        ),
        (
            {"searchResultLocation": {"searchResultIndex": 1, "start": 2, "end": 3}},
            {"type": "search_result_location", "search_result_index": 1, "source": "https://s.example/"},
        ),
    ],
)
def test_bedrocks_citations_are_anthropics(location: dict[str, Any], wanted: dict[str, Any]) -> None:
    cited = {**BEDROCKS, "location": location, "start_index": 0, "end_index": 1}
    made = json.loads(message_body(answer({"content": "a", "citations": [cited]}), ()))
    found = made["content"][0]["citations"][0]
    assert found | wanted == found
    assert found["cited_text"] == "q"
    message = Message.model_validate({**made, "usage": {"input_tokens": 0, "output_tokens": 0}})
    assert type(message.content[0]).__name__ == "TextBlock"


@pytest.mark.parametrize(
    "citation",
    [
        {"start": 0, "end": 1, "text": "a", "sources": [], "type": "TEXT_CONTENT"},
        {"uri": "https://a.example/", "startIndex": 1},
        "https://a.example/",
        {},
        {"type": ["x"], "location": 5},
    ],
)
def test_citations_that_are_none_of_anthropics_are_left_out_and_pages_kept(citation: Any) -> None:
    page = {"type": "url_citation", "url_citation": {"url": "https://p.example/", "start_index": 0, "end_index": 1}}
    message = {"content": "a", "citations": [citation], "annotations": [page]}
    block = json.loads(message_body(answer(message), ()))["content"][0]
    assert [c["url"] for c in block["citations"]] == ["https://p.example/"]
    made = MessageStream(())
    streamed = read.stream(made.feed(stream({"content": "a"}, {"citations": [citation], "annotations": [page]})))
    assert streamed.turns[0].pages == 1
