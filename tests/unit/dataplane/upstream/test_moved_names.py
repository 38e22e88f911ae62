"""A provider's name that leads somewhere else: connections that are kept don't hold on to where it was."""

import asyncio
import socket
from typing import Any

import pytest

from merit_dataplane.upstream import addresses, http1_client
from merit_dataplane.upstream.http1_client import Http1Client
from tests.support.gateway import eventually

HERE, THERE = "127.0.0.1", "127.0.0.2"


async def serve(host: str, port: int) -> tuple[asyncio.Server, int]:
    """Says which address it has, and keeps its connections."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                body = host.encode()
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))
        except asyncio.IncompleteReadError:
            writer.close()

    server = await asyncio.start_server(answer, host, port)
    return server, int(server.sockets[0].getsockname()[1])


class Names:
    """What the resolver says, and how often it was asked."""

    def __init__(self) -> None:
        self.answer: str | None = HERE
        self.asked = 0

    async def getaddrinfo(self, *_: object, **__: object) -> list[Any]:
        self.asked += 1
        if self.answer is None:
            raise socket.gaierror(socket.EAI_AGAIN, "no answer")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (self.answer, 0))]


async def test_a_name_that_moves_is_followed_without_a_restart(monkeypatch: pytest.MonkeyPatch) -> None:
    names = Names()
    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", names.getaddrinfo, raising=False)
    monkeypatch.setattr(addresses, "_KEPT_SECONDS", 0.02)
    monkeypatch.setattr(http1_client, "_SETTLED_SECONDS", 0.0)
    one, port = await serve(HERE, 0)
    two, _ = await serve(THERE, port)
    client = Http1Client()

    async def who() -> bytes:
        response = await client.post(f"http://vendor.test:{port}/v1", {}, b"", 5)
        return await response.read(100)

    async def moves_to(host: str) -> None:
        async def there() -> bool:
            return await who() == host.encode()

        await eventually(there, f"not asked at {host}")

    try:
        assert await who() == HERE.encode()
        names.answer = THERE
        await moves_to(THERE)
        names.answer = None  # who can't be asked has not moved
        for _ in range(20):
            assert await who() == THERE.encode()
            await asyncio.sleep(0.005)
        assert len(client._open) == 1
        names.answer = HERE
        await moves_to(HERE)
    finally:
        await client.close()
        for server in (one, two):
            server.close()


async def test_a_name_with_other_addresses_each_time_keeps_its_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    names = Names()
    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", names.getaddrinfo, raising=False)
    monkeypatch.setattr(addresses, "_KEPT_SECONDS", 0.0)
    one, port = await serve(HERE, 0)
    client = Http1Client()
    try:
        for turn in range(10):
            response = await client.post(f"http://vendor.test:{port}/v1", {}, b"", 5)
            assert await response.read(100) == HERE.encode()
            names.answer = f"127.0.0.{turn + 3}"
        assert names.asked == 1
    finally:
        await client.close()
        one.close()
