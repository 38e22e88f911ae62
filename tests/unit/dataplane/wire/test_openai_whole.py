"""A stream and a whole answer say the same, whichever of them a cache has kept."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.lib.streaming.chat._completions import ChatCompletionStreamState
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from merit_crds.pricing import Usage
from merit_dataplane.wire.openai_whole import stream_of, whole_of
from tests.support.cassettes import cassettes

USAGE = Usage(7, output=3)
VENDORS = ("openai", "azure", "deepseek", "groq", "mistral", "together", "xai", "openrouter", "perplexity", "ollama")
RECORDED = [
    pytest.param(cassette.body, id=f"{vendor}-{cassette.name}")
    for vendor in VENDORS
    for cassette in cassettes(vendor, "chat.completions")
    if cassette.streamed and cassette.status == 200
]


def events(stream: bytes) -> list[Any]:
    return [json.loads(line[5:]) for line in stream.splitlines() if line.startswith(b"data:") and b"[DONE]" not in line]


def accumulated(stream: bytes) -> Any:
    """What OpenAI's own SDK makes of a stream."""
    state: Any = ChatCompletionStreamState()
    for event in events(stream):
        if event.get("choices"):
            state.handle_chunk(
                ChatCompletionChunk.model_construct(**ChatCompletionChunk.model_validate(event).__dict__)
            )
    return state.get_final_completion()


def messages(stream: bytes) -> list[Any]:
    """Text, calls and ends by choice, added up in the plainest way."""
    found: dict[int, dict[str, Any]] = {}
    for event in events(stream):
        for choice in event.get("choices") or ():
            held = found.setdefault(choice["index"], {"text": "", "thought": "", "calls": {}, "end": None})
            delta = choice.get("delta") or {}
            held["text"] += (delta.get("content") or "") + (choice.get("text") or "")
            held["thought"] += delta.get("reasoning_content") or delta.get("reasoning") or ""
            held["end"] = choice.get("finish_reason") or held["end"]
            for call in delta.get("tool_calls") or ():
                one = held["calls"].setdefault(call["index"], ["", "", ""])
                given = call.get("function") or {}
                one[0] = call.get("id") or one[0]
                one[1] = one[1] or given.get("name") or ""
                one[2] += given.get("arguments") or ""
    return [found[index] for index in sorted(found)]


def said(whole: bytes) -> list[Any]:
    """The same of a whole answer."""
    found = []
    for choice in json.loads(whole)["choices"]:
        message = choice.get("message") or {"content": choice.get("text")}
        calls = {
            place: [call["id"], call["function"]["name"], call["function"]["arguments"]]
            for place, call in enumerate(message.get("tool_calls") or ())
        }
        thought = message.get("reasoning_content") or message.get("reasoning") or ""
        found.append(
            {"text": message.get("content") or "", "thought": thought, "calls": calls, "end": choice["finish_reason"]}
        )
    return found


@pytest.mark.parametrize("stream", RECORDED)
def test_recorded_streams_are_told_exactly_or_not_at_all(stream: bytes) -> None:
    whole = whole_of(stream, USAGE)
    if whole is None:
        return
    assert said(whole) == messages(stream)
    ChatCompletion.model_validate_json(whole)
    again = stream_of(whole, wants_usage=True)
    assert messages(again) == messages(stream)
    assert events(again)[-1]["usage"] == json.loads(whole)["usage"]
    assert again.endswith(b"data: [DONE]\n\n")
    assert "usage" not in events(stream_of(whole, wants_usage=False))[-1]


def test_most_recorded_streams_can_be_told() -> None:
    if len(RECORDED) < 20:
        pytest.skip("the recordings are not at hand")
    told = sum(whole_of(param.values[0], USAGE) is not None for param in RECORDED)  # type: ignore[arg-type]
    assert told >= 0.8 * len(RECORDED)


def chunk(delta: dict[str, Any], finish: str | None = None, **more: Any) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return b"data: " + json.dumps({"id": "c", "object": "chat.completion.chunk", "choices": [choice], **more}).encode()


def stream(*chunks: bytes, done: bool = True) -> bytes:
    return b"".join(c + b"\n\n" for c in chunks) + (b"data: [DONE]\n\n" if done else b"")


@pytest.mark.parametrize(
    "broken",
    [
        b"",
        stream(chunk({"content": "a"}), done=False),
        stream(chunk({"content": "a"})),  # nobody says that it has ended
        stream(chunk({"content": "a"}, "stop", error={"message": "x"})),
        stream(chunk({"content": "a", "unheard_of": 1}, "stop")),
        stream(chunk({"content": [{"type": "text"}]}, "stop")),
        stream(chunk({"tool_calls": [{"index": 0, "custom": {}}]}, "tool_calls")),
        stream(b"data: {", chunk({"content": "a"}, "stop")),
        stream(b"data: {}"),
    ],
)
def test_what_can_not_be_told_exactly_is_not_kept(broken: bytes) -> None:
    assert whole_of(broken, USAGE) is None


def test_without_any_usage_nothing_is_kept() -> None:
    assert whole_of(stream(chunk({"content": "a"}, "stop")), None) is None
    assert whole_of(stream(chunk({"content": "a"}, "stop", usage={"prompt_tokens": 1})), None) is not None


@given(st.binary(max_size=300))
def test_no_bytes_make_it_raise(data: bytes) -> None:
    whole_of(data + b"\n\ndata: [DONE]\n\n", USAGE)
    whole_of(b"data: " + data.replace(b"\n", b"") + b"\n\ndata: [DONE]\n\n", USAGE)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["index", "delta", "tool_calls", "function", "content", "finish_reason", "logprobs"]),
        inner, max_size=4,
    ),
    max_leaves=12,
)  # fmt: skip


@given(json_values)
def test_no_json_makes_it_raise(value: Any) -> None:
    whole_of(b"data: " + json.dumps({"choices": value}).encode() + b"\n\ndata: [DONE]\n\n", USAGE)


@given(
    st.lists(st.text(max_size=8), min_size=1, max_size=6),
    st.lists(st.tuples(st.text(min_size=1, max_size=4), st.lists(st.text(max_size=6), max_size=4)), max_size=3),
)
def test_any_split_of_an_answer_is_the_same_answer(pieces: list[str], calls: list[tuple[str, list[str]]]) -> None:
    chunks = [chunk({"role": "assistant", "content": ""}), *(chunk({"content": piece}) for piece in pieces)]
    for place, (name, arguments) in enumerate(calls):
        function = {"name": name, "arguments": ""}
        chunks.append(
            chunk({"tool_calls": [{"index": place, "id": f"c{place}", "type": "function", "function": function}]})
        )
        chunks += [chunk({"tool_calls": [{"index": place, "function": {"arguments": a}}]}) for a in arguments]
    given = stream(*chunks, chunk({}, "stop"))
    whole = whole_of(given, USAGE)
    assert whole is not None
    assert said(whole) == messages(given) == messages(stream_of(whole, wants_usage=False))
