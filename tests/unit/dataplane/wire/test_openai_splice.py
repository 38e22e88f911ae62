"""Two streams as one: whatever the pieces, the client gets the text once."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from merit_dataplane.wire.openai_progress import Progress
from merit_dataplane.wire.openai_splice import Splice, identity_of


def chunk(text: str, *, finish: str | None = None, identity: str = "new", **more: Any) -> bytes:
    delta = {"role": "assistant", "content": text, **more}
    event = {"id": identity, "created": 1, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}
    return b"data: " + json.dumps(event).encode() + b"\n\n"


def cut(text: str, places: list[int]) -> list[str]:
    ends = sorted({place % (len(text) + 1) for place in places} | {len(text)})
    return [text[a:b] for a, b in zip([0, *ends], ends, strict=False)]


def texts(data: bytes) -> str:
    events = [json.loads(e[6:]) for e in data.split(b"\n\n") if e.startswith(b"data: {")]
    return "".join(c["delta"].get("content") or "" for e in events for c in e["choices"])


ANSWER = st.text(max_size=40)
PLACES = st.lists(st.integers(0, 60), max_size=8)


@given(ANSWER, st.integers(0, 40), PLACES)
def test_a_restart_that_agrees_gives_the_rest_once(answer: str, at: int, places: list[int]) -> None:
    has = answer[:at]
    splice = Splice(has, {}, {}, anew=True)
    out = b"".join(splice.feed(chunk(piece)) for piece in cut(answer, places)) + splice.feed(chunk("", finish="stop"))
    assert not splice.diverged
    assert has + texts(out) == splice.text == answer


@given(ANSWER, ANSWER, PLACES)
def test_a_restart_never_mixes_two_answers(has: str, other: str, places: list[int]) -> None:
    splice = Splice(has, {}, {}, anew=True)
    out = b"".join(splice.feed(chunk(piece)) for piece in cut(other, places)) + splice.feed(chunk("", finish="stop"))
    assert splice.diverged == (not other.startswith(has))
    if splice.diverged:
        assert texts(out) == ""
    else:
        assert has + texts(out) == other


@given(ANSWER, ANSWER, PLACES, st.booleans())
def test_a_beginning_that_is_repeated_is_left_out(has: str, rest: str, places: list[int], echoed: bool) -> None:
    written = has + rest if echoed else rest
    splice = Splice(has, {}, {}, anew=False, echoes=True)
    out = b"".join(splice.feed(chunk(piece)) for piece in cut(written, places)) + splice.feed(chunk("", finish="stop"))
    expected = rest if echoed or not (has and rest.startswith(has)) else rest[len(has) :]
    assert texts(out) == expected


def test_white_space_that_was_taken_off_is_not_doubled() -> None:
    splice = Splice("Hello ", {}, {}, anew=False, trimmed=" ")
    assert texts(splice.feed(chunk(" world"))) == "world"
    splice = Splice("Hello", {}, {}, anew=False, trimmed="")
    assert texts(splice.feed(chunk(" world"))) == " world"


def test_events_get_the_first_streams_identity_and_the_seam_is_marked_once() -> None:
    splice = Splice("A", identity_of(chunk("A", identity="old")), {"mid_stream": "prefix"}, anew=False)
    out = splice.feed(chunk("") + chunk("B") + chunk("C", finish="stop") + b"data: [DONE]\n\n")
    events = [json.loads(e[6:]) for e in out.split(b"\n\n") if e.startswith(b"data: {")]
    assert [event["id"] for event in events] == ["old", "old"]
    assert ["merit" in event for event in events] == [True, False]
    assert out.endswith(b"data: [DONE]\n\n")
    assert all("role" not in event["choices"][0]["delta"] for event in events)


def test_thoughts_of_another_mind_are_left_out() -> None:
    splice = Splice("A", {}, {}, anew=False)
    assert splice.feed(chunk("", reasoning_content="hm")) == b""


# ---- what has gone out


@given(st.lists(st.binary(max_size=30), max_size=6))
def test_nothing_that_is_no_json_gets_through(pieces: list[bytes]) -> None:
    for piece in pieces:
        progress = Progress()
        event = b"data: " + piece.replace(b"\n", b" ").replace(b"\r", b" ") + b"\n\n"
        sent = progress.feed(chunk("x") + event)
        for line in sent.splitlines():
            if line.startswith(b"data:") and line[5:].strip() not in (b"", b"[DONE]"):
                json.loads(line[5:])


def test_progress_knows_text_calls_ends_and_errors() -> None:
    progress = Progress()
    assert progress.feed(chunk("")) == chunk("")
    assert not progress.started
    progress.feed(chunk("a") + chunk("b"))
    assert (progress.started, progress.text, progress.finished) == (True, "ab", False)
    progress.feed(chunk("", tool_calls=[{"index": 0, "function": {"name": "f"}}]))
    assert progress.calls
    progress.feed(chunk("", finish="stop"))
    assert progress.finished
    error = b'data: {"error":{"message":"no"}}\n\n'
    assert progress.feed(chunk("c") + error + chunk("d")) == chunk("c")
    assert (progress.error, progress.broken) == (error, True)


def test_line_ends_of_any_kind_and_comments() -> None:
    progress = Progress()
    data = chunk("a").replace(b"\n", b"\r\n") + b": ping\r\n\r\n" + chunk("b")
    assert progress.feed(data) == data
    assert progress.text == "ab"


def test_several_choices_and_unknown_shapes_cannot_be_gone_on_from() -> None:
    for data in (
        b'data: {"choices":[{"index":1,"delta":{"content":"x"}}]}\n\n',
        b'data: {"choices":[{"index":0,"delta":{"content":[{"type":"text"}]}}]}\n\n',
        b'data: {"choices":{}}\n\n',
        b'data: {"choices":[{"index":0,"delta":{"audio":{"id":"a"}}}]}\n\n',
    ):
        progress = Progress()
        assert progress.feed(data) == data
        assert progress.fixed, data
