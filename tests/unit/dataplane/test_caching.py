"""The exact cache: its key and its bounds."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from merit_dataplane.caching.exact import ExactStore, Kept
from merit_dataplane.caching.key import exact_key
from merit_dataplane.feedback.answer_id import Byline, Seal
from merit_dataplane.wire.openai_request import Operation, parse

BASE: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "temperature": 0.5}


def key(
    consumer: str = "ns/c", route: str = "ns/r", operation: Operation = Operation.CHAT, **fields: Any
) -> bytes | None:
    document = {name: value for name, value in {**BASE, **fields}.items() if value is not ...}
    return exact_key(parse(operation, json.dumps(document).encode()), consumer=consumer, route=route)


@pytest.mark.parametrize(
    "fields",
    [
        {"consumer": "ns/d"},
        {"route": "ns/s"},
        {"operation": Operation.COMPLETIONS, "prompt": "x"},
        {"model": "n"},
        {"messages": [{"role": "user", "content": "hi "}]},
        {"messages": [{"role": "system", "content": "hi"}]},
        {"temperature": 0.6},
        {"temperature": ...},
        {"max_tokens": 5},
        {"seed": 1},
        {"n": 2},
        {"tools": [{"type": "function"}]},
        {"response_format": {"type": "json_object"}},
        {"x-unknown": 1},
    ],
)
def test_whatever_can_change_the_answer_or_its_owner_changes_the_key(fields: dict[str, Any]) -> None:
    assert key(**fields) != key()


@pytest.mark.parametrize(
    "fields",
    [
        {"stream": True},
        {"stream_options": {"include_usage": True}},
        {"usage": {"include": True}},
        {"user": "u"},
        {"metadata": {"a": "b"}},
        {"store": True},
    ],
)
def test_what_only_changes_the_delivery_does_not(fields: dict[str, Any]) -> None:
    assert key(**fields) == key()


def test_the_order_of_fields_and_white_space_do_not_matter() -> None:
    body = b'{ "temperature":0.5, "messages":[ {"content":"hi","role":"user"} ],"model":"m"}'
    assert exact_key(parse(Operation.CHAT, body), consumer="ns/c", route="ns/r") == key()


def test_consumer_and_route_can_not_be_shifted_into_each_other() -> None:
    assert key(consumer="a", route="bc") != key(consumer="ab", route="c")


@pytest.mark.parametrize("raw", [b'"\xff"', b"1e400", b"[" * 900 + b"]" * 900])
def test_a_request_that_has_no_canonical_form_is_not_cached(raw: bytes) -> None:
    call = parse(Operation.CHAT, b'{"model":"m","messages":[1],"x":' + raw + b"}")
    exact_key(call, consumer="c", route="r")  # None or a key, but no error


BYLINE = Byline(("ns/r", "all", "ns/p", "m"), "0" * 12, Seal(b"secret"))


def kept(size: int, expires: float = 100.0) -> Kept:
    return Kept(b"x" * size, (), 1, expires, BYLINE)


def test_an_answer_expires() -> None:
    store = ExactStore(100_000)
    store.put(b"k", kept(10, expires=5))
    assert store.get(b"k", 4.9) == kept(10, expires=5)
    assert store.get(b"k", 5) is None
    assert store.bytes == 0


def test_the_least_recently_used_makes_room() -> None:
    store = ExactStore(11_000)
    for name in (b"a", b"b", b"c"):
        store.put(name, kept(800))
    store.get(b"a", 0)
    for number in range(9):
        store.put(b"%d" % number, kept(800))
    assert store.get(b"a", 0) is not None
    assert store.get(b"b", 0) is None


def test_one_answer_never_fills_the_whole_cache() -> None:
    store = ExactStore(10_000)
    store.put(b"k", kept(1000))
    assert store.get(b"k", 0) is None


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 3000), st.floats(0, 20), st.booleans()), max_size=80))
def test_the_bound_holds_and_the_count_is_right(operations: list[tuple[int, int, float, bool]]) -> None:
    store, now = ExactStore(20_000), 0.0
    for number, size, seconds, put in operations:
        now += seconds / 4
        if put:
            store.put(b"%d" % number, kept(size, expires=now + seconds))
        elif (found := store.get(b"%d" % number, now)) is not None:
            assert found.expires > now
        assert store.bytes == sum(len(k.body) + 200 for k in store._kept.values()) <= 20_000
