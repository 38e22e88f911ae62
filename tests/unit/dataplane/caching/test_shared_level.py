"""The exact cache in a real Redis: pods share answers and calls, and nobody who reads or writes there harms anybody."""

import asyncio
import contextlib
import functools
import json
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from merit_dataplane.fake_provider.behaviour import Behaviour
from merit_dataplane.redis_settings import RedisAddress, RedisSettings
from merit_dataplane.shared_state import SharedState
from tests.support.gateway import Running, eventually, gateway
from tests.support.redis_servers import RedisServer, needs_redis, redis_server
from tests.support.resources import CONSUMER_KEY, consumer, route
from tests.unit.dataplane.conftest import Vendors

pytestmark = [pytest.mark.asyncio(loop_scope="session"), needs_redis]

SAID = "canary-question-4711"
BODY: dict[str, Any] = {"model": "chat", "messages": [{"role": "user", "content": SAID}]}
OTHER_KEY = "another-consumer-key-0002"


@pytest_asyncio.fixture(loop_scope="session")
async def redis() -> AsyncIterator[RedisServer]:
    async with redis_server() as server:
        yield server


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    file = tmp_path / "cache.key"
    file.write_text("a key that all pods share 0123456789\n")
    return file


def how(answer: httpx.Response) -> str:
    return answer.headers["x-merit-cache"]


@contextlib.asynccontextmanager
async def pods(
    vendors: Vendors, redis: RedisServer, *files: Path, exact: str = "ttl: 60s"
) -> AsyncIterator[list[Running]]:
    """A pod for each key file."""
    chat = route("cheap", "middle", "dear", extra=f"cache: {{exact: {{{exact}}}}}")
    documents = (*vendors.resources(chat), consumer("other", OTHER_KEY))
    settings = RedisSettings(RedisAddress.parse(redis.url), budget_seconds=1.0)
    async with contextlib.AsyncExitStack() as stack:
        running = [
            await stack.enter_async_context(gateway(*documents, redis=settings, cache_key_file=file)) for file in files
        ]
        for pod in running:
            state = pod.parts.state
            assert state is not None
            await eventually(functools.partial(is_on, state), "Redis is off", 20)
        yield running


def is_on(state: SharedState) -> bool:
    return state.describe() == "shared state: on"


async def stored(redis: RedisServer) -> list[bytes]:
    """Keys of entries."""
    return [key for key in await redis("KEYS", "merit:cache:*") if not key.endswith(b"claim")]


async def kept(redis: RedisServer, count: int = 1) -> list[bytes]:
    async def there() -> bool:
        return len(await stored(redis)) == count

    await eventually(there, "nothing is kept", 20)
    return await stored(redis)


@pytest.mark.parametrize("stream", [False, True])
async def test_what_one_pod_was_told_another_knows(
    vendors: Vendors, redis: RedisServer, key_file: Path, stream: bool
) -> None:
    async with pods(vendors, redis, key_file, key_file) as (first, second):
        told = await first.post(BODY)
        await kept(redis)
        again = await second.post({**BODY, "stream": stream})
        assert [how(a) for a in (told, again)] == ["miss", "hit"]
        assert again.headers["x-merit-provider"] == "cheap"
        lines = [json.loads(line) for line in second.log_text().splitlines()]
        assert [(line["cache"], line["saved"] != "") for line in lines] == [("hit", True)]
        assert how(await second.post(BODY, key=OTHER_KEY)) == "miss", "another consumer's answer is not this one's"
    assert vendors.cheap.stats.requests == 2


@pytest.mark.parametrize("stream", [False, True])
async def test_identical_requests_at_all_pods_are_one_call(
    vendors: Vendors, redis: RedisServer, key_file: Path, stream: bool
) -> None:
    vendors.cheap.behaviour = Behaviour(latency=0.5)
    async with pods(vendors, redis, *[key_file] * 3) as running:
        asked = {**BODY, "stream": stream}
        answers = await asyncio.gather(*(pod.post(asked) for pod in running for _ in range(40)))
    assert vendors.cheap.stats.requests == 1
    assert {a.status_code for a in answers} == {200}
    assert sorted({how(a) for a in answers}) == ["coalesced", "hit", "miss"]
    assert [how(a) for a in answers].count("miss") == 1


async def test_a_pod_that_dies_with_a_claim_holds_up_nobody_for_long(
    vendors: Vendors, redis: RedisServer, key_file: Path
) -> None:
    async with pods(vendors, redis, key_file) as (pod,):
        await pod.post(BODY)
        (key,) = await kept(redis)
        await redis("DEL", key)
        await redis("SET", key + b":claim", b"of a dead pod", "PX", 700)
        answer = await pod.post(BODY, cache_control="no-cache")
        assert how(answer) == "miss", "who wants it anew waits for nobody"
    async with pods(vendors, redis, key_file) as (pod,):
        await redis("DEL", *await stored(redis))
        await redis("SET", key + b":claim", b"of a dead pod", "PX", 700)
        assert (await pod.post(BODY)).status_code == 200


