"""The collector is kept away from what snapshots are made of; so requests must leave no cycles to it."""

import asyncio
import gc
import json

import pytest
import uvloop

from tests.support.gateway import Script, eventually, over, says, streams
from tests.support.resources import CONSUMER_KEY

pytestmark = pytest.mark.slow

CHAT = {"model": "chat", "messages": [{"role": "user", "content": "Hello"}]}
GOOD = b'{"choices":[{"message":{"content":"good"}}],"usage":{"prompt_tokens":1,"completion_tokens":1}}'
CHUNK = b'data: {"choices":[{"index":0,"delta":{"content":"x"}}]}\n\n'
DONE = b"data: [DONE]\n\n"


@pytest.mark.parametrize("kind", ["plain", "stream", "slow stream", "failover", "refused", "client gone"])
def test_a_request_leaves_nothing_to_the_garbage_collector(kind: str) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:  # asyncio's own transports are in cycles
        left = runner.run(garbage(kind))
    assert left == []


async def garbage(kind: str) -> list[str]:
    """What 10 requests leave."""
    good: Script = says(GOOD)
    if kind in ("stream", "slow stream", "client gone"):
        good = streams(CHUNK, CHUNK, DONE, seconds_between=0.04 * (kind == "slow stream"), ends=kind != "client gone")
    scripts = (says(b"", status="500 No"), good) if kind == "failover" else (good,)
    body = json.dumps({**CHAT, "stream": kind in ("stream", "slow stream", "client gone")})
    if kind == "refused":
        body = body.replace("chat", "unknown")
    if kind == "client gone":
        scripts = (streams(CHUNK, ends=False),)
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {CONSUMER_KEY}\r\n"
    request = f"{head}content-length: {len(body)}\r\n\r\n{body}".encode()
    async with over(*scripts) as merit:
        host, port = merit.url.removeprefix("http://").split(":")

        async def one() -> None:
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(request)
            await reader.readuntil(b"}" if kind in ("plain", "failover", "refused") else b"data: ")
            if kind in ("stream", "slow stream"):
                await reader.readuntil(b"0\r\n\r\n")
            writer.close()
            await writer.wait_closed()
            await eventually(lambda: merit.parts.ledger.in_flight == 0, "still in flight")

        for _ in range(3):
            await one()
        await asyncio.sleep(0.05)
        gc.collect()
        gc.disable()
        try:
            for _ in range(10):
                await one()
            await asyncio.sleep(0.05)
            gc.set_debug(gc.DEBUG_SAVEALL)
            gc.collect()
            left = [repr(thing)[:200] for thing in gc.garbage]
        finally:
            gc.set_debug(0)
            gc.garbage.clear()
            gc.enable()
        return left
