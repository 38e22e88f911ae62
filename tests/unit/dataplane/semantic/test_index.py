"""What questions are alike: never more bytes than it may have, never one that is less alike than asked for."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from merit_dataplane.semantic.index import MOST_QUESTIONS, Index
from merit_dataplane.semantic.vector import Vector, cosine, numbers_in, unpacked, vector, vector_in

NOW = 1000.0
NUMBERS = st.floats(-1, 1, width=32).filter(lambda x: abs(x) > 1e-3)


def made(numbers: list[float]) -> Vector:
    found = vector(numbers)
    assert found is not None
    return found


def similarity(one: bytes, other: bytes) -> float:
    return cosine(numbers_in(one), numbers_in(other))


def exactly(one: list[float], other: list[float]) -> float:
    return sum(x * y for x, y in zip(one, other, strict=True)) / math.sqrt(
        sum(x * x for x in one) * sum(y * y for y in other)
    )


@given(st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1, max_size=64))
def test_a_packed_vector_has_its_cosine(pairs: list[tuple[float, float]]) -> None:
    one, other = [list(numbers) for numbers in zip(*pairs, strict=True)]
    first, second = made(one), made(other)
    assert similarity(first.packed, second.packed) == pytest.approx(exactly(one, other), abs=2e-3)
    assert similarity(first.packed, first.packed) == pytest.approx(1.0, abs=1e-3)
    assert unpacked(first.packed) == first


@pytest.mark.parametrize(
    "numbers", [[], [0.0], [math.nan, 1.0], [math.inf, 1.0], [1e308, 1e308], [1e-200, 0.0], [1.0] * 8193]
)
def test_what_has_no_direction_is_no_vector(numbers: list[float]) -> None:
    assert vector(numbers) is None


@given(st.binary(max_size=200))
def test_bytes_of_others_are_a_vector_or_none(body: bytes) -> None:
    vector_in(body)
    found = unpacked(body)
    if found is not None:
        assert not similarity(found.packed, found.packed) > 1.001  # NaN neither


def test_the_nearest_of_many_is_found_as_often_as_by_looking_at_all() -> None:
    """Embeddings of questions on some subjects: a subject's are alike, and no two are the same."""
    chance = np.random.default_rng(7)
    subjects = chance.normal(size=(40, 384))
    asked = subjects[chance.integers(40, size=1000)] + chance.normal(scale=0.35, size=(1000, 384))
    index = Index(1 << 30)
    for place, numbers in enumerate(asked):
        index.add(b"g", place.to_bytes(4), made(numbers.tolist()), NOW + 60)
    lengths = np.linalg.norm(asked, axis=1)
    for question in asked[chance.integers(1000, size=60)] + chance.normal(scale=0.2, size=(60, 384)):
        nearest = int(np.argmax(asked @ question / lengths))
        near = index.nearest(b"g", made(question.tolist()), 0.95, NOW)
        assert [one.key for one in near[:1]] == [nearest.to_bytes(4)]


@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.integers(0, 8), st.lists(NUMBERS, min_size=8, max_size=8), st.integers(-5, 50)),
        max_size=60,
    ),
    st.integers(600, 6000),
    st.floats(0.5, 1),
)
def test_bounds_and_promises(added: list[tuple[int, int, list[float], int]], capacity: int, at_least: float) -> None:
    index = Index(capacity)
    known: dict[tuple[bytes, bytes], tuple[list[float], float]] = {}
    for group, key, numbers, left in added:
        named = bytes([group]), bytes([key])
        index.add(*named, made(numbers), NOW + left)
        known[named] = numbers, NOW + left
        assert index.size <= capacity
        for near in index.nearest(bytes([group]), made(numbers), at_least, NOW):
            told, until = known[bytes([group]), near.key]
            assert until > NOW
            assert near.similarity >= at_least
            assert near.similarity == pytest.approx(exactly(numbers, told), abs=2e-3)
    for group in range(4):
        assert index.nearest(bytes([group]), made([1.0] * 8), 1.0, NOW + 60) == []
    assert index.size <= capacity


def test_a_group_has_its_newest_questions() -> None:
    index = Index(1 << 30)
    for place in range(MOST_QUESTIONS + 10):
        index.add(b"g", place.to_bytes(4), made([1.0, place]), NOW + 60)
    assert len(index) == MOST_QUESTIONS
    assert index.nearest(b"g", made([1.0, 0.0]), 0.9999, NOW) == []


def test_an_idle_group_goes_first_and_is_heard_anew() -> None:
    index = Index(4000)
    for group in (b"idle", b"busy"):
        index.add(group, b"k", made([1.0, 0.0]), NOW + 60)
        index.hear(group, b"1-0")
    for place in range(20):
        index.nearest(b"busy", made([1.0, 0.0]), 0.9, NOW)
        index.add(b"new", place.to_bytes(4), made([0.0, 1.0]), NOW + 60)
        if not index.heard(b"idle"):
            break
    assert index.heard(b"idle") == b""
    assert index.heard(b"busy") == b"1-0"
