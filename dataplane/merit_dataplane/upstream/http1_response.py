"""An answer: filled by its connection, emptied by the request's task."""

import asyncio
import functools
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable
from contextlib import aclosing
from typing import Protocol

from merit_dataplane.upstream.client import Failure, UpstreamError, UpstreamResponse
from merit_dataplane.upstream.content_coding import CodingError, decoder_of

READ_AHEAD_BYTES = 256 * 1024
_AT_HEAD = -1


@functools.lru_cache(maxsize=256)  # the same few are asked for again and again
def _key(name: str) -> bytes:
    return name.lower().encode()


class Source(Protocol):
    """The connection that an answer comes from."""

    def more(self) -> None:
        """There is room again."""
        ...

    def abort(self) -> None:
        """Nobody wants the rest."""
        ...


class Http1Response(UpstreamResponse):
    """Holds no connection once it is complete: another request may have it by then."""

    __slots__ = (
        "_loop",
        "_waiter",
        "_wake_above",
        "complete",
        "error",
        "headers",
        "pieces",
        "read_ahead",
        "size",
        "source",
        "status",
    )

    def __init__(self, source: Source, loop: asyncio.AbstractEventLoop):
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        self.pieces: list[bytes] = []
        self.size = 0
        self.read_ahead = READ_AHEAD_BYTES
        self.complete = False
        self.error = ""
        self.source: Source | None = source
        self._loop = loop
        self._waiter: asyncio.Future[None] | None = None
        self._wake_above = _AT_HEAD

    # ---- the connection's side

    def wake(self) -> None:
        """Something has come: the task runs if that is what it waits for."""
        waiter = self._waiter
        if (
            waiter is not None
            and not waiter.done()
            and (self.complete or self.error or (self.status and self.size > self._wake_above))
        ):
            waiter.set_result(None)

    def finish(self, error: str = "") -> None:
        """Nothing more will come."""
        self.source = None
        if error:
            self.error = error
        else:
            self.complete = True

    # ---- the task's side

    def head(self) -> Awaitable[None]:
        """Waits for the head, or until `error` is set."""
        return self._wait(_AT_HEAD)

    def header(self, name: str) -> str | None:
        """See UpstreamResponse."""
        value = self.headers.get(_key(name))
        return None if value is None else value.decode("utf-8", "surrogateescape")

    async def read(self, limit: int) -> bytes:
        """See UpstreamResponse."""
        if not self.complete:
            announced = self.headers.get(b"content-length")
            if announced is not None and int(announced) > limit:
                raise _too_long(limit)
        if b"content-encoding" in self.headers:
            return await self._read_decoded(limit)
        while not self.complete and not self.error and self.size <= limit:
            self.read_ahead = limit
            self._more()
            await self._wait(limit)
        if self.size > limit:
            raise _too_long(limit)
        if self.error:
            raise self._broken()
        return self._take()

    def chunks(self) -> AsyncIterator[bytes]:
        """See UpstreamResponse."""
        return self._decoded() if b"content-encoding" in self.headers else self._raw()

    def arrived(self) -> bytes:
        """See UpstreamResponse."""
        return self._take() if self.complete and b"content-encoding" not in self.headers else b""

    def close(self) -> None:
        """See UpstreamResponse."""
        source = self.source
        if source is not None:
            source.abort()

    async def _read_decoded(self, limit: int) -> bytes:
        pieces, size = [], 0
        async with aclosing(self._decoded()) as decoded:
            async for piece in decoded:
                size += len(piece)
                if size > limit:
                    raise _too_long(limit)
                pieces.append(piece)
        return b"".join(pieces)

    async def _raw(self) -> AsyncGenerator[bytes, None]:
        self._wake_above = 0
        try:
            while True:
                if self.pieces:
                    data = self._take()
                    self._more()
                    yield data
                elif self.error:
                    raise self._broken()
                elif self.complete:
                    return
                else:
                    self._waiter = self._loop.create_future()
                    await self._waiter
                    self._waiter = None
        except asyncio.CancelledError:
            self.close()
            raise
        finally:
            self._waiter = None

    async def _decoded(self) -> AsyncGenerator[bytes, None]:
        try:
            unpack = decoder_of(self.headers.get(b"content-encoding"))
            async for data in self._raw():
                if unpack is None:
                    yield data
                    continue
                for piece in unpack.pieces(data):
                    yield piece
                    await asyncio.sleep(0)  # a little data may unpack to much: others run in between
            if unpack is not None:
                unpack.finish()
        except CodingError as error:
            self.error = "bad content-encoding"
            raise self._broken() from error

    def _take(self) -> bytes:
        pieces = self.pieces
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        self.pieces, self.size = [], 0
        return data

    def _more(self) -> None:
        source = self.source
        if source is not None:
            source.more()

    async def _wait(self, above: int) -> None:
        if self.error or (above == _AT_HEAD and self.status):
            return
        self._wake_above = above
        self._waiter = waiter = self._loop.create_future()
        try:
            await waiter
        except asyncio.CancelledError:
            self.close()
            raise
        finally:
            self._waiter = None

    def _broken(self) -> UpstreamError:
        return UpstreamError(Failure.RESET, f"the answer broke off: {self.error}")


def _too_long(limit: int) -> UpstreamError:
    return UpstreamError(Failure.MALFORMED, f"the answer has more than {limit} bytes")
