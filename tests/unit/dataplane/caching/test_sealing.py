"""Entries as they stand in Redis: whatever was done to one, it is served whole or not at all."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from merit_dataplane.caching.entry import Entry
from merit_dataplane.caching.sealing import Seal

SECRET = b"a secret that all pods share 0001"
KEY = b"k" * 32
ANSWER = Entry(
    b'{"choices":[{"message":{"content":"canary-4711 ' + b"and so on " * 90 + b'"}}]}', ((b"x-merit-model", b"m"),),
    b"application/json", 12_345_678_901_234, 300, 60, 1e9, 2e9, 2.5e9, ("ns/r", "t", "ns/p", "m"), "ns/c", ("faq",),
)  # fmt: skip
KINDS = pytest.mark.parametrize("encrypts", [False, True])


@KINDS
def test_there_and_back(encrypts: bool) -> None:
    seal = Seal(SECRET, encrypts=encrypts)
    sealed = seal.seal(KEY, ANSWER)
    assert seal.unseal(KEY, sealed) == ANSWER
    assert len(sealed) < len(ANSWER.body)


@KINDS
def test_another_pod_with_the_same_secret_reads_it_and_nobody_else(encrypts: bool) -> None:
    sealed = Seal(SECRET, encrypts=encrypts).seal(KEY, ANSWER)
    assert Seal(SECRET, encrypts=encrypts).unseal(KEY, sealed) == ANSWER
    assert Seal(b"another secret", encrypts=encrypts).unseal(KEY, sealed) is None


@KINDS
def test_an_entry_that_was_moved_to_another_question_is_none(encrypts: bool) -> None:
    seal = Seal(SECRET, encrypts=encrypts)
    assert seal.unseal(b"l" * 32, seal.seal(KEY, ANSWER)) is None


def test_what_is_encrypted_says_nothing_and_nothing_in_the_clear_replaces_it() -> None:
    secret, clear = Seal(SECRET, encrypts=True), Seal(SECRET, encrypts=False)
    short = Entry(b"canary-4711", (), b"", 1, 1, 1, 0, 1, 1, ("ns/canary", "t", "ns/p", "m"), "ns/c")
    sealed = secret.seal(KEY, short)
    assert b"canary" not in sealed
    assert b"canary" in clear.seal(KEY, short), "else the line above shows nothing"
    assert secret.unseal(KEY, clear.seal(KEY, short)) is None
    assert clear.unseal(KEY, sealed) is None


@KINDS
@given(data=st.data())
def test_a_changed_or_truncated_entry_is_a_miss(encrypts: bool, data: st.DataObject) -> None:
    seal = Seal(SECRET, encrypts=encrypts)
    sealed = seal.seal(KEY, ANSWER)
    at = data.draw(st.integers(0, len(sealed) - 1))
    flipped = sealed[:at] + bytes([sealed[at] ^ data.draw(st.integers(1, 255))]) + sealed[at + 1 :]
    assert seal.unseal(KEY, flipped) is None
    assert seal.unseal(KEY, sealed[:at]) is None


@KINDS
@given(st.binary(max_size=200))
def test_garbage_is_a_miss(encrypts: bool, garbage: bytes) -> None:
    seal = Seal(SECRET, encrypts=encrypts)
    for head in (b"", b"M01", b"M11"):
        assert seal.unseal(KEY, head + garbage) is None
