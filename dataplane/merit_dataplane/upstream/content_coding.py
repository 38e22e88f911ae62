"""Answers that a provider compresses, or a proxy before it: gzip, deflate, br, zstd, and several of them.

Nothing asks for it: `Accept-Encoding` is not sent. What comes is unpacked in pieces of a bounded size, whatever it
unpacks to.
"""

import sys
import zlib
from collections.abc import Callable, Iterator
from typing import Any, Final, Protocol

PIECE_BYTES = 256 * 1024
_GZIP, _ZLIB, _RAW = 31, 15, -15
_MOST_CODINGS = 3


class CodingError(ValueError):
    """The body is not what its content-encoding says, or that is not known."""


class Decoder(Protocol):
    """One body. Both raise CodingError."""

    def pieces(self, data: bytes) -> Iterator[bytes]:
        """What `data` unpacks to."""

    def finish(self) -> None:
        """The body is over: so has to be what it packs."""


class _Deflated:
    """gzip and deflate."""

    def __init__(self, *, gzip: bool):
        self._gzip = gzip
        self._inner: zlib._Decompress | None = None

    def pieces(self, data: bytes) -> Iterator[bytes]:
        while data:
            inner = self._inner = self._inner or zlib.decompressobj(wbits=self._window(data))
            while True:
                try:
                    piece = inner.decompress(data, PIECE_BYTES)
                except zlib.error as error:
                    raise CodingError(str(error)) from None
                data = inner.unconsumed_tail
                if piece:
                    yield piece
                if inner.eof or (not data and len(piece) < PIECE_BYTES):
                    break
            if inner.eof:  # gzip may go on with another member
                data, self._inner = inner.unused_data, None

    def finish(self) -> None:
        if self._inner is not None:
            raise CodingError("incomplete")

    def _window(self, data: bytes) -> int:
        if self._gzip:
            return _GZIP
        return _ZLIB if data[0] & 0x0F == 8 else _RAW  # some send deflate without the wrapping that belongs to it


class _Brotli:
    def __init__(self) -> None:
        import brotli  # noqa: PLC0415 # for who meets it

        self._inner, self._error = brotli.Decompressor(), brotli.error
        self._begun = False

    def pieces(self, data: bytes) -> Iterator[bytes]:
        while data or self._begun:
            self._begun = True
            try:
                piece = self._inner.process(data, output_buffer_limit=PIECE_BYTES)
            except self._error as error:
                raise CodingError(str(error)) from None
            data = b""
            if piece:
                yield piece
            if self._inner.is_finished() or (not piece and self._inner.can_accept_more_data()):
                return

    def finish(self) -> None:
        if self._begun and not self._inner.is_finished():
            raise CodingError("incomplete")


class _Zstandard:
    def __init__(self) -> None:
        self._library = _zstd()
        self._inner: Any = None

    def pieces(self, data: bytes) -> Iterator[bytes]:
        while data:
            inner = self._inner = self._inner or self._library.ZstdDecompressor()
            while True:
                try:
                    piece = inner.decompress(data, max_length=PIECE_BYTES)
                except self._library.ZstdError as error:
                    raise CodingError(str(error)) from None
                data = b""
                if piece:
                    yield piece
                if inner.eof or (inner.needs_input and not piece):
                    break
            if inner.eof:  # another frame may follow
                data, self._inner = inner.unused_data, None

    def finish(self) -> None:
        if self._inner is not None:
            raise CodingError("incomplete")


class _Several:
    """What was packed more than once. The last coding that is named was put on last."""

    def __init__(self, decoders: list[Decoder]):
        self._decoders = decoders

    def pieces(self, data: bytes) -> Iterator[bytes]:
        return self._unpacked(data, 0)

    def _unpacked(self, data: bytes, depth: int) -> Iterator[bytes]:
        if depth == len(self._decoders):
            yield data
            return
        for piece in self._decoders[depth].pieces(data):
            yield from self._unpacked(piece, depth + 1)

    def finish(self) -> None:
        for decoder in self._decoders:
            decoder.finish()


def _zstd() -> Any:
    if sys.version_info >= (3, 14):
        from compression import zstd  # noqa: PLC0415 # as above
    else:
        from backports import zstd  # noqa: PLC0415 # as above
    return zstd


_CODINGS: Final[dict[bytes, Callable[[], Decoder]]] = {
    b"gzip": lambda: _Deflated(gzip=True),
    b"x-gzip": lambda: _Deflated(gzip=True),
    b"deflate": lambda: _Deflated(gzip=False),
    b"br": _Brotli,
    b"zstd": _Zstandard,
}


def decoder_of(coding: bytes | None) -> Decoder | None:
    """For a content-encoding; None for one that changes nothing. Raises CodingError for one that is not known."""
    given = coding.strip().lower() if coding else b""
    names = [name.strip() for name in given.split(b",") if name.strip() not in (b"", b"identity")]
    if not names:
        return None
    if len(names) > _MOST_CODINGS or not _CODINGS.keys() >= set(names):
        raise CodingError(f"content-encoding {given[:64].decode(errors='replace')!r}")
    decoders = [_CODINGS[name]() for name in reversed(names)]
    return decoders[0] if len(decoders) == 1 else _Several(decoders)
