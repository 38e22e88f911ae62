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


def key(
    *scope: bytes,
    operation: Operation = Operation.CHAT,
    shared: bool = False,
    equal_under: tuple[str, ...] = (),
    **fields: Any,
) -> bytes | None:
    document = {name: value for name, value in {**BASE, **fields}.items() if value is not ...}
    call = parse(operation, json.dumps(document).encode())
    return exact_key(call, scope=scope or SCOPE, shared=shared, equal_under=equal_under)


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


def said(text: str, *before: dict[str, str], **fields: Any) -> bytes | None:
    equal_under = fields.pop("equal_under", ("Case", "WhiteSpace", "Punctuation", "Greetings"))
    return key(messages=[*before, {"role": "user", "content": text}], equal_under=equal_under, **fields)


def test_what_the_route_says_does_not_matter_makes_no_other_question() -> None:
    assert said("Hello, where is my card?") == said("where is  my card")
    assert said("where is my card", equal_under=()) != said("Where is my card", equal_under=())
    assert said("Where is my card", equal_under=("WhiteSpace",)) != said(
        "where is my card", equal_under=("WhiteSpace",)
    )


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("I paid 5", "I paid 6"),
        ("I paid $5", "I paid 5"),
        ("I paid -5", "I paid 5"),
        ("It has arrived", "It hasn't arrived"),
        ("Where is my card", "Where is my new card"),
        ("call Bob", "call Alice"),
    ],
)
def test_what_matters_is_another_question_under_any_of_it(one: str, other: str) -> None:
    assert said(one) != said(other)


def test_only_the_last_message_may_differ_and_only_where_it_is_a_text() -> None:
    for before in ("Rhyme.", "rhyme"):
        assert said("x", {"role": "system", "content": before}) != said("x", {"role": "system", "content": "rhyme."})
    parts = [{"type": "text", "text": "Where?"}], [{"type": "text", "text": "where"}]
    one, other = (key(messages=[{"role": "user", "content": part}], equal_under=("Case",)) for part in parts)
    assert one != other
    assistant = [[{"role": "assistant", "content": text}] for text in ("A", "a")]
    assert key(messages=assistant[0], equal_under=("Case",)) != key(messages=assistant[1], equal_under=("Case",))
    assert said("x", temperature=0.1) != said("x", temperature=0.2)
