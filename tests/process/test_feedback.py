"""Scores over restarts, and between processes, as they are really run."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.process.test_serve import GOOD, Folder, prepared
from tests.support.gateway import eventually, says, scripted
from tests.support.merit_process import Merit, merit_serve
from tests.support.redis_servers import needs_redis, redis_server
from tests.support.resources import CONSUMER_KEY

HEADERS = {"authorization": f"Bearer {CONSUMER_KEY}"}


@pytest.fixture
async def folder(tmp_path: Path) -> AsyncIterator[Folder]:
    async with AsyncExitStack() as stack:
        urls = [await stack.enter_async_context(scripted(says(GOOD))) for _ in range(2)]
        yield prepared(tmp_path / "resources", (urls[0], urls[1]))


async def scored(merit: Merit, answer: str, value: float) -> dict[str, Any]:
    said = await merit.http.post(f"{merit.url}/v1/feedback", json={"id": answer, "score": value}, headers=HEADERS)
    assert said.status_code == 200, said.text
    return dict(said.json())


async def answers(merit: Merit) -> int:
    """How many scored answers of the cheapest this process knows of."""
    body = {"model": "chat", "messages": [{"role": "user", "content": "Hello"}]}
    document = (await merit.http.post(f"{merit.url}/v1/explain", json=body, headers=HEADERS)).json()
    known = document["meritOrder"][0]["feedback"]
    return int(known["answers"]) if known else 0


@pytest.mark.parametrize("ends", [signal.SIGTERM, signal.SIGINT])
async def test_scores_outlive_a_restart(folder: Folder, tmp_path: Path, ends: signal.Signals) -> None:
    options = (folder.path, "--no-watch", "--drain-seconds", "0", "--state-dir", tmp_path / "state")
    async with merit_serve(*options) as merit:
        answer = (await merit.post()).headers["x-merit-request-id"]
        await scored(merit, answer, 0)
        merit.process.send_signal(ends)
        assert await asyncio.wait_for(merit.process.wait(), 10) == 0
    async with merit_serve(*options) as merit:
        assert await answers(merit) == 1
        assert (await scored(merit, answer, 1))["replaced"]
        assert await answers(merit) == 1


@needs_redis
async def test_processes_hear_of_each_other_s_scores_by_themselves(folder: Folder) -> None:
    async with redis_server() as server, AsyncExitStack() as stack:
        options = (folder.path, "--no-watch", "--redis-url", server.url, "--redis-budget-ms", "1000")
        one, two = [await stack.enter_async_context(merit_serve(*options)) for _ in range(2)]
        await one.post()
        await asyncio.sleep(1)  # both have found Redis
        await scored(one, (await one.post()).headers["x-merit-request-id"], 0.5)

        async def heard() -> bool:
            return await answers(two) == 1

        await eventually(heard, "the other process does not hear of it", 20)
