"""The upstream client against real TLS servers, good and bad."""

import asyncio
import ssl
from collections.abc import Iterator
from typing import Any

import pytest

from merit_dataplane.upstream import http1_client
from merit_dataplane.upstream.addresses import Addresses
from merit_dataplane.upstream.client import Failure, UpstreamError
from merit_dataplane.upstream.http1_client import Http1Client
from tests.support.authority import Authority
from tests.support.gateway import eventually, gateway
from tests.support.resources import CONSUMER, prices, provider, route
from tests.unit.dataplane.upstream.peers import HEADERS, OK, SECRET, Peer, always, ask, peer

pytestmark = pytest.mark.slow

NAME = "provider.test"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("stranger"))


@pytest.fixture(autouse=True)
def trusted(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As an installation with a private CA does it; and every name is this machine's."""

    async def here(self: Addresses, host: str) -> list[str]:
        return ["127.0.0.1"]

    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    monkeypatch.setattr(Addresses, "of", here)
    http1_client._tls.cache_clear()
    yield
    http1_client._tls.cache_clear()


def named(server: Peer, name: str = NAME) -> Peer:
    server.url = server.url.replace("127.0.0.1", name)
    return server


async def refusal(client: Http1Client, server: Peer, seconds: float = 5) -> str:
    with pytest.raises(UpstreamError) as raised:
        await client.post(server.url, HEADERS, b"{}", seconds)
    assert raised.value.failure is Failure.CONNECT
    assert SECRET not in str(raised.value)
    assert not server.requests
    return str(raised.value)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_good_server_is_told_its_name_and_speaks_http1(authority: Authority, version: ssl.TLSVersion) -> None:
    names: list[str | None] = []
    spoken: list[str | None] = []
    tls = authority.server(f"DNS:{NAME}")
    tls.maximum_version = version
    tls.sni_callback = lambda _, name, __: names.append(name)

    async def talk(server: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        spoken.append(writer.get_extra_info("ssl_object").selected_alpn_protocol())
        await always(OK)(server, reader, writer)

    async with peer(talk, tls) as (client, server):
        named(server)
        for _ in range(3):
            assert await ask(client, server) == (200, b"ok")
        assert (names, spoken, server.connections) == ([NAME], ["http/1.1"], 1)
        assert f"Host: {NAME}:".encode() in server.requests[0]


async def test_a_server_by_its_address(authority: Authority) -> None:
    async with peer(always(OK), authority.server("IP:127.0.0.1")) as (client, server):
        assert await ask(client, server, b"x" * 300_000) == (200, b"ok")


@pytest.mark.parametrize("url_name", ["other.test", "127.0.0.1", "sub.provider.test"])
async def test_a_certificate_for_another_name(authority: Authority, url_name: str) -> None:
    async with peer(always(OK), authority.server(f"DNS:{NAME}")) as (client, server):
        words = await refusal(client, named(server, url_name))
        assert f"no connection to {url_name}:" in words
        assert "its certificate is not valid:" in words
        assert "mismatch" in words


async def test_a_certificate_of_an_unknown_authority(stranger: Authority) -> None:
    async with peer(always(OK), stranger.server(f"DNS:{NAME}")) as (client, server):
        assert "its certificate is not valid: unable to get local issuer" in await refusal(client, named(server))


async def test_a_certificate_that_has_ended(authority: Authority) -> None:
    async with peer(always(OK), authority.server(f"DNS:{NAME}", days=-1)) as (client, server):
        assert "its certificate is not valid: certificate has expired" in await refusal(client, named(server))


async def test_a_server_without_tls() -> None:
    async def plain(server: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with peer(plain) as (client, server):
        server.url = server.url.replace("http:", "https:")
        assert "no TLS: " in await refusal(client, named(server))


async def test_a_server_that_never_shakes_hands() -> None:
    async def silent(server: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with peer(silent) as (client, server):
        server.url = server.url.replace("http:", "https:")
        started = asyncio.get_running_loop().time()
        assert "not within 0.2 s" in await refusal(client, named(server), 0.2)
        assert asyncio.get_running_loop().time() - started < 2


async def test_a_server_that_hangs_up_while_shaking_hands() -> None:
    async def leaves(server: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)

    async with peer(leaves) as (client, server):
        server.url = server.url.replace("http:", "https:")
        assert f"no connection to {NAME}:" in await refusal(client, named(server))


async def test_a_stale_connection_costs_no_attempt(authority: Authority) -> None:
    async def once(server: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await server.request(reader)
        writer.write(OK)
        await reader.readexactly(1)

    async with peer(once, authority.server(f"DNS:{NAME}")) as (client, server):
        for _ in range(3):
            assert await ask(client, named(server)) == (200, b"ok")
        assert server.connections == 3


async def test_a_body_that_breaks_off(authority: Authority) -> None:
    talk = always(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhello", close=True)
    async with peer(talk, authority.server(f"DNS:{NAME}")) as (client, server):
        with pytest.raises(UpstreamError) as raised:
            await ask(client, named(server))
        assert raised.value.failure is Failure.RESET


async def test_a_slow_reader_slows_the_provider_and_giving_up_ends_the_connection(authority: Authority) -> None:
    sent = 0

    async def flood(server: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await server.request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100000000\r\n\r\n")
        for _ in range(1000):
            writer.write(b"x" * 100_000)
            await writer.drain()
            sent += 100_000

    async with peer(flood, authority.server(f"DNS:{NAME}")) as (client, server):
        response = await client.post(named(server).url, HEADERS, b"{}", 5)
        await asyncio.sleep(0.3)
        assert sent < 20_000_000
        got = 0
        async for piece in response.chunks():
            got += len(piece)
            if got > 30_000_000:
                break
        response.close()
        await eventually(lambda: not client._open, "the connection is kept")


async def test_the_gateway_goes_on_to_the_next_provider(authority: Authority) -> None:
    body = b'{"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":1}}'
    answer = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)
    async with (
        peer(always(answer), authority.server("DNS:other.test")) as (_, bad),
        peer(always(answer), authority.server(f"DNS:{NAME}")) as (_, good),
    ):
        documents: list[Any] = [CONSUMER, route("bad", "good"), prices("bad", "0.01", "0.01"), prices("good", "1", "1")]
        for name, server in (("bad", bad), ("good", good)):
            documents.append(provider(name, named(server).url.removesuffix("/chat")))
        async with gateway(*documents) as merit:
            got = await merit.post({"model": "chat", "messages": [{"role": "user", "content": "Hello"}]})
            assert (got.status_code, got.headers["x-merit-provider"]) == (200, "good")
            assert sorted(outcome for *_, outcome in merit.parts.ledger.attempts) == ["answered", "connect_error"]
        assert not bad.requests
