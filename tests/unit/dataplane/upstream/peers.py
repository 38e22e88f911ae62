"""Servers that say what they like."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable

from merit_dataplane.upstream.http1_client import Http1Client
from tests.support.gateway import eventually

Talk = Callable[["Peer", asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
SECRET = "secret-canary-0123456789"
HEADERS = {"Authorization": f"Bearer {SECRET}", "Content-Type": "application/json"}


class Peer:
    """A server; counts connections and keeps the requests it read."""

    def __init__(self, talk: Talk):
        self.talk = talk
        self.connections = 0
        self.ended = 0
        self.requests: list[bytes] = []
        self.url = ""

    async def request(self, reader: asyncio.StreamReader) -> bytes:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
        self.requests.append(head + await reader.readexactly(length))
        return self.requests[-1]

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                await self.talk(self, reader, writer)
        finally:
            writer.close()
            self.ended += 1


@contextlib.asynccontextmanager
async def peer(talk: Talk, tls: ssl.SSLContext | None = None) -> AsyncIterator[tuple[Http1Client, Peer]]:
    """A client, and the server that it is for. At the end no connection may be left."""
    made = Peer(talk)
    server = await asyncio.start_server(made.connected, "127.0.0.1", 0, ssl=tls)
    made.url = f"http{'s' * bool(tls)}://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1/chat"
    client = Http1Client()
    try:
        yield client, made
    finally:
        await client.close()
        server.close()
        await eventually(lambda: made.ended == made.connections, "a connection is left")
        await eventually(lambda: not client._open, "the client holds a connection")


def always(*answers: bytes, close: bool = False) -> Talk:
    """The same to every request, in pieces."""

    async def talk(server: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await server.request(reader)
            for answer in answers:
                writer.write(answer)
                await writer.drain()
                if len(answers) > 1:
                    await asyncio.sleep(0.01)
            if close:
                return

    return talk


async def ask(client: Http1Client, server: Peer, body: bytes = b"{}", limit: int = 1 << 20) -> tuple[int, bytes]:
    response = await client.post(server.url, HEADERS, body, 5)
    return response.status, await response.read(limit)
