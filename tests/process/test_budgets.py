"""A budget held by six real gateways, with a real Redis and without: 1 % at full load, one request at low load."""

import asyncio
import gzip
import json
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path

import httpx
import msgspec
import pytest

from merit_crds.push import FORMAT_HEADER, PODS_HEADER, SNAPSHOT_PATH, TERM_HEADER, VERSION_HEADER
from merit_crds.snapshot import FORMAT
from tests.support.consumers import resources
from tests.support.gateway import eventually, scripted
from tests.support.merit_process import Merit, merit_serve
from tests.support.redis_servers import SECONDS, needs_redis, redis_server
from tests.support.resources import compiled

pytestmark = pytest.mark.slow
PODS = 6
MOST = 0.003
"""USD of the dearest answer of the vendor below."""


class Vendor:
    """Answers cost 0.001 to 0.003 USD. Its bill is the truth."""

    def __init__(self) -> None:
        self.bill = 0.0
        self._dice = random.Random(1)

    async def answer(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        written = self._dice.randrange(0, 1001)
        self.bill += (1000 + 2 * written) / 1e6
        await asyncio.sleep(0.005)
        body = json.dumps(
            {
                "choices": [{"index": 0, "message": {"role": "assistant", "content": "x"}, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": 1000, "completion_tokens": written},
            }
        ).encode()
        writer.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body) + body
        )


@asynccontextmanager
async def fleet(budget: float, redis: str, folder: Path) -> AsyncIterator[tuple[list[Merit], Vendor]]:
    """Six gateways that were pushed to as the operator does, and told that they are six."""
    vendor, token = Vendor(), folder / "token"
    token.write_text("push-token-0123456789", encoding="utf-8")
    options = ["--from-operator", "--token-file", str(token), "--usage-log", "off"]
    options += ["--redis-url", redis, "--redis-budget-ms", "500"] if redis else []
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(scripted(vendor.answer))
        made = compiled(*resources(url, f'budgets: [{{period: Month, amount: "{budget}"}}]'))
        body = {"snapshot": msgspec.Raw(made.body), "credentials": dict(made.credentials)}
        pods = await asyncio.gather(*(stack.enter_async_context(merit_serve(*options)) for _ in range(PODS)))
        for pod in pods:
            headers = {
                "authorization": "Bearer push-token-0123456789",
                VERSION_HEADER: made.version,
                TERM_HEADER: "1",
                FORMAT_HEADER: str(FORMAT),
                PODS_HEADER: str(PODS),
                "content-encoding": "gzip",
            }
            packed = gzip.compress(msgspec.json.encode(body))
            answer = await pod.http.put(pod.admin_url + SNAPSHOT_PATH, content=packed, headers=headers)
            assert answer.status_code == 200, answer.text
            if redis:
                await eventually(partial(_shares, pod), "Redis is not asked", SECONDS)
        yield list(pods), vendor


async def _shares(pod: Merit) -> bool:
    return "shared state: on" in (await pod.http.get(f"{pod.admin_url}/readyz")).text


async def spend(pod: Merit, workers: int) -> None:
    """Asks until the budget is spent."""

    async def worker() -> None:
        refused = 0
        while refused < 3:
            try:
                status = (await pod.post()).status_code
            except httpx.ReadTimeout:
                continue
            assert status in {200, 429}
            refused = refused + 1 if status == 429 else 0

    await asyncio.gather(*(worker() for _ in range(workers)))


@needs_redis
@pytest.mark.timeout(300)
async def test_at_full_load_with_redis(tmp_path: Path) -> None:
    async with redis_server() as server, fleet(4.0, server.url, tmp_path) as (pods, vendor):
        await asyncio.gather(*(spend(pod, 8) for pod in pods))
        print(f"with Redis, 48 at once: {vendor.bill:.4f} of 4 USD")
        assert abs(vendor.bill - 4.0) <= 0.04


@pytest.mark.timeout(300)
async def test_at_full_load_without_redis(tmp_path: Path) -> None:
    async with fleet(4.0, "", tmp_path) as (pods, vendor):
        await asyncio.gather(*(spend(pod, 4) for pod in pods))
        print(f"without Redis, 24 at once: {vendor.bill:.4f} of 4 USD")
        assert abs(vendor.bill - 4.0) <= 0.04


@needs_redis
@pytest.mark.timeout(300)
async def test_one_at_a_time_with_redis(tmp_path: Path) -> None:
    async with redis_server() as server, fleet(0.1, server.url, tmp_path) as (pods, vendor):
        refused, place = 0, 0
        while refused < PODS:
            status = (await pods[place % PODS].post()).status_code
            assert status in {200, 429}
            refused, place = refused + 1 if status == 429 else 0, place + 1
            await asyncio.sleep(0.06)  # what it cost is told after 0.05 s
        print(f"with Redis, one at a time: {vendor.bill:.4f} of 0.1 USD")
        assert abs(vendor.bill - 0.1) <= MOST
