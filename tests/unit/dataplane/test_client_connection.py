"""What a client reads of an answer, byte by byte, whatever the application sends."""

import asyncio

import pytest

from merit_dataplane.servers import data_server
from merit_dataplane.settings import Address, Settings
from merit_dataplane.stages.responses import Send
from tests.support.gateway import serving

pytestmark = pytest.mark.asyncio(loop_scope="session")

Headers = list[tuple[bytes, bytes]]


async def answer_of(
    status: int, headers: Headers, *bodies: bytes, method: bytes = b"GET", close: bool = True, times: int = 1
) -> bytes:
    """All bytes of the answers of an application that sends this."""

    async def app(_scope: object, _receive: object, send: Send) -> None:
        await send({"type": "http.response.start", "status": status, "headers": headers})
        for number, body in enumerate(bodies, 1):
            await send({"type": "http.response.body", "body": body, "more_body": number < len(bodies)})

    here = Address("127.0.0.1", 0)
    async with serving(data_server(app, Settings(listen=here, admin_listen=here)).config) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for number in range(1, times + 1):
            last = b"connection: close\r\n" if close and number == times else b""
            writer.write(method + b" / HTTP/1.1\r\nhost: x\r\n" + last + b"\r\n")
        try:
            return await asyncio.wait_for(reader.read(), 5)
        finally:
            writer.close()


def sized(length: int, *more: tuple[bytes, bytes]) -> Headers:
    return [(b"content-length", str(length).encode()), *more]


async def test_head_and_body_in_one_and_in_pieces_read_the_same() -> None:
    whole = await answer_of(200, sized(4, (b"x-a", b"1")), b"abcd", times=2)
    pieces = await answer_of(200, sized(4, (b"x-a", b"1")), b"ab", b"cd", times=2)
    assert whole == pieces
    first, last = whole.split(b"abcd")[:2]
    assert first == b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\nx-a: 1\r\n\r\n"
    assert b"connection: close\r\n" in last


async def test_an_answer_of_unknown_length_is_chunked() -> None:
    assert (await answer_of(200, [], b"ab", b"cd")).endswith(b"2\r\nab\r\n2\r\ncd\r\n0\r\n\r\n")


async def test_an_application_may_end_the_connection() -> None:
    answer = await answer_of(200, sized(2, (b"connection", b"close")), b"ok", close=False)
    assert answer.endswith(b"connection: close\r\n\r\nok")


async def test_head_has_no_body() -> None:
    assert (await answer_of(200, sized(2), b"ok", method=b"HEAD")).endswith(b"\r\n\r\n")


@pytest.mark.parametrize("value", [b"1\r\nset-cookie: a=b", b"1\n", b"1\r", b"\0", b"\x01", b"\x7f"])
async def test_a_header_never_breaks_the_framing(value: bytes) -> None:
    answer = await answer_of(200, sized(2, (b"x-a", value)), b"ok", close=False)
    assert not answer.startswith(b"HTTP/1.1 200")
    assert b"set-cookie" not in answer


@pytest.mark.parametrize("name", [b"x a", b"x:a", b"x\r\na"])
async def test_a_name_never_breaks_the_framing(name: bytes) -> None:
    assert not (await answer_of(200, sized(2, (name, b"1")), b"ok", close=False)).startswith(b"HTTP/1.1 200")


async def test_names_are_sent_in_lower_case() -> None:
    headers = [(b"Content-Length", b"2"), (b"Connection", b"close")]
    answer = await answer_of(200, headers, b"ok", close=False)
    assert answer == b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok"


@pytest.mark.parametrize("body", [b"abc", b"abcde"])
async def test_a_body_of_another_length_ends_the_connection(body: bytes) -> None:
    answer = await answer_of(200, sized(4), body, close=False)
    assert b"abcde" not in answer
