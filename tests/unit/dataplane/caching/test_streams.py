"""Streams made of kept answers: the entry's own words, each made once, within their bounds."""

import json

from hypothesis import given
from hypothesis import strategies as st

from merit_dataplane.caching.entry import Entry
from merit_dataplane.caching.streams import Streams
from merit_dataplane.wire.kept_answer import kept_stream
from merit_dataplane.wire.openai_request import Operation, parse

ASKED = b'{"model":"m","messages":[{"role":"user","content":"?"}],"stream":true'
PLAIN = parse(Operation.CHAT, ASKED + b"}")
COUNTED = parse(Operation.CHAT, ASKED + b',"stream_options":{"include_usage":true}}')


def entry(text: str) -> Entry:
    message = {"role": "assistant", "content": text}
    answer = {"object": "chat.completion", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
    body = json.dumps({**answer, "usage": {"prompt_tokens": 1}}).encode()
    return Entry(body, (), b"application/json", 1, 1, 1, 0.0, 9.0, 9.0, ("ns/r", "t", "ns/p", "m"), "ns/c")


def test_a_stream_is_made_once_for_each_wish_for_usage() -> None:
    streams, kept = Streams(1 << 20), entry("hello")
    plain, counted = streams.of(b"k", kept, PLAIN), streams.of(b"k", kept, COUNTED)
    assert plain != counted
    assert streams.of(b"k", kept, PLAIN) is plain
    assert streams.of(b"k", kept, COUNTED) is counted


def test_an_answer_that_was_fetched_anew_is_told_anew() -> None:
    streams = Streams(1 << 20)
    assert b"yesterday" in streams.of(b"k", entry("yesterday"), PLAIN)
    told = streams.of(b"k", entry("today"), PLAIN)
    assert b"today" in told
    assert b"yesterday" not in told


def test_a_stream_that_is_too_large_is_told_and_not_held() -> None:
    streams = Streams(10_000)
    assert b"x" * 5000 in streams.of(b"k", entry("x" * 5000), PLAIN)
    assert streams.size == 0


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3), st.booleans()), max_size=60))
def test_whatever_is_asked_for_is_the_entrys_own_and_all_are_within_bounds(asked: list[tuple[int, int, bool]]) -> None:
    capacity = 12_000
    streams, entries = Streams(capacity), {(k, v): entry(f"{v}" * 50 * (k + 1)) for k in range(6) for v in range(4)}
    for key, version, usage in asked:
        kept, call = entries[key, version], COUNTED if usage else PLAIN
        assert streams.of(b"%d" % key, kept, call) == kept_stream(kept.body, call)
        assert 0 <= streams.size <= capacity
