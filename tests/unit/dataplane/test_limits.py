"""Hostile peers on both sides: bounds on bytes and on time."""

import asyncio
import contextlib
import gzip
import json
import zlib

import pytest

from merit_dataplane.client_connection import ClientConnection
from merit_dataplane.upstream.addresses import refused
from tests.support.gateway import Running, Script, eventually, gateway, over, says
from tests.support.resources import CONSUMER_KEY, prices, provider, route
from tests.unit.dataplane.conftest import Vendors

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.slow]

CHAT = {"model": "chat", "messages": [{"role": "user", "content": "Hello"}]}
BODY = json.dumps(CHAT).encode()
AUTH = f"authorization: Bearer {CONSUMER_KEY}\r\n".encode()
GOOD = b'{"choices":[{"message":{"content":"good"}}],"usage":{"prompt_tokens":1,"completion_tokens":1}}'


async def connect(merit: Running) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, port = merit.url.removeprefix("http://").split(":")
    return await asyncio.open_connection(host, int(port))


async def exchange(merit: Running, data: bytes) -> bytes:
    """All that comes back until the connection ends (the request says `connection: close`)."""
    reader, writer = await connect(merit)
    writer.write(data)
    try:
        return await reader.read()
    except ConnectionResetError:
        return b""
    finally:
        writer.close()


async def ended(reader: asyncio.StreamReader, *, begun: bool = True) -> None:
    """The other side says why, where a request has begun, and closes."""
    said = await asyncio.wait_for(reader.read(), 20)
    if not begun:
        assert said == b""
        return
    assert said.startswith(b"HTTP/1.1 408 ")
    assert b'"code":"request_timeout"' in said


def request(headers: bytes, body: bytes = BODY) -> bytes:
    return b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nconnection: close\r\n" + AUTH + headers + b"\r\n" + body


# ---- clients


@pytest.mark.parametrize("shape", ["many", "one"])
async def test_a_head_without_end_is_cut_off(vendors: Vendors, shape: str) -> None:
    async with gateway(*vendors.resources()) as merit:
        reader, writer = await connect(merit)
        writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nx-long: ")
        told = asyncio.create_task(reader.readuntil(b"\r\n\r\n"))
        piece = b"y" * 10_000 if shape == "one" else b"z\r\nx-a: " * 1000
        async with asyncio.timeout(60):
            with contextlib.suppress(ConnectionError):
                while True:  # it is not read for ever, whatever else it sends
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(0)
        assert (await told).startswith(b"HTTP/1.1 431 ")
        writer.close()
        assert (await merit.post(CHAT)).status_code == 200


async def test_a_head_of_ordinary_length_in_pieces_is_read(vendors: Vendors) -> None:
    async with gateway(*vendors.resources()) as merit:
        reader, writer = await connect(merit)
        data = request(b"x-long: " + b"y" * 20_000 + b"\r\ncontent-length: %d\r\n" % len(BODY))
        for start in range(0, len(data), 1000):
            writer.write(data[start : start + 1000])
            await writer.drain()
            await asyncio.sleep(0)
        assert (await reader.read()).startswith(b"HTTP/1.1 200")
        writer.close()


