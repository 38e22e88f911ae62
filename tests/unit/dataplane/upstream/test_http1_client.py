"""The upstream client against servers that say what they like."""

import asyncio
import gzip
import json
import socket
import sys
import zlib

import brotli
import pytest

from merit_dataplane.upstream import http1_client
from merit_dataplane.upstream.addresses import Addresses, RefusedAddressError
from merit_dataplane.upstream.client import Failure, UpstreamError
from merit_dataplane.upstream.http1_client import Http1Client
from merit_dataplane.upstream.http1_request import prepare
from merit_dataplane.upstream.http1_response import Http1Response
from tests.support.gateway import eventually, free_port, gateway
from tests.support.resources import CONSUMER, prices, provider, route
from tests.unit.dataplane.upstream.peers import HEADERS, OK, SECRET, Peer, always, ask, peer

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

pytestmark = pytest.mark.slow


async def test_what_is_sent() -> None:
    async with peer(always(OK)) as (client, server):
        large = b"x" * 300_000
        assert await ask(client, server, b'{"a":1}') == (200, b"ok")
        assert await ask(client, server, large) == (200, b"ok")
        authority = server.url.split("/")[2].encode()
        assert server.requests[0] == (
            b"POST /v1/chat HTTP/1.1\r\nHost: " + authority + b"\r\nAuthorization: Bearer " + SECRET.encode() + b"\r\n"
            b'Content-Type: application/json\r\nContent-Length: 7\r\n\r\n{"a":1}'
        )
        assert server.requests[1].endswith(b"Content-Length: 300000\r\n\r\n" + large)
        assert server.connections == 1


async def test_headers_that_change_are_sent_as_they_are_now() -> None:
    async with peer(always(OK)) as (client, server):
        headers = {"Authorization": "one"}
        for value in ("one", "two"):
            headers["Authorization"] = value
            await (await client.post(server.url, headers, b"", 5)).read(10)
        assert [b"Authorization: " + value in r for r, value in zip(server.requests, (b"one", b"two"), strict=True)]
        assert b"Authorization: two\r\n" in server.requests[1]


@pytest.mark.parametrize("bad", ["a\r\nb: c", "a\nb", "a\0"])
async def test_a_header_never_becomes_two(bad: str) -> None:
    async with peer(always(OK)) as (client, server):
        for headers in ({"Authorization": bad}, {bad: "x"}):
            with pytest.raises(UpstreamError) as raised:
                await client.post(server.url, headers, b"", 5)
            assert bad not in str(raised.value)
        assert not server.connections


@pytest.mark.parametrize(
    ("url", "head"),
    [
        ("http://EXAMPLE.com", "POST / HTTP/1.1\r\nHost: example.com\r\n"),
        ("https://example.com:443/a b?q=ä#x", "POST /a%20b?q=%C3%A4 HTTP/1.1\r\nHost: example.com\r\n"),
        ("https://example.com:80/a%2Fb", "POST /a%2Fb HTTP/1.1\r\nHost: example.com:80\r\n"),
        ("http://[2001:db8::1]:8080/x", "POST /x HTTP/1.1\r\nHost: [2001:db8::1]:8080\r\n"),
        ("http://bücher.example/", "POST / HTTP/1.1\r\nHost: xn--bcher-kva.example\r\n"),
        ("http://u:p%40@example.com/", "POST / HTTP/1.1\r\nHost: example.com\r\nAuthorization: Basic dTpwQA==\r\n"),
    ],
)
async def test_urls(url: str, head: str) -> None:
    assert prepare(url, {}).head.decode() == head + "Content-Length: "


@pytest.mark.parametrize("url", ["ftp://example.com/", "http:///x", "http://a:99999/", "http://169.254.169.254./", ""])
async def test_urls_that_are_never_called(url: str) -> None:
    with pytest.raises(UpstreamError) as raised:
        prepare(url, {})
    assert raised.value.failure is Failure.REFUSED_ADDRESS


# ---- kept connections


