"""Requests of Anthropic's clients, in OpenAI's words."""

import contextlib
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from merit_dataplane.wire.anthropic_anthropic.request import request_body as passed
from merit_dataplane.wire.anthropic_openai.request import parse_messages
from merit_dataplane.wire.errors import RequestError
from merit_dataplane.wire.features import Feature
from merit_dataplane.wire.openai_anthropic.request import request_body
from merit_dataplane.wire.openai_request import Call, Operation
from merit_dataplane.wire.plain import plain
from merit_dataplane.wire.sealed import MARK, seal, unseal
from tests.support.cassettes import Cassette, cassettes

HELLO: dict[str, Any] = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "Hello"}]}
RECORDED = [c for c in cassettes("anthropic", "messages") if c.request and c.status == 200]
MODEL = msgspec.Raw(b'"there"')


def parsed(request: dict[str, Any]) -> Call:
    return parse_messages(json.dumps(request).encode(), (), Operation.MESSAGES)


def openais(request: dict[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = json.loads(plain(parsed(request), MODEL).body_for(MODEL))
    return made


def test_a_document_in_every_form() -> None:
    pdf = {"type": "document", "title": "a.pdf", "context": "Old", "source":
           {"type": "base64", "media_type": "application/pdf", "data": "aGk="}}  # fmt: skip
    text = {"type": "document", "title": "T", "source": {"type": "text", "media_type": "text/plain", "data": "words"}}
    inner = [{"type": "text", "text": "in"}, {"type": "image", "source": {"type": "url", "url": "https://x/y.png"}}]
    content = {"type": "document", "source": {"type": "content", "content": inner}}
    found = {"type": "search_result", "title": "S", "source": "https://s", "content": [{"type": "text", "text": "f"}]}
    body = openais(HELLO | {"messages": [{"role": "user", "content": [pdf, text, content, found]}]})
    assert body["messages"][0]["content"] == [
        {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,aGk="}},
        {"type": "text", "text": "Old"},
        {"type": "text", "text": "T\nwords"},
        {"type": "text", "text": "in"},
        {"type": "image_url", "image_url": {"url": "https://x/y.png"}},
        {"type": "text", "text": "S\nhttps://s\nf"},
    ]


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"tools": [{"type": "bash_20250124", "name": "bash"}]}, "tools[0]"),
        ({"container": "c1"}, "container"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"mcp_servers": [{"type": "url"}]}, "mcp_servers"),
    ],
)
def test_what_only_anthropic_can_do(more: dict[str, Any], field: str) -> None:
    call = parsed(HELLO | more)
    assert call.native is not None
    assert call.native.only_there == (field,)
    assert call.features & Feature.ANTHROPIC_ONLY


@pytest.mark.parametrize(
    ("block", "field"),
    [
        ({"type": "image", "source": {"type": "file", "file_id": "f"}}, "source"),
        ({"type": "document", "source": {"type": "url", "url": "https://x"}}, "source"),
        ({"type": "document", "citations": {"enabled": True}, "source": {"type": "text", "data": "x"}}, "citations"),
        ({"type": "container_upload", "file_id": "f"}, "type"),
        ({"type": "a_block_of_tomorrow"}, "type"),
    ],
)
def test_blocks_that_only_anthropic_reads(block: dict[str, Any], field: str) -> None:
    for content in ([block, {"type": "text", "text": "?"}], [block]):
        call = parsed(HELLO | {"messages": [{"role": "user", "content": content}]})
        assert call.native is not None
        assert call.native.only_there == (f"messages[0].content[0].{field}",)


@pytest.mark.parametrize(
    ("request_", "param"),
    [
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": ["x"]}]}, "messages[0].content[0]"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages[0].content[0].text"),
        ({"messages": "x"}, "messages"),
        ({"tools": [{"name": "x"}]}, "tools[0].input_schema"),
        ({"tools": [{"name": "x", "input_schema": {}}], "tool_choice": {"type": "some"}}, "tool_choice.type"),
        ({"max_tokens": "many"}, "max_tokens"),
        ({"max_tokens": None}, "max_tokens"),
        ({"messages": []}, "messages"),
        ({"model": None}, "model"),
    ],
)
def test_what_is_wrong_is_named(request_: dict[str, Any], param: str) -> None:
    with pytest.raises(RequestError) as refused:
        parsed(HELLO | request_)
    assert (refused.value.status, refused.value.param) == (400, param)


