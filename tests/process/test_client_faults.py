"""Clients at fault, where it depends on the loop: on uvloop, as users run it. The others are in the unit test."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.gateway import eventually, says, scripted, streams
from tests.support.merit_process import Merit, merit_serve
from tests.support.resources import CONSUMER, CONSUMER_KEY, prices, provider, route

GOOD = b'{"choices":[{"message":{"content":"good"}}],"usage":{"prompt_tokens":1,"completion_tokens":1}}'
CHUNK = b'data: {"choices":[{"index":0,"delta":{"content":"x"}}]}\n\n'
DONE = b"data: [DONE]\n\n"
PAUSE = 0.5


async def late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(2 * PAUSE)
    await says(GOOD)(reader, writer)


@pytest.fixture
async def merit(tmp_path: Path) -> AsyncIterator[Merit]:
    """`whole` takes a second, `stream` never ends its pauses."""
    slowly = streams(CHUNK, CHUNK, CHUNK, DONE, seconds_between=PAUSE)
    stalled = streams(CHUNK, ends=False)
    async with scripted(late) as a, scripted(slowly) as b, scripted(stalled) as c:
        for name, url in (("whole", a), ("stream", b), ("stalled", c)):
            documents = provider(name, url), prices(name, "1", "1"), route(name, name=name, model=name)
            (tmp_path / f"{name}.yaml").write_text("\n---\n".join(documents))
        (tmp_path / "consumer.yaml").write_text(CONSUMER)
        async with merit_serve(tmp_path) as running:
            yield running


async def asked(merit: Merit, model: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, port = merit.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    body = json.dumps({"model": model, "stream": model != "whole", "messages": [{"role": "user", "content": "x"}]})
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {CONSUMER_KEY}\r\n"
    writer.write(f"{head}content-length: {len(body)}\r\n\r\n{body}".encode())
    await writer.drain()
    return reader, writer


async def closed(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


@pytest.mark.parametrize(("model", "end"), [("whole", b'"good"'), ("stream", DONE)])
async def test_who_has_said_all_it_has_to_still_gets_its_answer(merit: Merit, model: str, end: bytes) -> None:
    reader, writer = await asked(merit, model)
    writer.write_eof()
    assert end in await asyncio.wait_for(reader.read(), 20)
    await closed(writer)
    await eventually(lambda: bool(merit.log), "no usage line")
    assert json.loads(merit.log[0])["status"] == 200


@pytest.mark.parametrize("model", ["whole", "stream", "stalled"])
async def test_who_has_gone_ends_the_call(merit: Merit, model: str) -> None:
    reader, writer = await asked(merit, model)
    if model != "whole":
        await reader.readuntil(b"\n\n")
    else:
        await asyncio.sleep(PAUSE / 2)
    await closed(writer)
    await eventually(lambda: bool(merit.log), "still at work", 20)
    assert json.loads(merit.log[0])["status"] == 499


async def test_a_head_without_end(merit: Merit) -> None:
    host, port = merit.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"GET / HTTP/1.1\r\nx-a: " + b"a" * 200_000)
    assert (await asyncio.wait_for(reader.read(), 20)).startswith(b"HTTP/1.1 431 ")
    await closed(writer)