async def test_a_stale_connection_costs_no_attempt() -> None:
    async def once(server: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await server.request(reader)
        writer.write(OK)
        await reader.readexactly(1)  # the next request comes, and finds the door closing

    async with peer(once) as (client, server):
        for _ in range(4):
            assert await ask(client, server) == (200, b"ok")
        assert server.connections == 4


async def test_a_stale_connection_costs_no_attempt_at_the_gateway() -> None:
    answer = json.dumps({"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 1}}).encode()

    async def once(server: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await server.request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(answer), answer))
        await reader.readexactly(1)

    async with peer(once) as (_, server):
        url = server.url.removesuffix("/chat")
        async with gateway(CONSUMER, provider("a", url), prices("a", "0.01", "0.01"), route("a")) as merit:
            for _ in range(3):
                got = await merit.post({"model": "chat", "messages": [{"role": "user", "content": "Hello"}]})
                assert (got.status_code, got.headers["x-merit-attempts"]) == (200, "1")
            assert {outcome for *_, outcome in merit.parts.ledger.attempts} == {"answered"}
        assert server.connections == 3


async def test_a_new_connection_that_is_closed_is_not_tried_again() -> None:
    async def never(server: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await server.request(reader)

    async with peer(never) as (client, server):
        with pytest.raises(UpstreamError, match="gave no HTTP answer") as raised:
            await ask(client, server)
        assert (raised.value.failure, server.connections) == (Failure.RESET, 1)


async def test_a_kept_connection_that_dies_at_work_is_not_tried_again() -> None:
    async def worked(server: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await server.request(reader)
        writer.write(OK)
        await server.request(reader)
        await asyncio.sleep(1.1)

    async with peer(worked) as (client, server):
        assert await ask(client, server) == (200, b"ok")
        with pytest.raises(UpstreamError) as raised:
            await ask(client, server)
        assert (raised.value.failure, server.connections) == (Failure.RESET, 1)


async def test_idle_connections_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http1_client, "_IDLE_SECONDS", 0.05)
    async with peer(always(OK)) as (client, server):
        await asyncio.gather(*(ask(client, server) for _ in range(5)))
        assert server.connections == 5
        await eventually(lambda: server.ended == 5, "an idle connection is kept")


@pytest.mark.parametrize(
    "answer",
    [
        OK + b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil",
        OK + b"e",
        OK.replace(b"200 OK\r\n", b"200 OK\r\nconnection: close\r\n"),
        OK.replace(b"HTTP/1.1", b"HTTP/1.0"),
    ],
    ids=["surplus answer", "surplus byte", "connection: close", "HTTP/1.0"],
)
async def test_connections_that_are_not_kept(answer: bytes) -> None:
    async with peer(always(answer)) as (client, server):
        for count in (1, 2, 3):
            assert await ask(client, server) == (200, b"ok")
            assert server.connections == count


async def test_what_comes_between_answers_ends_the_connection() -> None:
    async def liar(server: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await server.request(reader)
        writer.write(OK)
        await asyncio.sleep(0.02)
        writer.write(OK.replace(b"ok", b"no"))
        await reader.read()

    async with peer(liar) as (client, server):
        assert await ask(client, server) == (200, b"ok")
        await eventually(lambda: server.ended == 1, "the connection is kept")
        assert await ask(client, server) == (200, b"ok")


# ---- bodies

HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
deflate = zlib.compressobj(wbits=-15)
RAW_DEFLATE = deflate.compress(b"hello") + deflate.flush()
BODIES: dict[str, tuple[list[bytes], bool, bytes]] = {
    "length": ([HEAD + b"Content-Length: 5\r\n\r\nhello"], False, b"hello"),
    "length in pieces": ([HEAD, b"content-length: 5\r\n\r\nhe", b"ll", b"o"], False, b"hello"),
    "chunked": ([CHUNKED + b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"], False, b"hello"),
    "chunked in pieces": (
        [CHUNKED, b"2\r\nhe\r", b"\n3;x=y\r\nllo\r\n0\r\nx-trailer: 1\r\n", b"\r\n"],
        False,
        b"hello",
    ),
    "until the end": ([HEAD + b"\r\nhe", b"llo"], True, b"hello"),
    "interim": ([b"HTTP/1.1 103 Hints\r\nx: y\r\n\r\n", HEAD + b"content-length: 5\r\n\r\nhello"], False, b"hello"),
    "interims": ([b"HTTP/1.1 100 Continue\r\n\r\n" * 3 + HEAD + b"content-length: 5\r\n\r\nhello"], False, b"hello"),
    "line ends without CR": ([b"HTTP/1.1 200 OK\ncontent-length: 5\n\nhello"], False, b"hello"),
    "none": ([b"HTTP/1.1 204 No Content\r\n\r\n"], False, b""),
    "none, announced": ([b"HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n"], False, b""),
    "empty": ([HEAD + b"content-length: 0\r\n\r\n"], False, b""),
    "gzip": ([HEAD + b"content-encoding: gzip\r\n\r\n", gzip.compress(b"he"), gzip.compress(b"llo")], True, b"hello"),
    "deflate": ([HEAD + b"content-encoding: deflate\r\n\r\n" + zlib.compress(b"hello")], True, b"hello"),
    "br": ([HEAD + b"content-encoding: br\r\n\r\n" + brotli.compress(b"hello")], True, b"hello"),
    "zstd": ([HEAD + b"content-encoding: zstd\r\n\r\n", zstd.compress(b"he"), zstd.compress(b"llo")], True, b"hello"),
    "identity": ([HEAD + b"content-encoding: identity\r\n\r\nhello"], True, b"hello"),
    "two codings": (
        [HEAD + b"content-encoding: gzip, br\r\n\r\n" + brotli.compress(gzip.compress(b"hello"))],
        True,
        b"hello",
    ),
    "raw deflate": ([HEAD + b"content-encoding: deflate\r\n\r\n" + RAW_DEFLATE], True, b"hello"),
}


@pytest.mark.parametrize("how", ["read", "chunks"])
@pytest.mark.parametrize("name", list(BODIES))
async def test_bodies(name: str, how: str) -> None:
    answers, close, body = BODIES[name]
    async with peer(always(*answers, close=close)) as (client, server):
        for _ in range(2):
            response = await client.post(server.url, HEADERS, b"{}", 5)
            got = await response.read(5) if how == "read" else b"".join([piece async for piece in response.chunks()])
            assert got == body
        assert server.connections == (2 if close else 1)


@pytest.mark.parametrize(
    "answer",
    [
        HEAD + b"content-length: 9\r\n\r\nhello",
        CHUNKED + b"5\r\nhello\r\n",
        CHUNKED + b"zz\r\nhello\r\n",
        HEAD + b"content-encoding: gzip\r\n\r\n" + gzip.compress(b"hello")[:-2],
        HEAD + b"content-encoding: br\r\n\r\nhello",
        HEAD + b"content-encoding: br\r\n\r\n" + brotli.compress(b"hello" * 99)[:-3],
        HEAD + b"content-encoding: br\r\n\r\n" + brotli.compress(b"hello") + b"more",
        HEAD + b"content-encoding: zstd\r\n\r\nhello",
        HEAD + b"content-encoding: zstd\r\n\r\n" + zstd.compress(b"hello" * 99)[:-3],
        HEAD + b"content-encoding: compress\r\n\r\nhello",
        HEAD + b"transfer-encoding: gzip\r\n\r\nhello",
    ],
    ids=[
        "length",
        "chunks",
        "no chunk",
        "gzip",
        "br",
        "half br",
        "br and more",
        "zstd",
        "half zstd",
        "unknown",
        "transfer-encoding",
    ],
)
async def test_bodies_that_break_off(answer: bytes) -> None:
    async with peer(always(answer, close=True)) as (client, server):
        for how in ("read", "chunks"):
            with pytest.raises(UpstreamError) as raised:  # noqa: PT012 # either may raise
                response = await client.post(server.url, HEADERS, b"{}", 5)
                if how == "read":
                    await response.read(1000)
                async for _ in response.chunks():
                    pass
            assert raised.value.failure is Failure.RESET


@pytest.mark.parametrize(
    "answer",
    [
        HEAD + b"content-length: 11\r\n\r\nhello",
        HEAD + b"content-length: 11\r\n\r\nhello hello",
        CHUNKED + b"b\r\nhello hello\r\n",
        HEAD + b"content-encoding: gzip\r\n\r\n" + gzip.compress(b"h" * 1000),
        HEAD + b"content-encoding: br\r\n\r\n" + brotli.compress(b"h" * 1000),
        HEAD + b"content-encoding: zstd\r\n\r\n" + zstd.compress(b"h" * 1000),
    ],
    ids=["announced", "all there", "chunked", "gzip", "br", "zstd"],
)
async def test_more_than_the_limit(answer: bytes) -> None:
    async with peer(always(answer, close=True)) as (client, server):
        response = await client.post(server.url, HEADERS, b"{}", 5)
        with pytest.raises(UpstreamError) as raised:
            await response.read(10)
        assert raised.value.failure is Failure.MALFORMED
        response.close()


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 OK\r\n\r\n",
        b"HTTP/2 200 OK\r\n\r\n",
        b"HTTP/1.1 20 OK\r\ncontent-length: 0\r\n\r\n",
        HEAD + b"content-length: 1\r\ncontent-length: 2\r\n\r\nok",
        HEAD + b"content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        HEAD + b"content-length: -2\r\n\r\nok",
        HEAD + b"content-length: 99999999999999999999999\r\n\r\nok",
        HEAD + b"no colon\r\n\r\n",
        HEAD + b"x: " + b"y" * 70_000 + b"\r\ncontent-length: 2\r\n\r\nok",
        HEAD + b"x: y\r\n" * 20_000 + b"content-length: 2\r\n\r\nok",
        b"HTTP/1.1 100 Continue\r\n\r\n" * 5_000 + OK,
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\nok",
    ],
    ids=lambda answer: answer[:40].decode(),
)
async def test_what_is_no_answer(answer: bytes) -> None:
    async with peer(always(answer, close=True)) as (client, server):
        with pytest.raises(UpstreamError, match="gave no HTTP answer: ") as raised:
            await ask(client, server)
        assert raised.value.failure is Failure.RESET
        assert SECRET not in str(raised.value)
        await eventually(lambda: not client._open, "the connection is kept")
        assert server.connections == 1


@pytest.mark.parametrize("start", [CHUNKED + b"2\r\nok\r\n1;", CHUNKED + b"2\r\nok\r\n0\r\nx: ", HEAD + b"x: "])
async def test_what_is_no_body_has_an_end(start: bytes) -> None:
    async def talk(server: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await server.request(reader)
        writer.write(start)
        while True:
            writer.write(b"y" * 10_000)
            await writer.drain()

    async with peer(talk) as (client, server):
        with pytest.raises(UpstreamError):
            await asyncio.wait_for(ask(client, server), 5)


async def test_a_slow_reader_slows_the_provider() -> None:
    sent = 0

    async def flood(server: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await server.request(reader)
        writer.write(HEAD + b"content-length: 50000000\r\n\r\n")
        for _ in range(500):
            writer.write(b"x" * 100_000)
            await writer.drain()
            sent += 100_000
        await server.request(reader)
        writer.write(OK)

    async with peer(flood) as (client, server):
        response = await client.post(server.url, HEADERS, b"{}", 5)
        await asyncio.sleep(0.3)
        assert sent < 20_000_000
        assert sum([len(piece) async for piece in response.chunks()]) == 50_000_000
        assert await ask(client, server) == (200, b"ok")
        assert server.connections == 1


async def test_tiny_chunks_take_little_more_than_their_bytes() -> None:
    async with peer(always(CHUNKED + b"2\r\nhi\r\n" * 50_000 + b"0\r\n\r\n")) as (client, server):
        response = await client.post(server.url, HEADERS, b"{}", 5)
        assert isinstance(response, Http1Response)
        await eventually(lambda: response.complete, "it does not end")
        assert len(response.pieces) < 1000
        assert await response.read(1 << 20) == b"hi" * 50_000


async def test_closing_ends_what_is_under_way_and_what_is_kept() -> None:
    async def slow(server: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await server.request(reader)
        if len(server.requests) < 3:
            writer.write(OK)
        await reader.read()

    async with peer(slow) as (client, server):
        await asyncio.gather(ask(client, server), ask(client, server))
        asking = asyncio.create_task(client.post(server.url.replace("127.0.0.1", "localhost"), HEADERS, b"{}", 5))
        await eventually(lambda: len(server.requests) == 3, "no request")
        await client.close()
        await eventually(lambda: server.ended == 3, "a connection is left")
        with pytest.raises(UpstreamError, match="closed"):
            await asking
        with pytest.raises(UpstreamError, match="the gateway ends"):
            await ask(client, server)
        assert len(server.requests) == 3


async def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with peer(always(OK)) as (client, server):
        assert await ask(client, server) == (200, b"ok")


async def test_a_redirect_is_an_answer() -> None:
    answer = b"HTTP/1.1 307 Temporary Redirect\r\nlocation: /elsewhere\r\ncontent-length: 0\r\n\r\n"
    async with peer(always(answer)) as (client, server):
        assert await ask(client, server) == (307, b"")
        assert len(server.requests) == 1


@pytest.mark.parametrize("how", ["close", "cancel", "cancel early"])
async def test_giving_up_ends_the_connection(how: str) -> None:
    async def slow(server: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await server.request(reader)
        if how != "cancel early":
            writer.write(HEAD + b"content-length: 500\r\n\r\nhello")
        await reader.read()

    async with peer(slow) as (client, server):
        if how == "close":
            (await client.post(server.url, HEADERS, b"{}", 5)).close()
        else:
            task = asyncio.create_task(ask(client, server))
            await eventually(lambda: bool(server.requests), "no request")
            await asyncio.sleep(0.02)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        await eventually(lambda: server.ended == 1, "the connection is kept")


# ---- connecting


async def test_connecting_takes_no_longer_than_it_may() -> None:
    with socket.socket() as full:  # a server that accepts nothing any more
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        waiting = [socket.socket() for _ in range(3)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(full.getsockname())
        client, started = Http1Client(), asyncio.get_running_loop().time()
        with pytest.raises(UpstreamError) as raised:
            await client.post(f"http://127.0.0.1:{full.getsockname()[1]}/", HEADERS, b"", 0.2)
        assert raised.value.failure is Failure.CONNECT
        assert asyncio.get_running_loop().time() - started < 2
        await client.close()
        for one in waiting:
            one.close()


async def test_each_address_is_tried_and_a_refused_one_never(monkeypatch: pytest.MonkeyPatch) -> None:
    async with peer(always(OK)) as (client, server):
        asked = 0

        async def found(*_: object, **__: object) -> list[tuple[int, int, int, str, tuple[str, int]]]:
            nonlocal asked
            asked += 1
            await asyncio.sleep(0.01)
            return [(0, 0, 0, "", (host, 0)) for host in ("169.254.169.254", "127.0.0.2", "127.0.0.1")]

        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", found)
        addresses = Addresses()
        assert (
            await asyncio.gather(*(addresses.of("many.example") for _ in range(5))) == [["127.0.0.2", "127.0.0.1"]] * 5
        )
        assert asked == 1
        monkeypatch.setattr(client, "_addresses", addresses)
        server.url = server.url.replace("127.0.0.1", "many.example")
        assert await ask(client, server) == (200, b"ok")


async def test_names_that_only_have_refused_addresses() -> None:
    with pytest.raises(RefusedAddressError):
        await Addresses().of("0xa9fea9fe")
    client = Http1Client()
    with pytest.raises(UpstreamError) as raised:
        await client.post("http://2852039166/", HEADERS, b"", 5)
    assert raised.value.failure is Failure.REFUSED_ADDRESS
    with pytest.raises(UpstreamError) as raised:
        await client.post(f"https://127.0.0.1:{free_port()}/", HEADERS, b"", 5)
    assert raised.value.failure is Failure.CONNECT
    await client.close()