def without_marks(value: Any) -> Any:
    """Of a recorded request what both ways keep: text as blocks, without what is none in OpenAI's."""
    if isinstance(value, dict):
        return {name: without_marks(v) for name, v in value.items() if v is not None}
    return [without_marks(v) for v in value] if isinstance(value, list) else value


def as_blocks(content: Any) -> Any:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def in_order(blocks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """By their type: thoughts, text and calls of a turn are told in that order."""
    made = [without_marks(block) for block in blocks]
    for block in made:
        if block["type"] == "tool_result":
            block["content"] = as_blocks(block.get("content") or "")
            block.pop("is_error", None)
    return sorted(made, key=lambda block: str(block["type"]))


@pytest.mark.parametrize("cassette", RECORDED, ids=lambda c: c.name)
def test_a_recorded_request_in_openais_words_and_back(cassette: Cassette) -> None:
    given = cassette.request
    assert given is not None
    call = parsed(given)
    assert call.native is not None
    assert json.loads(passed(call.native, MODEL)) == {**given, "model": "there"}
    if call.native.only_there:
        return
    back = json.loads(request_body(call, MODEL, 0))
    assert as_blocks(back.get("system", [])) == as_blocks(given.get("system") or [])
    for ours, theirs in zip(back["messages"], given["messages"], strict=True):
        assert ours["role"] == theirs["role"]
        kinds = [b["type"] for b in as_blocks(theirs["content"])]
        if set(kinds) <= {"text", "image", "tool_use", "tool_result", "thinking", "redacted_thinking"}:
            assert in_order(ours["content"]) == in_order(as_blocks(theirs["content"]))
    assert back["max_tokens"] == given["max_tokens"]
    for mine, original in zip(back.get("tools", []), given.get("tools", []), strict=True):
        assert (mine["name"], mine["input_schema"]) == (original["name"], original["input_schema"])


def test_thoughts_are_sealed_and_unsealed() -> None:
    details = [{"type": "reasoning.text", "text": "Hmm", "format": "x", "signature": "s", "index": 0}]
    sealed = seal(details)
    assert sealed.startswith(MARK)
    assert "Hmm" not in sealed
    assert unseal(sealed, "Hmm") == details


@given(st.text())
def test_a_seal_that_was_tampered_with_is_none(text: str) -> None:
    assert unseal(text, "x") == [] or text.startswith(MARK)
    assert isinstance(unseal(MARK + text, "x"), list)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
KINDS = "text image document tool_use tool_result thinking redacted_thinking search_result server_tool_use x"
OF_BLOCKS = (
    "text source id name input tool_use_id content thinking signature data citations cache_control title context"
)
OF_REQUESTS = "system tools tool_choice stop_sequences metadata thinking output_config output_format service_tier"
OF_REQUESTS += " container temperature stream top_k provider"


def fields(names: str) -> dict[str, Any]:
    return dict.fromkeys(names.split(), JSON)


BLOCK = st.fixed_dictionaries({"type": st.sampled_from(KINDS.split())}, optional=fields(OF_BLOCKS + " is_error"))
TURN = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "assistant", "system", "x"]), "content": st.lists(BLOCK, max_size=3) | JSON}
)
TURNS = st.lists(TURN, min_size=1, max_size=3) | JSON
REQUEST = st.fixed_dictionaries(
    {"model": st.just("m"), "max_tokens": st.integers(-1, 9), "messages": TURNS}, optional=fields(OF_REQUESTS)
)


@settings(deadline=None, max_examples=150)
@given(REQUEST)
def test_any_json_is_understood_or_refused(request_: dict[str, Any]) -> None:
    with contextlib.suppress(RequestError):
        call = parsed(request_)
        assert call.native is not None
        json.loads(passed(call.native, MODEL))
        json.loads(plain(call, MODEL).body_for(MODEL))
        json.loads(request_body(call, MODEL, 0))


@given(st.binary(max_size=200))
def test_any_bytes_are_understood_or_refused(body: bytes) -> None:
    with contextlib.suppress(RequestError):
        parse_messages(body, (), Operation.MESSAGES)
