"""Scores of all pods together, in a real Redis: counted once, followed, and late where it was away."""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from merit_dataplane.redis_settings import RedisAddress, RedisSettings
from tests.support.gateway import Running, eventually, gateway
from tests.support.redis_servers import SECONDS, RedisServer, cluster, is_on, needs_redis, redis_server
from tests.unit.dataplane.conftest import Vendors
from tests.unit.dataplane.test_feedback import ask, bids, floor, score

pytestmark = [pytest.mark.asyncio(loop_scope="session"), needs_redis]


def at(url: str) -> RedisSettings:
    return RedisSettings(RedisAddress.parse(url), budget_seconds=1.0)


async def pod(stack: AsyncExitStack, vendors: Vendors, url: str, state_dir: Path | None = None) -> Running:
    """One more, once its link is on."""
    made = await stack.enter_async_context(gateway(*floor(vendors), redis=at(url), state_dir=state_dir))
    state = made.parts.state
    assert state is not None
    await eventually(lambda: is_on(state), "Redis is not on", SECONDS)
    return made


async def known(merit: Running) -> dict[str, Any] | None:
    """What a pod knows of `cheap`, after a look at what others say."""
    await merit.parts.recorder.follow()
    found: dict[str, Any] | None = (await bids(merit))["cheap"]["feedback"]
    return found


def knows(merit: Running, answers: int) -> Callable[[], Awaitable[bool]]:
    async def holds() -> bool:
        found = await known(merit)
        return found is not None and found["answers"] == answers

    return holds


async def booked(merit: Running) -> bool:
    await merit.parts.recorder.follow()
    return merit.parts.ledger.feedback_pending == 0


async def test_a_score_counts_in_every_pod_once(vendors: Vendors) -> None:
    async with redis_server() as server, AsyncExitStack() as stack:
        one, two = await pod(stack, vendors, server.url), await pod(stack, vendors, server.url)
        _, answer = await ask(one)
        assert not (await score(two, answer, 0))["replaced"]
        await eventually(knows(one, 1), "the other pod does not hear of it", SECONDS)
        assert (await score(one, answer, 1))["replaced"]
        assert not (await score(one, (await ask(one))[1], 0.5))["replaced"]
        await eventually(knows(two, 2), "nor the other way", SECONDS)
        assert await known(one) == await known(two)
        three = await pod(stack, vendors, server.url)
        await eventually(knows(three, 2), "one that starts later knows it, too", SECONDS)


async def test_nothing_that_is_stored_names_anybody_and_all_of_it_expires(vendors: Vendors) -> None:
    async with redis_server() as server, AsyncExitStack() as stack:
        one = await pod(stack, vendors, server.url)
        await score(one, (await ask(one))[1], 0)
        await eventually(lambda: len_is(server, 3), "three keys", SECONDS)
        for key in await server("KEYS", "*"):
            assert await server("PTTL", key) > 0
            assert not [w for w in (b"cheap", b"chat", b"tests") if w in key]
            dumped = await server("DUMP", key)
            assert not [w for w in (b"cheap", b"chat", b"tests") if w in dumped]


async def len_is(server: RedisServer, number: int) -> bool:
    return len([k for k in await server("KEYS", "*") if b"probe" not in k]) == number


async def test_while_redis_is_away_scores_count_here_and_then_everywhere(vendors: Vendors, tmp_path: Path) -> None:
    async with redis_server() as server, AsyncExitStack() as stack:
        one = await pod(stack, vendors, server.url, tmp_path)
        two = await pod(stack, vendors, server.url)
        _, first = await ask(one)
        await score(one, first, 0)
        await eventually(knows(two, 1), "the other pod does not hear of it", SECONDS)
        server.send(signal.SIGSTOP)
        state = one.parts.state
        assert state is not None
        _, answer = await ask(one)
        await score(one, answer, 0)
        await score(one, answer, 0.5)
        assert one.parts.ledger.feedback_pending == 1
        here = (await bids(one))["cheap"]["feedback"]
        assert here["answers"] == 2
        assert "merit_feedback_pending 1.0" in await one.metrics()
        await one.parts.recorder.save()
        assert answer[4:28] in (tmp_path / "feedback.json").read_text(), "nor is it lost with the pod"
        server.send(signal.SIGCONT)
        await eventually(lambda: is_on(state), "Redis is not on again", SECONDS)
        await eventually(lambda: booked(one), "what waited is not booked", SECONDS)
        await eventually(knows(two, 2), "the other pod does not hear of it", SECONDS)
        assert await known(two) == pytest.approx(await known(one))
        assert (await score(two, answer, 1))["replaced"], "it was booked once"


async def test_a_pod_that_starts_without_redis_counts_on_from_what_it_kept(vendors: Vendors, tmp_path: Path) -> None:
    async with redis_server() as server:
        async with AsyncExitStack() as stack:
            one = await pod(stack, vendors, server.url, tmp_path)
            _, answer = await ask(one)
            await score(one, answer, 0)
            await one.parts.recorder.save()
        await server.kill()
        async with gateway(redis=at(server.url), state_dir=tmp_path) as merit:
            await merit.parts.recorder.load()
            await merit.apply(*floor(vendors))
            assert (await bids(merit))["cheap"]["feedback"]["answers"] == 1
            await score(merit, (await ask(merit))[1], 0)
            await merit.parts.recorder.follow()
            assert (await bids(merit))["cheap"]["feedback"]["answers"] == 2


async def test_scores_that_wait_are_bounded(vendors: Vendors, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("merit_dataplane.feedback.shared_book._MOST_PENDING", 2)
    async with gateway(*floor(vendors), redis=at("redis://127.0.0.1:9")) as merit:
        answers = [(await ask(merit))[1] for _ in range(3)]
        for answer in (answers[0], answers[1], answers[0]):
            await score(merit, answer, 0)
        said = await merit.post({"id": answers[2], "score": 0}, path="/v1/feedback")
        assert (said.status_code, said.json()["error"]["code"]) == (503, "feedback_full")
        assert said.headers["retry-after"]


async def test_many_at_once_lose_nothing(vendors: Vendors) -> None:
    async with redis_server() as server, AsyncExitStack() as stack:
        pods = [await pod(stack, vendors, server.url) for _ in range(2)]
        answers = [(await ask(pods[place % 2]))[1] for place in range(40)]
        await asyncio.gather(*(score(pods[place % 2], answer, place % 2) for place, answer in enumerate(answers * 2)))
        for one in pods:
            await eventually(knows(one, 40), "a score is lost, or counts twice", SECONDS)
        assert await known(pods[0]) == await known(pods[1])


@pytest.mark.slow
async def test_a_cluster(vendors: Vendors) -> None:
    async with cluster() as servers, AsyncExitStack() as stack:
        url = "redis+cluster://" + ",".join(f"127.0.0.1:{server.port}" for server in servers)
        one, two = await pod(stack, vendors, url), await pod(stack, vendors, url)
        await score(one, (await ask(one))[1], 0)
        await eventually(knows(two, 1), "the other pod does not hear of it", SECONDS)
