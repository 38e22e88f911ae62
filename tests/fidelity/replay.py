"""A vendor that answers as was recorded: which exchange, and in which pieces, stands in what it is asked."""

import asyncio
import contextlib
import gzip
import random
import re
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass

from tests.fidelity.exchanges import Exchange

_MARK = re.compile(rb"replay-(\d+)-([a-z]+)-")
_HOP = frozenset({"content-length", "transfer-encoding", "connection", "content-encoding", "keep-alive"})
_REASONS = {200: "OK", 400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found"}


def mark(place: int, chunking: str) -> str:
    """What has to stand in the request."""
    return f"replay-{place}-{chunking}-"


def _whole(body: bytes) -> Iterator[bytes]:
    yield body


def _bytes(body: bytes) -> Iterator[bytes]:
    """Byte by byte, but for the middle of a long one: each is a turn of the event loop."""
    edge = 700
    middle = body[edge:-edge] if len(body) > 2 * edge else b""
    ends = (body[:edge], body[-edge:]) if middle else (body, b"")
    yield from (ends[0][i : i + 1] for i in range(len(ends[0])))
    yield from _random(middle)
    yield from (ends[1][i : i + 1] for i in range(len(ends[1])))


def _random(body: bytes) -> Iterator[bytes]:
    chance, at = random.Random(len(body)), 0
    while at < len(body):
        size = chance.choice((1, 2, 3, 5, 17, 60, 200, 1000))
        yield body[at : at + size]
        at += size


def _events(body: bytes) -> Iterator[bytes]:
    """Each event by itself."""
    if body[:1] == b"\0":
        at = 0
        while at < len(body):
            size = int.from_bytes(body[at : at + 4], "big")
            yield body[at : at + size]
            at += size
        return
    at = 0
    for end in re.finditer(rb"\r?\n\r?\n", body):
        yield body[at : end.end()]
        at = end.end()
    if at < len(body):
        yield body[at:]


def _gzip(body: bytes) -> Iterator[bytes]:
    yield from _random(gzip.compress(body, mtime=0))


def _deflate(body: bytes) -> Iterator[bytes]:
    yield from _random(zlib.compress(body))


CHUNKINGS: dict[str, Callable[[bytes], Iterator[bytes]]] = {
    "whole": _whole,
    "bytes": _bytes,
    "random": _random,
    "events": _events,
    "gzip": _gzip,
    "deflate": _deflate,
}
"""By name."""


@dataclass
class Replay:
    """The vendor."""

    exchanges: list[Exchange]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = re.search(rb"(?i)content-length: (\d+)", head)
                asked = await reader.readexactly(int(length[1]) if length else 0)
                found = _MARK.search(asked)
                if found is None:
                    break  # a request that was meant for another program's port
                await _answer(self.exchanges[int(found[1])], found[2].decode(), writer)
        writer.close()


async def _answer(exchange: Exchange, chunking: str, writer: asyncio.StreamWriter) -> None:
    headers = {name: value for name, value in exchange.headers.items() if name not in _HOP}
    if chunking in ("gzip", "deflate"):
        headers["content-encoding"] = chunking
    kind = "text/event-stream" if exchange.streamed else "application/json"
    headers.setdefault("content-type", "application/vnd.amazon.eventstream" if exchange.body[:1] == b"\0" else kind)
    lines = [f"HTTP/1.1 {exchange.status} {_REASONS.get(exchange.status, 'Other')}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    pieces = CHUNKINGS[chunking](exchange.body)
    if chunking == "whole" and not exchange.streamed:
        lines.append(f"content-length: {len(exchange.body)}")
        writer.write("\r\n".join([*lines, "", ""]).encode("latin-1", "replace") + b"".join(pieces))
        await writer.drain()
        return
    lines.append("transfer-encoding: chunked")
    writer.write("\r\n".join([*lines, "", ""]).encode("latin-1", "replace"))
    for piece in pieces:
        writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        await writer.drain()
        await asyncio.sleep(0)
    writer.write(b"0\r\n\r\n")
    await writer.drain()


@contextlib.asynccontextmanager
async def replaying(exchanges: list[Exchange]) -> AsyncIterator[str]:
    """The vendor's URL."""
    made = Replay(exchanges)
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0, limit=2**24)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
