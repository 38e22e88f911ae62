"""Whole gateways in front of a Redis that fails: answers go on, pods stay ready, and share again when it is well."""

import asyncio
import contextlib
import functools
import itertools
import json
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from merit_dataplane.redis_settings import Credentials, RedisAddress, RedisSettings
from tests.support.gateway import Running, eventually, free_port, gateway, says, scripted, streams
from tests.support.redis_servers import (
    RedisServer,
    cluster,
    distant,
    is_on,
    needs_redis,
    redis_server,
    sentinels,
)
from tests.support.resources import CONSUMER, CONSUMER_KEY, prices, provider, route
from tests.unit.dataplane.conftest import Vendors

pytestmark = [pytest.mark.asyncio(loop_scope="session"), needs_redis, pytest.mark.slow, pytest.mark.timeout(400)]

SECONDS = 60.0
_numbers = itertools.count()
Act = Callable[[RedisServer], Awaitable[Any]]


def question(number: int, *, stream: bool = False) -> dict[str, Any]:
    said = f"Question {number}: when does the branch open?"
    return {"model": "chat", "messages": [{"role": "user", "content": said}], "stream": stream}


def how(answer: httpx.Response) -> str:
    return answer.headers["x-merit-cache"]


@dataclass
class Fleet:
    """Pods that share a Redis."""

    pods: list[Running]
    unready: list[str] = field(default_factory=list)

    async def on(self, what: str = "shared state: on") -> None:
        for pod in self.pods:
            state = pod.parts.state
            assert state is not None
            await eventually(functools.partial(lambda s: what in s.describe(), state), f"not {what}", SECONDS)

    async def off(self) -> None:
        for pod in self.pods:
            state = pod.parts.state
            assert state is not None
            await eventually(functools.partial(lambda s: not is_on(s), state), "is still on", SECONDS)

    async def share(self) -> None:
        """What one is told the other knows: a claim of the time without Redis is over after some seconds."""

        async def shared() -> bool:
            asked = question(next(_numbers))
            first = await self.pods[0].post(asked)
            assert first.status_code == 200
            await asyncio.sleep(0.05)
            return how(await self.pods[1].post(asked)) == "hit"

        await eventually(shared, "pods share nothing", SECONDS)

    async def go_on(self, count: int = 10) -> None:
        """New questions are answered, and again from what each pod itself has kept."""
        for pod in self.pods:
            for stream in (False, True) * (count // 2):
                asked = question(next(_numbers), stream=stream)
                answers = [await pod.post(asked), await pod.post(asked)]
                assert [(a.status_code, how(a)) for a in answers] == [(200, "miss"), (200, "hit")]

    def waited(self) -> int:
        """Requests that waited for a reply in vain."""
        return sum(
            pod.parts.state.counts.outcomes[kind, "timeout"]
            for pod in self.pods
            if pod.parts.state is not None
            for kind in ("read", "write")
        )

    def failed(self) -> int:
        """Whatever was asked of Redis and not answered."""
        states = [pod.parts.state for pod in self.pods if pod.parts.state is not None]
        return sum(n for s in states for (_, outcome), n in s.counts.outcomes.items() if outcome != "answered")

    async def watch(self) -> None:
        while True:
            for pod in self.pods:
                answer = await pod.http.get(f"{pod.admin_url}/readyz")
                if answer.status_code != 200:
                    self.unready.append(answer.text)
            await asyncio.sleep(0.05)


@contextlib.asynccontextmanager
async def fleet(
    vendors: Vendors | tuple[str, ...],
    url: str,
    folder: Path,
    *,
    pods: int = 2,
    budget_seconds: float = 0.25,
    **more: Any,
) -> AsyncIterator[Fleet]:
    """The budget is larger than the default's 5 ms: a busy machine is no fault of Redis. Nobody may become unready."""
    key_file = folder / "cache.key"
    key_file.write_text("a key that all pods share 0123456789")
    chat = route("cheap", "middle", "dear", extra="cache: {exact: {ttl: 1h}}")
    documents = vendors if isinstance(vendors, tuple) else vendors.resources(chat)
    settings = RedisSettings(RedisAddress.parse(url), budget_seconds=budget_seconds, **more)
    async with contextlib.AsyncExitStack() as stack:
        made = Fleet([
            await stack.enter_async_context(gateway(*documents, redis=settings, cache_key_file=key_file, alone=False))
            for _ in range(pods)
        ])  # fmt: skip
        await made.on()
        watching = asyncio.create_task(made.watch())
        try:
            yield made
        finally:
            watching.cancel()
            await asyncio.wait([watching])
        assert not made.unready


async def _closed(redis: RedisServer) -> None:
    await redis("CONFIG", "SET", "requirepass", "another-password")
    await redis("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "no", password="another-password")  # a test's


async def _opened(redis: RedisServer) -> None:
    await redis("CONFIG", "SET", "requirepass", "", password="another-password")  # a test's


async def _signal(redis: RedisServer, *, number: signal.Signals) -> None:
    redis.send(number)


FAULTS: dict[str, tuple[Act, Act]] = {
    "dead": (lambda redis: redis.kill(), lambda redis: redis.start()),
    "frozen": (functools.partial(_signal, number=signal.SIGSTOP), functools.partial(_signal, number=signal.SIGCONT)),
    "full": (
        lambda redis: redis("CONFIG", "SET", "maxmemory", "1"),
        lambda redis: redis("CONFIG", "SET", "maxmemory", "0"),
    ),
    "read-only": (
        lambda redis: redis("REPLICAOF", "127.0.0.1", free_port()),
        lambda redis: redis("REPLICAOF", "NO", "ONE"),
    ),
    "password": (_closed, _opened),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_answers_go_on_without_redis_and_are_shared_with_it(vendors: Vendors, tmp_path: Path, fault: str) -> None:
    begins, ends = FAULTS[fault]
    async with redis_server() as redis, fleet(vendors, redis.url, tmp_path) as pods:
        await pods.share()
        await begins(redis)
        await pods.go_on(2)
        await pods.off()
        before = pods.waited()
        await pods.go_on()
        late = len(pods.pods)  # what was on its way when it was found out may be counted later
        assert pods.waited() <= before + late, "once it is known to be away nobody waits for it"
        await ends(redis)
        await pods.on()
        await pods.share()


async def test_a_slow_redis_is_not_waited_for(vendors: Vendors, tmp_path: Path) -> None:
    async with (
        redis_server() as redis,
        distant(redis, 0.0) as distance,
        fleet(vendors, distance.url, tmp_path) as pods,
    ):
        distance.seconds = 1.0
        await pods.go_on(2)
        await pods.off()
        before = pods.waited()
        await pods.go_on()
        assert pods.waited() <= before + len(pods.pods)  # on a busy machine one may be let through to try
        distance.seconds = 0.0
        await pods.on()
        await pods.share()


async def test_a_redis_that_was_restarted_empty_is_filled_anew(vendors: Vendors, tmp_path: Path) -> None:
    async with redis_server() as redis, fleet(vendors, redis.url, tmp_path) as pods:
        await pods.share()
        await redis.kill()
        await redis.start()
        await pods.go_on(2)
        await pods.on()
        await pods.share()
        assert await redis("DBSIZE") > 0


@pytest.mark.parametrize("fault", ["full", "read-only"])
async def test_what_is_kept_is_read_where_nothing_can_be_written(vendors: Vendors, tmp_path: Path, fault: str) -> None:
    begins, _ = FAULTS[fault]
    async with redis_server() as redis, fleet(vendors, redis.url, tmp_path) as pods:
        asked = question(next(_numbers))
        await pods.pods[0].post(asked)

        async def kept() -> bool:
            return any(not key.endswith(b"claim") for key in await redis("KEYS", "merit:cache:*"))

        await eventually(kept, "nothing is kept", SECONDS)
        await begins(redis)
        await pods.on("writes off")
        assert how(await pods.pods[1].post(asked)) == "hit"


@pytest.mark.parametrize(
    "harm",
    [
        pytest.param(("RPUSH", "not a claim"), id="wrong type"),
        pytest.param(("SET", "of nobody"), id="without an end"),
        pytest.param(("SET", "of nobody", "PX", "9999999"), id="with a far end"),
    ],
)
async def test_a_claim_that_is_none_holds_up_nobody(vendors: Vendors, tmp_path: Path, harm: tuple[str, ...]) -> None:
    async with redis_server() as redis, fleet(vendors, redis.url, tmp_path) as pods:
        asked = question(next(_numbers))
        assert how(await pods.pods[0].post(asked)) == "miss"

        async def kept() -> list[bytes]:
            return [key for key in await redis("KEYS", "merit:cache:*") if not key.endswith(b"claim")]

        async def there() -> bool:
            return bool(await kept())

        await eventually(there, "nothing is kept", SECONDS)
        (key,) = await kept()
        await redis("DEL", key)
        await redis(harm[0], key + b":claim", *harm[1:])
        answer = await asyncio.wait_for(pods.pods[1].post(asked), 60)
        assert (answer.status_code, how(answer)) == (200, "miss")


async def test_sentinels_name_another_master(vendors: Vendors, tmp_path: Path) -> None:
    async with sentinels() as (watchers, master, _):
        places = ",".join(f"127.0.0.1:{watcher.port}" for watcher in watchers)
        async with fleet(vendors, f"redis+sentinel://{places}/merit", tmp_path) as pods:
            await pods.share()
            await master.kill()
            await pods.go_on()
            await pods.off()
            await pods.on()
            await pods.share()


async def test_a_slot_of_a_cluster_moves_and_a_master_is_lost(vendors: Vendors, tmp_path: Path) -> None:
    async with cluster() as servers:
        url = "redis+cluster://" + ",".join(f"127.0.0.1:{server.port}" for server in servers)
        async with fleet(vendors, url, tmp_path) as pods:
            await pods.share()
            asked = question(next(_numbers))
            assert how(await pods.pods[0].post(asked)) == "miss"
            before = pods.pods[0].parts.state
            assert before is not None

            async def held() -> list[tuple[RedisServer, bytes]]:
                return [(s, key) for s in servers for key in await s("KEYS", "merit:cache:*") if b"claim" not in key]

            async def two() -> bool:
                return len(await held()) >= 2

            await eventually(two, "nothing is kept", SECONDS)
            for old, key in await held():
                await _move(servers, old, key)
            assert how(await pods.pods[1].post(asked)) == "hit", "MOVED is followed"
            await servers[0].kill()
            await pods.go_on()
            await servers[0].start()
            await pods.on()
            await pods.share()


async def _move(servers: list[RedisServer], old: RedisServer, key: bytes) -> None:
    """The key's slot to the next master."""
    slot = int(await old("CLUSTER", "KEYSLOT", key))
    new = servers[(servers.index(old) + 1) % len(servers)]
    ids = [(await server("CLUSTER", "MYID")).decode() for server in (old, new)]
    await new("CLUSTER", "SETSLOT", slot, "IMPORTING", ids[0])
    await old("CLUSTER", "SETSLOT", slot, "MIGRATING", ids[1])
    await old("MIGRATE", "127.0.0.1", new.port, key, 0, 5000)
    for server in (new, old):
        await server("CLUSTER", "SETSLOT", slot, "NODE", ids[1])


@pytest.mark.parametrize("stream", [False, True])
async def test_a_thousand_identical_requests_at_three_pods_are_one_call(tmp_path: Path, stream: bool) -> None:
    calls, all_there = 0, asyncio.Event()
    chunk = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    used = {"usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}}
    parts = [{"index": 0, "delta": {"content": "At nine."}, "finish_reason": "stop"}]
    events = [{**chunk, "choices": parts}, {**chunk, "choices": [], **used}]
    whole = {"index": 0, "message": {"role": "assistant", "content": "At nine."}, "finish_reason": "stop"}
    body = {**chunk, "object": "chat.completion", "choices": [whole], **used}
    told = streams(*(b"data: %b\n\n" % json.dumps(event).encode() for event in events), b"data: [DONE]\n\n")
    answer = told if stream else says(json.dumps(body).encode())

    async def waits(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal calls
        calls += 1
        await all_there.wait()
        await answer(reader, writer)

    async with redis_server() as redis, scripted(waits) as url:
        chat = route("a", extra="cache: {exact: {ttl: 1h}}")
        documents = (provider("a", url), prices("a", "1", "1"), chat, CONSUMER)
        async with fleet(documents, redis.url, tmp_path, pods=3, budget_seconds=5.0) as pods:
            asked, clients = question(next(_numbers), stream=stream), list[asyncio.Task[bytes]]()
            for number in range(1000):
                clients.append(asyncio.create_task(_raw(pods.pods[number % 3], asked)))
                if not number % 20:  # all at once would stop this one process, pods and clients, for too long
                    await asyncio.sleep(0.005)
            inside = functools.partial(lambda: sum(pod.parts.ledger.in_flight for pod in pods.pods) >= 1000)
            await eventually(inside, "not all have come", SECONDS)
            all_there.set()
            answers = await asyncio.gather(*clients)
            failed = pods.failed()
    assert calls == 1 or (failed and calls <= 3), "a machine that stops its pods for too long seems to be without Redis"
    assert {answer.split(b"\r\n")[0] for answer in answers} == {b"HTTP/1.1 200 OK"}
    assert all(b"At nine." in answer for answer in answers)
    assert sum(b"x-merit-cache: miss" in answer for answer in answers) == 1


async def _raw(pod: Running, asked: dict[str, Any]) -> bytes:
    """All that the pod answers: a thousand clients of httpx would take the pods' own time, in this one process."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(pod.url.rsplit(":", 1)[1]))
    body = json.dumps(asked).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {CONSUMER_KEY}\r\n"
    writer.write(f"{head}connection: close\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body)
    answer = await reader.read()
    writer.close()
    return answer


async def test_a_password_that_is_wrong_from_the_start_costs_no_answer(vendors: Vendors, tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("wrong-password")
    async with redis_server() as redis:
        await redis("CONFIG", "SET", "requirepass", "right-password")
        key_file = tmp_path / "cache.key"
        key_file.write_text("a key that all pods share 0123456789")
        documents = vendors.resources(route("cheap", "middle", "dear", extra="cache: {exact: {ttl: 1h}}"))
        settings = RedisSettings(RedisAddress.parse(redis.url), credentials=Credentials("", file))
        async with gateway(*documents, redis=settings, cache_key_file=key_file) as pod:
            pods = Fleet([pod])
            await pods.on("off (credentials)")
            await pods.go_on()
            assert (await pod.http.get(f"{pod.admin_url}/readyz")).status_code == 200