@pytest.mark.parametrize(
    "sent", [b"", b"POST /v1/chat", b"POST / HTTP/1.1\r\nhost: x\r\n", request(b"content-length: 5\r\n", b"")]
)
async def test_a_head_that_does_not_come_is_not_waited_for(
    vendors: Vendors, monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    monkeypatch.setattr(ClientConnection, "head_seconds", 0.15)
    async with gateway(*vendors.resources()) as merit:
        reader, writer = await connect(merit)
        writer.write(sent)
        await ended(reader, begun=bool(sent))
        writer.close()
        # a connection that is kept has that time for each further head, and its own for being idle
        reader, writer = await connect(merit)
        whole = request(b"content-length: %d\r\n" % len(BODY)).replace(b"connection: close\r\n", b"")
        for _ in range(2):
            writer.write(whole)
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(int(li[15:]) for li in head.split(b"\r\n") if li.startswith(b"content-length"))
            await reader.readexactly(length)
            await asyncio.sleep(0.2)
        writer.write(whole[:20])
        await ended(reader)
        writer.close()


SMUGGLED = [
    b"content-length: 5\r\ntransfer-encoding: chunked\r\n",
    b"content-length: 5\r\ncontent-length: 6\r\n",
    b"transfer-encoding: xchunked\r\ncontent-length: 5\r\n",
    b"content-length: -1\r\n",
    b"content-length: 5 5\r\n",
    b"bad header\r\n",
    b"x: a\rb\r\ncontent-length: 2\r\n",
]


@pytest.mark.parametrize("headers", SMUGGLED)
async def test_an_ambiguous_request_is_refused(vendors: Vendors, headers: bytes) -> None:
    async with gateway(*vendors.resources()) as merit:
        answer = await exchange(merit, request(headers, b"0\r\n\r\nGET /v1/models HTTP/1.1\r\n\r\n"))
        assert answer.startswith(b"HTTP/1.1 400")
        assert answer.count(b"HTTP/1.1") == 1
    assert vendors.cheap.stats.requests == 0


async def test_a_compressed_request_is_no_json(vendors: Vendors) -> None:
    packed = gzip.compress(BODY)
    async with gateway(*vendors.resources()) as merit:
        answer = await exchange(
            merit, request(b"content-encoding: gzip\r\ncontent-length: %d\r\n" % len(packed), packed)
        )
        assert answer.startswith(b"HTTP/1.1 400")
        assert b"no JSON object" in answer


async def test_expect_continue(vendors: Vendors) -> None:
    async with gateway(*vendors.resources()) as merit:
        reader, writer = await connect(merit)
        writer.write(request(b"expect: 100-continue\r\ncontent-length: %d\r\n" % len(BODY), b""))
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100")
        writer.write(BODY)
        assert (await reader.read()).startswith(b"HTTP/1.1 200")
        writer.close()


async def test_pipelined_requests_are_answered_in_order(vendors: Vendors) -> None:
    async with gateway(*vendors.resources()) as merit:
        one = request(b"content-length: %d\r\n" % len(BODY))
        data = one.replace(b"connection: close\r\n", b"") * 2 + one
        assert (await exchange(merit, data)).count(b"HTTP/1.1 200") == 3


# ---- vendors


def bomb(size: int) -> bytes:
    packer = zlib.compressobj(9, wbits=31)
    zeros = b" " * (1 << 20)
    return b"".join(packer.compress(zeros) for _ in range(size >> 20)) + packer.flush()


async def test_a_vendors_compressed_bomb_is_no_answer() -> None:
    async with over(says(bomb(100 << 20), extra="content-encoding: gzip\r\n"), says(GOOD)) as merit:
        answer = await merit.post(CHAT)
        assert (answer.status_code, answer.headers["x-merit-provider"]) == (200, "b")


async def test_a_vendor_that_compresses_unasked_is_understood() -> None:
    async with over(says(gzip.compress(GOOD), extra="content-encoding: gzip\r\n")) as merit:
        answer = await merit.post(CHAT)
        assert answer.json()["choices"][0]["message"]["content"] == "good"
        assert "content-encoding" not in answer.headers


def raw(data: bytes) -> Script:
    async def script(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()
        writer.close()

    return script


HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
ODD_ANSWERS = {
    "a flood of headers": HEAD + b"x: y\r\n" * 100_000 + b"\r\n",
    "a header without end": HEAD + b"x: " + b"y" * 1_000_000,
    "a flood of 1xx": b"HTTP/1.1 100 Continue\r\n\r\n" * 1000 + HEAD + b"content-length: 5\r\n\r\nhello",
    "HTTP/0.9": b"hello\r\n",
    "a negative length": HEAD + b"content-length: -5\r\n\r\nhello",
    "two lengths": HEAD + b"content-length: 5\r\ncontent-length: 6\r\n\r\nhello!",
    "chunks that are none": HEAD + b"transfer-encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n",
    "no gzip": HEAD + b"content-encoding: gzip\r\ncontent-length: 5\r\n\r\nhello",
    "nothing": b"",
    "bad UTF-8": HEAD + b'content-length: 4\r\n\r\n{"\xff"',
    "a body cut off": HEAD + b"content-length: 500\r\n\r\n" + GOOD,
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("name", list(ODD_ANSWERS))
async def test_an_answer_that_breaks_http_is_none(name: str, stream: bool) -> None:
    data = ODD_ANSWERS[name]
    if stream:
        data = data.replace(b"application/json", b"text/event-stream")
    good = raw(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: {}\n\ndata: [DONE]\n\n")
    async with over(raw(data), good if stream else says(GOOD)) as merit:
        answer = await merit.post({**CHAT, "stream": stream})
        assert answer.status_code == 200
        if answer.headers["x-merit-provider"] == "a":  # a stream whose bytes came before they turned out to be wrong
            assert stream
            assert b"stream_interrupted" in answer.content
            assert b"[DONE]" not in answer.content
        await eventually(lambda: merit.parts.ledger.in_flight == 0, "still in flight")


@pytest.mark.parametrize(
    ("address", "no"),
    [
        ("169.254.169.254", True),
        ("::ffff:169.254.169.254", True),
        ("fe80::1", True),
        ("fe80::1%eth0", True),
        ("0.0.0.0", True),
        ("::", True),
        ("fd00:ec2::254", True),
        ("168.63.129.16", True),
        ("::ffff:168.63.129.16", True),
        ("100.100.100.200", True),
        ("64:ff9b::169.254.169.254", True),
        ("64:ff9b::6464:64c8", True),
        ("64:ff9b::8.8.8.8", False),
        ("fd00:ec2::253", False),
        ("168.63.129.17", False),
        ("224.0.0.1", True),
        ("ff02::1", True),
        ("127.0.0.1", False),
        ("10.0.0.1", False),
        ("8.8.8.8", False),
        ("2001:4860:4860::8888", False),
    ],
)
async def test_addresses_that_no_provider_has(address: str, no: bool) -> None:
    assert refused(address) is no


@pytest.mark.parametrize("host", ["2852039166", "0xa9fea9fe", "0251.0376.0251.0376", "169.254.43518", "0"])
async def test_an_address_in_disguise_is_refused_when_it_is_resolved(vendors: Vendors, host: str) -> None:
    documents = [
        provider("evil", f"http://{host}/v1"), prices("evil", "0.01", "0.01"),
        *vendors.resources(route("evil", "cheap")),
    ]  # fmt: skip
    async with gateway(*documents) as merit:
        assert (await merit.post(CHAT)).headers["x-merit-provider"] == "cheap"
        ((_, _, _, outcome), _) = (key for key in merit.parts.ledger.attempts)
        assert outcome == "refused_address"
