"""What clients do that no client should, on real sockets: refused in words, in bounded time, with bounded memory."""

import asyncio
import contextlib
import errno
import json
import socket
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from merit_dataplane import client_connection, servers
from merit_dataplane.client_answer import FewWrites
from merit_dataplane.client_connection import ClientConnection
from merit_dataplane.stages import intake
from tests.support.gateway import Running, eventually, gateway, says, scripted, streams
from tests.support.resources import CONSUMER, CONSUMER_KEY, prices, provider, route

pytestmark = pytest.mark.asyncio(loop_scope="session")

GOOD = b'{"choices":[{"message":{"content":"good"}}],"usage":{"prompt_tokens":1,"completion_tokens":1}}'
CHUNK = b'data: {"choices":[{"index":0,"delta":{"content":"x"}}]}\n\n'
CHAT = json.dumps({"model": "chat", "messages": [{"role": "user", "content": "Hello"}]}).encode()
STREAM = CHAT[:-1] + b', "stream": true}'
HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer " + CONSUMER_KEY.encode() + b"\r\n"
CLOSE = b"connection: close\r\n"


def request(body: bytes = CHAT, *, more: bytes = b"") -> bytes:
    return HEAD + more + b"content-length: %d\r\n\r\n" % len(body) + body


class Client:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter):
        self.reader, self.writer = reader, writer

    async def says(self, *pieces: bytes, ends: bool = False) -> None:
        for piece in pieces:
            self.writer.write(piece)
            await self.writer.drain()
        if ends:
            self.writer.write_eof()

    async def everything(self) -> bytes:
        """All that comes until the gateway closes the connection."""
        return await asyncio.wait_for(self.reader.read(), 20)


_clients: list[Client] = []


async def connected(merit: Running) -> Client:
    host, port = merit.url.removeprefix("http://").split(":")
    _clients.append(Client(*await asyncio.open_connection(host, int(port))))
    return _clients[-1]


@pytest_asyncio.fixture(loop_scope="session", autouse=True)
async def _closed() -> AsyncIterator[None]:
    yield
    for client in _clients:
        client.writer.close()
        with contextlib.suppress(OSError):
            await client.writer.wait_closed()
    _clients.clear()


def resources(url: str) -> tuple[str, ...]:
    return provider("vendor", url), prices("vendor", "1", "1"), route("vendor"), CONSUMER


@pytest_asyncio.fixture(loop_scope="session")
async def merit() -> AsyncIterator[Running]:
    async with scripted(says(GOOD)) as url, gateway(*resources(url)) as running:
        yield running


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ClientConnection, "head_seconds", 0.3)
    monkeypatch.setattr(FewWrites, "unread_seconds", 0.3)
    monkeypatch.setattr(intake, "_BODY_SECONDS", 0.3)


async def is_idle(merit: Running) -> None:
    await eventually(lambda: merit.parts.ledger.in_flight == 0, "still in flight", 20)


# ---- too slow


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("sent", [b"P", b"POST /v1/chat", HEAD, HEAD + b"content-length: 100\r\n\r\n"])
async def test_a_request_that_does_not_arrive_is_told_so_and_the_connection_ended(merit: Running, sent: bytes) -> None:
    client = await connected(merit)
    await client.says(sent)
    answer = await client.everything()
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b'"code":"request_timeout"' in answer
    await is_idle(merit)


@pytest.mark.usefixtures("impatient")
async def test_a_head_that_comes_byte_by_byte_has_no_more_time_than_another(merit: Running) -> None:
    client = await connected(merit)

    async def drip() -> None:
        while True:
            await client.says(b"x")
            await asyncio.sleep(0.02)

    await client.says(HEAD + b"x-a: ")
    dripping = asyncio.create_task(drip())
    try:
        assert (await client.everything()).startswith(b"HTTP/1.1 408 ")
    finally:
        dripping.cancel()


@pytest.mark.usefixtures("impatient")
async def test_a_body_that_begins_and_does_not_end(merit: Running) -> None:
    client = await connected(merit)
    await client.says(HEAD + b"content-length: 100\r\n\r\n{")
    answer = await client.everything()
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"\r\nconnection: close\r\n" in answer
    await is_idle(merit)
    assert merit.parts.path.bodies.held == 0


@pytest.mark.usefixtures("impatient")
async def test_a_connection_that_says_nothing_is_ended_without_a_word(merit: Running) -> None:
    assert await (await connected(merit)).everything() == b""


# ---- too much


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (HEAD + b"x-a: " + b"a" * 100_000 + b"\r\n\r\n", 431),
        (HEAD + b"x-a: " + b"a" * 300_000, 431),
        (HEAD + b"x-a: 1\r\n" * 1_000 + b"\r\n", 431),
        (b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nhost: x\r\n\r\n", 414),
        (b"GET /" + b"a" * 300_000, 414),
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/9.9\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),  # a TLS handshake
        (b"GET \xff\xfe HTTP/1.1\r\n\r\n", 400),
        (HEAD + b"bad header\r\n\r\n", 400),
        (HEAD + b"content-length: -1\r\n\r\n", 400),
        (HEAD + b"content-length: 5\r\ncontent-length: 6\r\n\r\nabcdef", 400),
        (HEAD + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (HEAD + b"transfer-encoding: chunked\r\n\r\nnot a size\r\n", 400),
        (HEAD + b"transfer-encoding: chunked\r\n\r\n2\r\n{}garbage", 400),
        (HEAD + b"content-length: %d\r\n\r\n{" % (100 * 1024 * 1024), 413),
    ],
    ids=range(16),
)
async def test_what_is_too_much_or_no_http_is_refused_in_words(merit: Running, sent: bytes, status: int) -> None:
    client = await connected(merit)
    await client.says(sent)
    answer = await client.everything()
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"connection: close" in head
    assert json.loads(body)["error"]["message"]
    await is_idle(merit)
    after = await connected(merit)
    await after.says(request(more=CLOSE))
    assert b" 200 " in await after.everything()


