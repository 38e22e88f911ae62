"""What a stream is taken for must not depend on how quickly it was read: one look at what is plain, or every step."""

import json

from hypothesis import example, given
from hypothesis import strategies as st

from merit_crds.pricing import CostDetails
from merit_dataplane.wire.openai_progress import Progress
from merit_dataplane.wire.openai_reading import Reading
from merit_dataplane.wire.openai_stream import StreamTranslator

NOTHING = CostDetails(input=0, output=0, request=0)
IDENTITY = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m"}


def event(delta: object, *, finish: str | None = None, compact: bool = True, **more: object) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    chunk = IDENTITY | {"choices": [choice], "usage": None} | more
    return b"data: " + json.dumps(chunk, separators=(",", ":") if compact else None).encode() + b"\n\n"


TEXTS = st.text(max_size=12) | st.sampled_from(
    ["", "Hi ", 'say "x"', "a\\b", "\n\n", "äöü", "\ud83d\ude00", "\x7f", "data: "]
)
PLAIN = TEXTS.map(lambda text: event({"content": text}))
OTHERS = st.sampled_from(
    [
        event({"role": "assistant", "content": "", "refusal": None}),
        event({"content": "spaced "}, compact=False),
        event({"content": "x"}, obfuscation="aB3"),
        event({"content": "x"}, usage={"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4}),
        event({"content": "x"}, merit_native={"type": "ping"}),
        event({"reasoning_content": "hm", "content": None}),
        event({"tool_calls": [{"index": 0, "function": {"name": "f"}}]}),
        event({"content": None, "refusal": "no"}),
        event({}, finish="stop"),
        event({"content": "x"}).replace(b'"index":0', b'"index":1'),
        event({"content": ["x"]}),
        event({"content": "x"}).replace(b"\n", b"\r\n"),
        event({"content": "x"})[:-5] + b"\n\n",  # no JSON
        event({"content": "x"}).replace(b'"x"', b'"\x01"'),
        event({"content": "x"}).replace(b'"x"', b'"\xff"'),
        event({"content": "x"}).replace(b'"x"', b'"x","content":"y"'),
        event({"content": "x"}).replace(b',"logprobs"', b'\n\n,"logprobs"'),
        b'data: {"error":{"message":"no"}}\n\n',
        b": a comment\n\n",
        b"event: message\n" + event({"content": "named"}),
        b'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":1,"total_tokens":4}}\n\n',
        b"data: [DONE]\n\n",
        b"\n\n",
    ]
)


@st.composite
def streams(draw: st.DrawFn) -> list[bytes]:
    """A stream in pieces: as its events come, or cut anywhere."""
    events = draw(st.lists(PLAIN | PLAIN | PLAIN | OTHERS, min_size=1, max_size=14))
    if draw(st.booleans()):
        sizes = draw(st.lists(st.integers(1, 4), min_size=1, max_size=5))
        pieces: list[bytes] = []
        at = 0
        while at < len(events):
            size = sizes[len(pieces) % len(sizes)]
            pieces.append(b"".join(events[at : at + size]))
            at += size
        return pieces
    whole = b"".join(events)
    cuts = sorted(draw(st.lists(st.integers(0, len(whole)), max_size=6)))
    return [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]


def told(pieces: list[bytes], *, quick: bool) -> tuple[list[bytes], tuple[object, ...]]:
    """What is sent for each piece, and what is known in the end."""
    translator, progress = StreamTranslator(wants_usage=True, price=lambda _: NOTHING), Progress()
    reading, sent = Reading(translator, progress), []
    for piece in pieces:
        sent.append(reading.feed(piece) if quick else progress.look(translator.feed(piece)))
        if progress.broken:
            break
    if not progress.broken:
        sent.append(reading.finish() if quick else progress.look(translator.finish()))
    known = (progress.error, progress.malformed, progress.started, progress.finished, progress.calls, progress.fixed)
    text = "" if progress.fixed else progress.text  # nobody asks for it then
    return sent, (*known, text, translator.complete, translator.failed, progress.pieces, translator.usage)


@given(streams())
@example([event({"content": "a"}), event({"content": 'b"'}), event({"content": "c"}) + event({"content": ""})])
@example([event({"content": "a"}) * 3, event({"content": "ä"}) * 2, event({"content": "b"})[:-9] + b"\n\n"])
@example([event({"content": "x"}), event({"content": "x"}).replace(b'"x"', b'"\xff"')])
def test_a_quick_look_sees_what_a_thorough_one_does(pieces: list[bytes]) -> None:
    assert told(pieces, quick=True) == told(pieces, quick=False)


@given(st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=30), st.integers(1, 4))
def test_the_text_is_what_the_events_say(texts: list[str], together: int) -> None:
    translator, progress = StreamTranslator(wants_usage=True, price=lambda _: NOTHING), Progress()
    reading = Reading(translator, progress)
    events = [event({"content": text}) for text in texts]
    for at in range(0, len(events), together):
        piece = b"".join(events[at : at + together])
        assert reading.feed(piece) == piece
    assert (progress.text, progress.pieces, progress.started) == ("".join(texts), len(texts), True)


def test_half_a_character_is_no_text_though_the_next_event_has_the_other_half() -> None:
    halves = [event({"content": "x"}).replace(b'"x"', b'"%b"' % half) for half in (b"\xc3", b"\xa4")]
    translator, progress = StreamTranslator(wants_usage=True, price=lambda _: NOTHING), Progress()
    reading = Reading(translator, progress)
    for piece in (event({"content": "a"}), event({"content": "b"})):
        assert reading.feed(piece) == piece
    assert reading.feed(b"".join(halves)) == b""
    assert progress.malformed