@pytest.mark.parametrize(
    "harm",
    [
        pytest.param(lambda value: value[: len(value) // 2], id="cut"),
        pytest.param(lambda value: value[:-1] + bytes([value[-1] ^ 1]), id="a bit"),
        pytest.param(lambda _: b"M01" + b"\0" * 64, id="not encrypted"),
        pytest.param(lambda _: b'{"choices":[{"message":{"content":"poison"}}]}', id="plain JSON"),
    ],
)
async def test_a_harmed_entry_is_a_miss(vendors: Vendors, redis: RedisServer, key_file: Path, harm: Any) -> None:
    async with pods(vendors, redis, key_file, key_file) as (first, second):
        await first.post(BODY)
        (key,) = await kept(redis)
        await redis("SET", key, harm(await redis("GET", key)))
        answer = await second.post(BODY)
        assert (answer.status_code, how(answer)) == (200, "miss")
        assert b"poison" not in answer.content


async def test_an_entry_of_another_question_is_a_miss(vendors: Vendors, redis: RedisServer, key_file: Path) -> None:
    async with pods(vendors, redis, key_file, key_file) as (first, second):
        await first.post(BODY)
        (one,) = await kept(redis)
        await first.post(BODY, key=OTHER_KEY)
        other = next(key for key in await kept(redis, 2) if key != one)
        await redis("SET", other, await redis("GET", one))
        assert how(await second.post(BODY, key=OTHER_KEY)) == "miss"


async def test_a_key_of_another_type_is_a_miss(vendors: Vendors, redis: RedisServer, key_file: Path) -> None:
    async with pods(vendors, redis, key_file, key_file) as (first, second):
        await first.post(BODY)
        (key,) = await kept(redis)
        await redis("DEL", key)
        await redis("LPUSH", key, "x")
        assert (await second.post(BODY)).status_code == 200


async def test_pods_with_another_key_share_nothing(
    vendors: Vendors, redis: RedisServer, key_file: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other.key"
    other.write_text("another key of sixteen bytes or more")
    async with pods(vendors, redis, key_file, other) as (first, second):
        await first.post(BODY)
        await kept(redis)
        assert how(await second.post(BODY)) == "miss"


async def test_nobody_reads_a_question_an_answer_or_a_name_in_redis(
    vendors: Vendors, redis: RedisServer, key_file: Path
) -> None:
    async with pods(vendors, redis, key_file) as (pod,):
        told = await pod.post({**BODY, "user": "canary-user"}, x_merit_cache_tags="canary-tag")
        await kept(redis)
        await pod.http.post(f"{pod.admin_url}/cache/purge", json={"routes": ["default/chat"]}, headers=token())
        everything = b"".join(
            [key + (await redis("DUMP", key) or b"") for key in await redis("KEYS", "*")],
        )
    said = told.json()["choices"][0]["message"]["content"].encode()
    assert len(everything) > 200
    for word in (SAID.encode(), said[:20], b"canary", b"default/", b"chat", b"cheap", CONSUMER_KEY.encode()):
        assert word not in everything


async def test_redis_away_costs_no_answer(vendors: Vendors, redis: RedisServer, key_file: Path) -> None:
    async with pods(vendors, redis, key_file) as (pod,):
        await pod.post(BODY)
        redis.send(signal.SIGSTOP)
        try:
            assert how(await pod.post(BODY)) == "hit"
            asked = {**BODY, "messages": [{"role": "user", "content": "another question"}]}
            assert how(await pod.post(asked)) == "miss"
        finally:
            redis.send(signal.SIGCONT)
        await redis.kill()
        asked = {**BODY, "messages": [{"role": "user", "content": "a third question"}]}
        assert [how(await pod.post(asked)) for _ in range(2)] == ["miss", "hit"]


def token() -> dict[str, str]:
    return {"authorization": "Bearer push-token-canary-0123456789"}


@pytest.mark.parametrize(
    "named", [{"routes": ["default/chat"]}, {"consumers": ["default/tests"]}, {"tags": ["faq"]}], ids=str
)
async def test_a_purge_is_heard_by_all_pods(
    vendors: Vendors, redis: RedisServer, key_file: Path, named: dict[str, list[str]]
) -> None:
    async with pods(vendors, redis, key_file, key_file) as (first, second):
        await first.post(BODY, x_merit_cache_tags="faq, returns")
        await kept(redis)
        assert how(await second.post(BODY)) == "hit"
        for unheard in ({"routes": ["default/other"]}, {"tags": ["fa"]}):
            answer = await first.http.post(f"{first.admin_url}/cache/purge", json=unheard, headers=token())
            assert answer.json() == {"purged": 1, "everywhere": True}
        await asyncio.sleep(0)
        assert how(await first.post(BODY)) == "hit"
        answer = await first.http.post(f"{first.admin_url}/cache/purge", json=named, headers=token())
        assert answer.status_code == 200

        async def heard() -> bool:
            return (await second.post(BODY, cache_control="only-if-cached")).status_code == 504

        await eventually(heard, "the other pod does not hear of it", 20)
        assert how(await first.post(BODY)) == "miss"


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        ({"routes": ["a/b"]}, {}, 401),
        ({}, None, 400),
        ({"pods": ["x"]}, None, 400),
        ({"tags": [str(n) for n in range(101)]}, None, 400),
        ([], None, 400),
    ],
)
async def test_a_purge_that_makes_no_sense_is_refused(
    vendors: Vendors, body: Any, headers: dict[str, str] | None, status: int
) -> None:
    async with gateway(*vendors.resources()) as merit:
        sent = token() if headers is None else headers
        assert (await merit.http.post(f"{merit.admin_url}/cache/purge", json=body, headers=sent)).status_code == status