async def test_a_body_above_the_limit_is_refused_before_it_is_sent(merit: Running) -> None:
    client = await connected(merit)
    await client.says(HEAD + b"content-length: %d\r\n\r\n" % (1 << 40), b"x" * 200_000)
    assert (await client.everything()).startswith(b"HTTP/1.1 413 ")


async def test_a_client_that_goes_on_sending_what_was_refused_still_reads_why(merit: Running) -> None:
    client = await connected(merit)
    await client.says(HEAD.replace(CONSUMER_KEY.encode(), b"nobody") + b"content-length: 50000000\r\n\r\n")

    async def pour() -> None:
        while True:
            await client.says(b"x" * 65536)

    pouring = asyncio.create_task(pour())
    try:
        assert (await client.everything()).startswith(b"HTTP/1.1 401 ")
    finally:
        pouring.cancel()
        await asyncio.gather(pouring, return_exceptions=True)


async def test_beyond_the_number_of_connections_one_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "most_connections", lambda: 1)
    async with scripted(says(GOOD)) as url, gateway(*resources(url)) as merit:
        held = await connected(merit)
        await held.says(request())
        await held.reader.readuntil(b"good")
        other = await connected(merit)
        assert (await other.everything()).startswith(b"HTTP/1.1 503 ")
        await held.says(request(more=CLOSE))
        assert b" 200 OK" in await held.everything()


# ---- unusual, and right


async def test_requests_sent_at_once_are_answered_in_turn(merit: Running) -> None:
    client = await connected(merit)
    await client.says(request() * 5 + request(more=CLOSE))
    answer = await client.everything()
    assert answer.count(b"HTTP/1.1 200 OK") == answer.count(b'"good"') == 6


async def test_garbage_after_a_request_does_not_get_into_its_answer() -> None:
    vendor = streams(CHUNK, CHUNK, b"data: [DONE]\n\n", seconds_between=0.2)
    async with scripted(vendor) as url, gateway(*resources(url)) as merit:
        client = await connected(merit)
        await client.says(request(STREAM))
        await client.reader.readuntil(b"\r\n\r\n")
        await client.says(b"garbage\r\n\r\n", b"more of it\r\n\r\n")
        rest = await client.everything()
        assert rest.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")
        assert b"HTTP/1.1" not in rest


@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_that_has_said_all_it_has_to_still_gets_its_answer(stream: bool) -> None:
    pieces = streams(CHUNK, CHUNK, b"data: [DONE]\n\n", seconds_between=0.3)

    async def late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.4)
        await (pieces if stream else says(GOOD))(reader, writer)

    async with scripted(late) as url, gateway(*resources(url)) as merit:
        client = await connected(merit)
        await client.says(request(STREAM if stream else CHAT), ends=True)
        answer = await client.everything()
        interim, _, final = answer.partition(b"HTTP/1.1 200 OK\r\n")
        assert interim == b"HTTP/1.1 100 Continue\r\n\r\n"
        assert (b"data: [DONE]" if stream else b'"good"') in final
        await is_idle(merit)
        assert json.loads(merit.log_text())["status"] == 200


async def test_who_has_gone_behind_other_requests_is_noticed() -> None:
    asked = asyncio.Event()

    async def never(_: asyncio.StreamReader, __: asyncio.StreamWriter) -> None:
        asked.set()
        await asyncio.sleep(60)

    async with scripted(never) as url, gateway(*resources(url)) as merit:
        client = await connected(merit)
        await client.says(request() + request())
        await asked.wait()
        client.writer.close()
        await is_idle(merit)
        assert json.loads(merit.log_text())["status"] == 499


# ---- who does not read


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("kind", ["stream", "whole", "pipelined"])
async def test_who_does_not_read_is_given_up(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    written = 0
    large = GOOD.replace(b"good", b"x" * 8_000_000)

    async def pours(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal written
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n")
        while True:
            writer.write(CHUNK * 200)
            await writer.drain()
            written += len(CHUNK) * 200

    monkeypatch.setattr(client_connection, "_LINGER_SECONDS", 0.2)
    async with scripted(pours if kind == "stream" else says(large)) as url, gateway(*resources(url)) as merit:
        host, port = merit.url.removeprefix("http://").split(":")
        plain = socket.create_connection((host, int(port)))
        plain.setblocking(False)
        try:
            body = STREAM if kind == "stream" else CHAT
            more = CLOSE if kind == "whole" else b""
            plain.send(request(body, more=more) * (3 if kind == "pipelined" else 1))
            await eventually(lambda: merit.parts.ledger.in_flight > 0, "not asked")
            await is_idle(merit)
            await eventually(
                lambda: plain.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ECONNRESET, "still there", 20
            )
        finally:
            plain.close()
        assert written < 30_000_000  # what the buffers of four sockets hold, and no more
        if kind == "stream":
            line = json.loads(merit.log_text())
            assert line["status"] == 499
            assert line["output_tokens"] > 0
