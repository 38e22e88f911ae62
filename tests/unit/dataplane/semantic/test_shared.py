"""The semantic layer in a real Redis: what one pod answered others find, and nobody reads or plants anything."""

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from merit_dataplane.redis_settings import RedisAddress, RedisSettings
from tests.support.embedder import OTHER_KEY, Embedder, body, embedder, resources
from tests.support.gateway import Running, eventually, gateway
from tests.support.redis_servers import RedisServer, needs_redis, redis_server
from tests.unit.dataplane.caching.test_shared_level import is_on

pytestmark = [pytest.mark.asyncio(loop_scope="session"), needs_redis]

ASKED, REWORDED, FURTHER = "How do I activate my card?", "Can you activate a card for me?", "activate the card please"


@pytest_asyncio.fixture(loop_scope="session")
async def redis() -> AsyncIterator[RedisServer]:
    async with redis_server() as server:
        yield server


@contextlib.asynccontextmanager
async def pods(at: Embedder, redis: RedisServer, *files: Path, exact: str = "ttl: 60s") -> AsyncIterator[list[Running]]:
    """A pod for each key file."""
    settings = RedisSettings(RedisAddress.parse(redis.url), budget_seconds=1.0)
    async with contextlib.AsyncExitStack() as stack:
        running = [
            await stack.enter_async_context(
                gateway(*resources(at, exact=exact), redis=settings, cache_key_file=file, alone=False)
            )
            for file in files
        ]
        for pod in running:
            state = pod.parts.state
            assert state is not None
            await eventually(functools.partial(is_on, state), "Redis is off", 20)
        yield running


def key_file(folder: Path, text: str = "a key that all pods share 0123456789") -> Path:
    file = folder / text.replace(" ", "-")
    file.write_text(text)
    return file


async def how(pod: Running, text: str, **more: str) -> str:
    answer = await pod.post(body(text), **more)
    assert answer.status_code == 200, answer.text
    return answer.headers["x-merit-cache"]


async def told(redis: RedisServer) -> list[bytes]:
    """Names of what pods told each other."""

    async def there() -> bool:
        return bool(await redis("KEYS", "merit:semantic:*")) and bool(await redis("KEYS", "merit:cache:*"))

    await eventually(there, "nothing is told", 20)
    names: list[bytes] = await redis("KEYS", "merit:semantic:*")
    return names


async def test_what_one_pod_answered_another_finds(redis: RedisServer, tmp_path: Path) -> None:
    async with embedder() as at, pods(at, redis, *[key_file(tmp_path)] * 2) as (first, second):
        assert await how(first, ASKED) == "miss"
        await told(redis)
        assert await how(second, REWORDED) == "semantic"
        assert await how(second, FURTHER, key=OTHER_KEY) == "miss"
        assert len(at.questions) == 2
        keys = [key for key in await redis("KEYS", "merit:cache:*") if not key.endswith(b"claim")]
        assert len(keys) <= 2, "an answer is kept for its own question alone"


async def test_identical_questions_at_all_pods_after_another_are_no_call(redis: RedisServer, tmp_path: Path) -> None:
    async with embedder() as at, pods(at, redis, *[key_file(tmp_path)] * 2) as running:
        await how(running[0], ASKED)
        await told(redis)
        found = await asyncio.gather(*(how(pod, REWORDED) for pod in running for _ in range(5)))
        assert set(found) == {"semantic"}
        assert len(at.questions) == 1


async def test_nobody_reads_a_question_or_its_vector_there(redis: RedisServer, tmp_path: Path) -> None:
    async with embedder() as at, pods(at, redis, key_file(tmp_path)) as (pod,):
        await how(pod, ASKED)
        (name,) = await told(redis)
        assert b"chat" not in name
        ((_, fields),) = await redis("XRANGE", name, "-", "+")
        assert fields[b"q"][:3] == b"M11", "encrypted"
        assert b"activate" not in fields[b"q"]
        assert 0 < await redis("PTTL", name) <= 60_000


async def test_what_was_planted_moved_or_cut_is_nothing(redis: RedisServer, tmp_path: Path) -> None:
    files = key_file(tmp_path), key_file(tmp_path, "another key that is not shared 012345")
    async with embedder() as at, pods(at, redis, *files) as (ours, others):
        await how(ours, ASKED)
        (name,) = await told(redis)
        ((_, fields),) = await redis("XRANGE", name, "-", "+")
        await redis("DEL", name)
        for planted in (b"", b"M1", fields[b"q"][:-1], b"M01" + fields[b"q"][3:], fields[b"q"] + b"x"):
            await redis("XADD", name, "*", "q", planted)
        assert await how(others, REWORDED) == "miss"
        assert await how(ours, FURTHER) == "semantic", "its own index has it"


async def test_without_redis_each_pod_has_its_own(redis: RedisServer, tmp_path: Path) -> None:
    async with embedder() as at, pods(at, redis, *[key_file(tmp_path)] * 2) as (first, second):
        await how(first, ASKED)
        await told(redis)
        await redis.kill()
        assert await how(first, REWORDED) == "semantic"
        assert await how(second, REWORDED) == "miss"
        assert await how(second, FURTHER) == "semantic"
