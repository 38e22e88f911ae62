"""Answers that a provider compresses although nobody asked it to."""

import zlib
from collections.abc import Iterator

PIECE_BYTES = 256 * 1024
_GZIP, _ZLIB, _RAW = 31, 15, -15


class Inflater:
    """gzip and deflate, in pieces of a bounded size whatever they unpack to. Raises zlib.error."""

    def __init__(self, coding: bytes):
        self._gzip = coding == b"gzip"
        self._inner: zlib._Decompress | None = None
        self._begun = False

    def pieces(self, data: bytes) -> Iterator[bytes]:
        """What `data` unpacks to."""
        while data:
            self._begun = True
            inner = self._inner or zlib.decompressobj(wbits=self._window(data))
            self._inner = inner
            while True:
                piece = inner.decompress(data, PIECE_BYTES)
                data = inner.unconsumed_tail
                if piece:
                    yield piece
                if inner.eof or (not data and len(piece) < PIECE_BYTES):
                    break
            if inner.eof:  # gzip may go on with another member
                data, self._inner = inner.unused_data, None

    def finish(self) -> None:
        """The body is over: so has to be what it packs."""
        if self._inner is not None and self._begun:
            raise zlib.error("incomplete")

    def _window(self, data: bytes) -> int:
        if self._gzip:
            return _GZIP
        return _ZLIB if data[0] & 0x0F == 8 else _RAW  # some send deflate without the wrapping that belongs to it


def inflater(coding: bytes | None) -> Inflater | None:
    """For a content-encoding; None for those that change nothing or that the JSON decoder will stumble over."""
    coding = coding.strip().lower() if coding else b""
    if coding in (b"br", b"zstd"):
        raise zlib.error(coding.decode())
    return Inflater(coding) if coding in (b"gzip", b"deflate") else None
