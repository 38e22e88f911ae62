"""Many clients at the second at which an answer expires: one call, in one pod and in three that share a Redis."""

import asyncio
import contextlib
import functools
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from merit_dataplane.fake_provider.behaviour import Behaviour
from merit_dataplane.redis_settings import RedisAddress, RedisSettings
from merit_dataplane.shared_state import SharedState
from tests.support.gateway import Running, eventually, gateway
from tests.support.redis_servers import needs_redis, redis_server
from tests.support.resources import route
from tests.unit.dataplane.conftest import Vendors

# three pods and 500 clients in one process: some seconds of CPU, which a busy machine gives in minutes
pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.slow, pytest.mark.timeout(400)]

BODY: dict[str, Any] = {"model": "chat", "messages": [{"role": "user", "content": "When does the branch open?"}]}
CLIENTS = 500
TTL_SECONDS, AROUND_SECONDS = 6.0, 2.0
"""Clients come from so long before the expiry of the first answer to so long after it. Later answers stay fresh."""


@contextlib.asynccontextmanager
async def pods(vendors: Vendors, *, exact: str, key_file: Path | None = None) -> AsyncIterator[list[Running]]:
    """One pod; with a key file three that share a Redis."""
    documents = vendors.resources(route("cheap", "middle", "dear", extra=f"cache: {{exact: {{{exact}}}}}"))
    async with AsyncExitStack() as stack:
        if key_file is None:
            yield [await stack.enter_async_context(gateway(*documents))]
            return
        server = await stack.enter_async_context(redis_server())
        settings = RedisSettings(RedisAddress.parse(server.url), budget_seconds=1.0)
        running = [
            await stack.enter_async_context(gateway(*documents, redis=settings, cache_key_file=key_file))
            for _ in range(3)
        ]
        for pod in running:
            state = pod.parts.state
            assert state is not None
            await eventually(functools.partial(is_on, state), "Redis is off", 20)
        yield running


def shared_key(folder: Path) -> Path:
    """Without one pods share no answers."""
    file = folder / "cache.key"
    file.write_text("a key that all pods share 0123456789")
    return file


def is_on(state: SharedState) -> bool:
    return state.describe() == "shared state: on"


async def stampede(running: list[Running], *, stream: bool) -> list[httpx.Response]:
    """Of each client its answer; every pod had the first one before it expired."""
    body, loop = {**BODY, "stream": stream}, asyncio.get_running_loop()
    begun = loop.time()
    for pod in running:
        assert (await pod.post({**body, "cache": {"ttl": TTL_SECONDS}})).status_code == 200
    expires = begun + TTL_SECONDS  # the answer is a little younger: clients come on both sides all the same

    async def client(number: int) -> httpx.Response:
        await asyncio.sleep(max(0.0, expires - AROUND_SECONDS + 2 * AROUND_SECONDS * number / CLIENTS - loop.time()))
        return await running[number % len(running)].post(body)

    return await asyncio.gather(*(client(number) for number in range(CLIENTS)))


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("redis", [False, pytest.param(True, marks=needs_redis)])
async def test_five_hundred_clients_around_the_expiry_are_one_call(
    vendors: Vendors, tmp_path: Path, redis: bool, stream: bool
) -> None:
    vendors.cheap.behaviour = Behaviour(latency=0.5)
    async with pods(vendors, key_file=shared_key(tmp_path) if redis else None, exact="ttl: 1h") as running:
        answers = await stampede(running, stream=stream)
    told = Counter(answer.headers["x-merit-cache"] for answer in answers)
    assert {answer.status_code for answer in answers} == {200}
    assert vendors.cheap.stats.requests == 2, told  # the first one, and the one at the expiry
    assert 1 <= told["miss"] <= len(running)  # a pod whose claim came to nothing may find the other's answer
    assert told["coalesced"] > 0
    assert told["hit"] > CLIENTS / 2


async def test_five_hundred_clients_at_the_same_moment_after_it_are_one_call(vendors: Vendors) -> None:
    vendors.cheap.behaviour = Behaviour(latency=1.0)
    async with pods(vendors, exact="ttl: 1h") as (pod,):
        await pod.post({**BODY, "cache": {"ttl": 0.1}})
        await asyncio.sleep(0.2)
        answers = await asyncio.gather(*(pod.post(BODY) for _ in range(CLIENTS)))
    assert vendors.cheap.stats.requests == 2
    told = Counter(answer.headers["x-merit-cache"] for answer in answers)
    assert told["miss"] == 1
    assert told["coalesced"] + told["hit"] == CLIENTS - 1  # who is slow to ask finds it kept
    assert told["coalesced"] > 0


@pytest.mark.parametrize("redis", [False, pytest.param(True, marks=needs_redis)])
async def test_nobody_waits_at_the_expiry_of_an_answer_that_may_be_stale(
    vendors: Vendors, tmp_path: Path, redis: bool
) -> None:
    async with pods(
        vendors, key_file=shared_key(tmp_path) if redis else None, exact="ttl: 1h, staleWhileRevalidate: 1h"
    ) as running:
        vendors.cheap.behaviour = Behaviour(latency=0.5)
        answers = await stampede(running, stream=False)
        logged = [json.loads(line) for pod in running for line in pod.log_text().splitlines()]
    told = Counter(answer.headers["x-merit-cache"] for answer in answers)
    assert told["hit"] + told["stale"] == CLIENTS
    assert told["stale"] > 0
    assert vendors.cheap.stats.requests == 2
    assert [line["cache"] for line in logged].count("refresh") == 1
