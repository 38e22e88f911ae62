"""Stems in a real Redis: what one pod has learned all know, and nobody who reads or writes there gains by it."""

import contextlib
import functools
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio

from merit_dataplane.redis_settings import RedisAddress, RedisSettings
from tests.support.desk import Desk, desk
from tests.support.gateway import Running, eventually, gateway
from tests.support.redis_servers import RedisServer, needs_redis, redis_server
from tests.support.resources import CONSUMER, prices, provider, route
from tests.unit.dataplane.stems.test_stems import ANSWERS, PIN, STEM, TAKES, body, how, says, text

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.slow, needs_redis]


@pytest_asyncio.fixture(loop_scope="session")
async def redis() -> AsyncIterator[RedisServer]:
    async with redis_server() as server:
        yield server


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    file = tmp_path / "cache.key"
    file.write_text("a key that all pods share 0123456789\n")
    return file


@contextlib.asynccontextmanager
async def pods(at: Desk, redis: RedisServer, *files: Path) -> AsyncIterator[list[Running]]:
    """One for each key file."""
    chat = route("a", extra='cache: {stems: {threshold: "0.5"}}')
    documents = (CONSUMER, provider("a", at.url), prices("a", "1", "10", capabilities=TAKES), chat)
    settings = RedisSettings(RedisAddress.parse(redis.url), budget_seconds=1.0)
    async with contextlib.AsyncExitStack() as stack:
        running = [
            await stack.enter_async_context(gateway(*documents, redis=settings, cache_key_file=file, alone=False))
            for file in files
        ]
        for pod in running:
            state = pod.parts.state
            assert state is not None
            pod.parts.path.stems.chance = lambda: 0.99
            describe: Callable[[], str] = state.describe
            await eventually(functools.partial(lambda tell: tell() == "shared state: on", describe), "Redis is off", 20)
        yield running


async def settled(pod: Running) -> None:
    """What it has heard is in Redis."""
    library = pod.parts.path.stems.library
    await eventually(lambda: library.idle, "lessons are still on their way", 20)


async def taught(*pods: Running, times: int) -> None:
    """The pods in turn."""
    for number in range(times):
        pod = pods[number % len(pods)]
        assert (await pod.post(body())).status_code == 200
        await settled(pod)


async def test_pods_learn_together(redis: RedisServer, key_file: Path) -> None:
    async with desk(says) as vendor, pods(vendor, redis, key_file, key_file) as (one, two):
        await taught(one, two, times=10)  # the first one of each pod is only remembered
        one.parts.path.stems.library.expire()
        answer = await one.post(body())
        assert (how(answer), text(answer)) == ("stem", ANSWERS["pin"])
        two.parts.path.stems.library.expire()
        assert how(await two.post(body())) == "stem"
        # a score may come to another pod than the answer
        for _ in range(4):
            answer = await one.post(body())
            assert how(answer) == "stem"
            given = {"id": answer.headers["x-merit-request-id"], "score": 0}
            assert (await two.post(given, path="/v1/feedback")).status_code == 200
            await settled(two)
        one.parts.path.stems.library.expire()
        assert how(await one.post(body())) == ""


async def test_a_new_pod_knows_a_stem_by_its_tag_alone(redis: RedisServer, key_file: Path) -> None:
    async with desk(says) as vendor, pods(vendor, redis, key_file, key_file) as (one, two):
        await taught(one, times=9)
        for _ in range(8):
            answer = await one.post(body())
            one.parts.path.stems.library.expire()
            if how(answer) != "stem":
                break
            given = {"id": answer.headers["x-merit-request-id"], "score": 0}
            assert (await two.post(given, path="/v1/feedback")).status_code == 200
            await settled(two)
        assert how(answer) == ""


async def test_nobody_reads_or_makes_stems_in_redis(redis: RedisServer, key_file: Path, tmp_path: Path) -> None:
    foreign = tmp_path / "foreign.key"
    foreign.write_text("the key of somebody else 9876543210\n")
    async with desk(says) as vendor, pods(vendor, redis, key_file, foreign) as (one, other):
        await taught(one, times=9)
        assert how(await one.post(body())) == "stem"
        (name,) = await redis("KEYS", "merit:stems:*")
        kept = await redis("HGETALL", name)
        everything = b"".join([name, *(part for pair in kept.items() for part in pair)])
        for secret in (PIN.encode(), STEM[:20].encode(), b"default/tests", b"PIN"):
            assert secret not in everything
        assert how(await other.post(body())) == ""  # sealed by somebody else
        await settled(other)
        # moved, cut and changed
        fields = [field for field in kept if field != b"pool"]
        await redis("HSET", name, fields[0], kept[fields[0]][:-1] + b"x")
        one.parts.path.stems.library.expire()
        assert how(await one.post(body())) == ""
        await redis("HSET", name, fields[0], kept[b"pool"])
        one.parts.path.stems.library.expire()
        assert how(await one.post(body())) == ""
        assert text(await one.post(body())) == ANSWERS["pin"]


async def test_without_redis_each_pod_is_its_own(redis: RedisServer, key_file: Path) -> None:
    async with desk(says) as vendor, pods(vendor, redis, key_file) as (pod,):
        await taught(pod, times=9)
        await redis.kill()
        pod.parts.path.stems.library.expire()
        answer = await pod.post(body())
        assert (answer.status_code, how(answer), text(answer)) == (200, "stem", ANSWERS["pin"])
        other = "How do I follow my card?"
        for _ in range(9):
            assert text(await pod.post(body(other))) == ANSWERS["card"]
        assert how(await pod.post(body(other))) == "stem"


async def test_a_hash_stays_bounded(redis: RedisServer, key_file: Path) -> None:
    async with desk(says) as vendor, pods(vendor, redis, key_file) as (pod,):
        await taught(pod, times=3)
        (name,) = await redis("KEYS", "merit:stems:*")
        await redis("HSET", name, *(part for n in range(3000) for part in (f"field-{n}", "x")))
        await taught(pod, times=1)
        assert await redis("HLEN", name) <= 2048
        assert 0 < await redis("PTTL", name) <= 168 * 3600 * 1000
