"""Compressed answers: whatever a provider's bytes are and however they are cut, in pieces of a bounded size."""

import contextlib
import gzip
import itertools
import sys
import zlib
from collections.abc import Callable

import brotli
import pytest
from hypothesis import given
from hypothesis import strategies as st

from merit_dataplane.upstream.content_coding import PIECE_BYTES, CodingError, decoder_of

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

PACK: dict[bytes, Callable[[bytes], bytes]] = {
    b"gzip": gzip.compress,
    b"x-gzip": gzip.compress,
    b"deflate": zlib.compress,
    b"br": brotli.compress,
    b"zstd": zstd.compress,
    b"gzip, br": lambda data: brotli.compress(gzip.compress(data)),
    b" BR , identity, zstd ": lambda data: zstd.compress(brotli.compress(data)),
}


def unpacked(coding: bytes, data: bytes, cuts: list[int]) -> list[bytes]:
    decoder = decoder_of(coding)
    if decoder is None:
        raise AssertionError("it is a coding")
    made, places = [], sorted({0, *(cut % (len(data) + 1) for cut in cuts), len(data)})
    for start, end in itertools.pairwise(places):
        made += list(decoder.pieces(data[start:end]))
    decoder.finish()
    return made


@given(st.sampled_from(sorted(PACK)), st.binary(max_size=3000), st.lists(st.integers(0, 4000), max_size=5))
def test_any_body_at_any_cut(coding: bytes, body: bytes, cuts: list[int]) -> None:
    assert b"".join(unpacked(coding, PACK[coding](body), cuts)) == body


@pytest.mark.parametrize("coding", sorted(PACK))
def test_a_bomb_comes_in_pieces(coding: bytes) -> None:
    pieces = unpacked(coding, PACK[coding](b"\0" * 8_000_000), [1000])
    assert sum(map(len, pieces)) == 8_000_000
    assert max(map(len, pieces)) <= 2 * PIECE_BYTES


@given(st.sampled_from(sorted(PACK)), st.binary(min_size=1, max_size=300), st.lists(st.integers(0, 300), max_size=3))
def test_arbitrary_bytes_are_an_error_or_a_body(coding: bytes, data: bytes, cuts: list[int]) -> None:
    with contextlib.suppress(CodingError):
        unpacked(coding, data, cuts)


@given(st.sampled_from(sorted(PACK)), st.binary(min_size=1, max_size=600), st.data())
def test_half_a_body_is_none(coding: bytes, body: bytes, data: st.DataObject) -> None:
    packed = PACK[coding](body)
    half = packed[: data.draw(st.integers(1, len(packed) - 1))]
    with pytest.raises(CodingError):
        unpacked(coding, half, [])


@pytest.mark.parametrize("coding", [b"compress", b"gzip, compress", b"br, br, br, br", b"\xff"])
def test_a_coding_that_is_not_known(coding: bytes) -> None:
    with pytest.raises(CodingError):
        decoder_of(coding)


@pytest.mark.parametrize("coding", [None, b"", b"identity", b" , identity"])
def test_no_coding(coding: bytes | None) -> None:
    assert decoder_of(coding) is None
