"""The exact cache's key."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from merit_dataplane.caching.key import exact_key
from merit_dataplane.wire.openai_request import Operation, parse
from merit_dataplane.wire.steering import Steering

BASE: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "temperature": 0.5}


SCOPE = (b"ns/r", b"", b"ns/c", b"")


def key(*scope: bytes, operation: Operation = Operation.CHAT, shared: bool = False, **fields: Any) -> bytes | None:
    document = {name: value for name, value in {**BASE, **fields}.items() if value is not ...}
    return exact_key(parse(operation, json.dumps(document).encode()), scope=scope or SCOPE, shared=shared)


@pytest.mark.parametrize(
    "fields",
    [
        {"operation": Operation.COMPLETIONS, "prompt": "x"},
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
        {"cache": {"ttl": 5}},
        {"model": "another name of the route"},
    ],
)
def test_what_only_changes_the_delivery_does_not(fields: dict[str, Any]) -> None:
    assert key(**fields) == key()


def test_the_order_of_fields_and_white_space_do_not_matter() -> None:
    body = b'{ "temperature":0.5, "messages":[ {"content":"hi","role":"user"} ],"model":"m"}'
    assert exact_key(parse(Operation.CHAT, body), scope=SCOPE) == key()


def test_a_whole_number_is_the_same_however_it_is_written() -> None:
    assert key(temperature=1.0) == key(temperature=1) != key(temperature=True)


@pytest.mark.parametrize("place", range(4))
def test_the_scope_is_part_of_it_and_no_part_can_be_shifted_into_another(place: int) -> None:
    other = (*SCOPE[:place], SCOPE[place] + b"x", *SCOPE[place + 1 :])
    assert key(*other) != key()
    assert key(b"ab", b"c") != key(b"a", b"bc")
    assert key(b"a", b"") != key(b"a")


def test_steering_by_a_suffix_of_the_models_name_is_part_of_it() -> None:
    call = parse(Operation.CHAT, json.dumps(BASE).encode())
    cheap, fast = (replace(call, steering=Steering(sort=sort)) for sort in ("price", "throughput"))
    assert len({exact_key(c, scope=SCOPE) for c in (call, cheap, fast)}) == 3


def test_shared_answers_are_for_requests_that_everybody_reads_alike() -> None:
    """A vendor that takes the first of two members would leave its answer under the question that we read."""
    twice = b'{"model":"m","temperature":0.5,"messages":[{"role":"user","content":"evil","content":"hi"}]}'
    call = parse(Operation.CHAT, twice)
    assert exact_key(call, scope=SCOPE, shared=True) is None
    assert key(shared=True) == key()


@pytest.mark.parametrize("raw", [b'"\xff"', b"1e400", b"[" * 900 + b"]" * 900])
@pytest.mark.parametrize("shared", [False, True])
def test_a_request_that_has_no_canonical_form_is_not_cached(raw: bytes, shared: bool) -> None:
    call = parse(Operation.CHAT, b'{"model":"m","messages":[1],"x":' + raw + b"}")
    exact_key(call, scope=SCOPE, shared=shared)  # None or a key, but no error


letters = st.text("ab1. ", max_size=4)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.floats(-2, 2) | letters,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(letters, inner, max_size=2),
    max_leaves=5,
)


@given(values, values)
def test_equal_keys_mean_equal_requests(one: Any, other: Any) -> None:
    same = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    if key(x=one) == key(x=other):
        assert same or (isinstance(one, float) and one == other) or (isinstance(other, float) and one == other)
    elif same:
        raise AssertionError("the same request has two keys")
