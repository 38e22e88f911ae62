"""Other requests than a POST in one piece: GET and DELETE, and bodies that are sent as fast as they are read."""

import asyncio
import tracemalloc
from collections.abc import Iterator

import pytest

from merit_dataplane.upstream.client import Failure, Upload, UpstreamError
from merit_dataplane.upstream.http1_client import Http1Client
from tests.support.gateway import eventually
from tests.unit.dataplane.upstream.peers import HEADERS, OK, Peer, Talk, ask, peer

GONE = b"HTTP/1.1 204 No Content\r\n\r\n"
REFUSED = b"HTTP/1.1 413 Too Large\r\ncontent-length: 3\r\n\r\nbig"
MIB = 1 << 20


async def _head(server: Peer, reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    server.requests.append(head)
    return head


def _answers(answer: bytes) -> Talk:
    """To requests without a body."""

    async def talk(server: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await _head(server, reader)
            writer.write(answer)

    return talk


async def _ask(client: Http1Client, server: Peer, method: str) -> tuple[int, bytes]:
    response = await client.send(method, server.url, HEADERS, 5)
    return response.status, await response.read(100)


@pytest.mark.parametrize(("method", "answer", "read"), [("GET", OK, (200, b"ok")), ("DELETE", GONE, (204, b""))])
async def test_a_request_without_a_body_has_no_length_and_shares_connections(
    method: str, answer: bytes, read: tuple[int, bytes]
) -> None:
    async with peer(_answers(answer)) as (client, server):
        assert await _ask(client, server, method) == read
        assert await _ask(client, server, method) == read
    head = server.requests[0]
    assert head.startswith(f"{method} /v1/chat HTTP/1.1\r\n".encode())
    assert head.endswith(b"\r\nContent-Type: application/json\r\n\r\n")
    assert b"ontent-Length" not in head
    assert server.connections == 1


def _pieces(number: int, size: int = 64 * 1024) -> Iterator[bytes]:
    for place in range(number):
        yield bytes([place % 251]) * size


async def test_an_upload_arrives_whole_and_later_requests_get_the_connection() -> None:
    async with peer(_reads(OK)) as (client, server):
        pieces = list(_pieces(33, 50_001))
        upload = Upload(sum(map(len, pieces)), pieces)
        response = await client.send("POST", server.url, HEADERS, 5, upload=upload)
        assert (response.status, await response.read(10)) == (200, b"ok")
        assert await ask(client, server) == (200, b"ok")
    assert server.requests[0].partition(b"\r\n\r\n")[2] == b"".join(pieces)
    assert server.connections == 1


def _reads(answer: bytes) -> Talk:
    async def talk(server: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await server.request(reader)
            writer.write(answer)

    return talk


async def test_an_upload_waits_for_a_provider_that_does_not_read() -> None:
    go_on = asyncio.Event()
    given = 0

    async def talk(server: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _head(server, reader)
        await go_on.wait()
        left = 50 * MIB
        while left:
            left -= len(await reader.read(MIB))
        writer.write(OK)

    def pieces() -> Iterator[bytes]:
        nonlocal given
        for piece in _pieces(200, MIB // 4):
            given += len(piece)
            yield piece

    async with peer(talk) as (client, server):
        tracemalloc.start()
        sending = asyncio.create_task(client.send("POST", server.url, HEADERS, 5, upload=Upload(50 * MIB, pieces())))
        before = -1
        while before != given:  # until it stands still
            before = given
            await asyncio.sleep(0.1)
        assert given < 20 * MIB  # what the sockets hold of both sides
        go_on.set()
        response = await sending
        assert (response.status, await response.read(10)) == (200, b"ok")
        assert tracemalloc.get_traced_memory()[1] < 10 * MIB
        tracemalloc.stop()


async def test_an_answer_before_the_end_ends_an_upload_and_its_connection() -> None:
    async def talk(server: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _head(server, reader)
        writer.write(REFUSED)
        await writer.drain()
        await asyncio.sleep(0.2)  # the rest is never read

    async with peer(talk) as (client, server):
        upload = Upload(200 * MIB, _pieces(200, MIB))
        response = await client.send("POST", server.url, HEADERS, 5, upload=upload)
        assert (response.status, await response.read(10)) == (413, b"big")
        await eventually(lambda: not client._open, "the connection is kept")


async def test_an_upload_that_breaks_off_is_not_sent_again() -> None:
    async def talk(server: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _head(server, reader)

    async with peer(talk) as (client, server):
        with pytest.raises(UpstreamError) as raised:
            await client.send("POST", server.url, HEADERS, 5, upload=Upload(200 * MIB, _pieces(200, MIB)))
        assert raised.value.failure is Failure.RESET
        assert server.connections == 1


async def test_who_gives_up_an_upload_ends_its_connection() -> None:
    async def talk(server: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _head(server, reader)
        await reader.read()

    async with peer(talk) as (client, server):
        upload = Upload(200 * MIB, _pieces(200, MIB))
        sending = asyncio.create_task(client.send("POST", server.url, HEADERS, 5, upload=upload))
        await eventually(lambda: bool(server.requests), "nothing comes")
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        await eventually(lambda: not client._open, "the connection is kept")
