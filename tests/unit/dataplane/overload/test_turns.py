"""Turns: fair between consumers, bounded, over in a second; by the test's clock, and with a loop really late."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from merit_dataplane.observability.ledger import Ledger
from merit_dataplane.overload.turns import Turns
from merit_dataplane.wire.errors import RequestError
from tests.support.gateway import eventually, gateway, says, scripted
from tests.support.resources import CONSUMER, CONSUMER_KEY, prices, provider, route

CHAT = {"model": "chat", "messages": [{"role": "user", "content": "Hello"}]}
GOOD = b'{"choices":[{"message":{"content":"good"}}],"usage":{"prompt_tokens":1,"completion_tokens":1}}'


def now() -> float:
    return asyncio.get_running_loop().time()


def late() -> Turns:
    """A loop that has been late three times in a row, and is so late that one may begin in a tick."""
    turns = Turns(Ledger())
    for _ in range(3):
        assert not turns.late
        turns.ticked(0.3, now())
    assert turns.late
    for _ in range(10):
        turns.ticked(0.3, now())
    return turns


async def asks(turns: Turns, consumer: str, done: list[str]) -> None:
    try:
        await turns.enter(consumer)
    except RequestError as refusal:
        done.append(f"{consumer} shed" if refusal.code == "overloaded" else str(refusal))
    else:
        done.append(consumer)


async def start(turns: Turns, consumer: str, number: int, done: list[str]) -> list[asyncio.Task[None]]:
    tasks = [asyncio.create_task(asks(turns, consumer, done)) for _ in range(number)]
    await asyncio.sleep(0)
    return tasks


async def test_one_long_step_is_no_overload() -> None:
    turns = Turns(Ledger())
    for lag in (0.5, 0.0, 0.5, 0.5, 0.0) * 10:
        turns.ticked(lag, now())
    assert not turns.late


async def test_who_asks_a_hundred_times_as_much_waits_by_itself() -> None:
    turns = late()
    done: list[str] = []
    tasks = await start(turns, "flood", 100, done) + await start(turns, "other", 1, done)
    for _ in range(2):
        turns.ticked(0.3, now())
        await asyncio.sleep(0)
    assert done == ["flood", "other"]
    turns.close()
    await asyncio.gather(*tasks)
    assert len(done) == 101


async def test_more_begin_while_the_loop_is_punctual_and_then_nobody_waits() -> None:
    turns = late()
    done: list[str] = []
    tasks = await start(turns, "a", 100, done)
    counts = []
    while turns.waiting:
        before = len(done)
        turns.ticked(0.0, now())
        await asyncio.sleep(0)
        counts.append(len(done) - before)
    assert counts[:5] == [2, 3, 4, 5, 6]
    await asyncio.gather(*tasks)
    for _ in range(49):
        assert turns.late
        turns.ticked(0.0, now())
    assert not turns.late


async def test_nobody_waits_longer_than_a_second() -> None:
    turns = late()
    done: list[str] = []
    tasks = await start(turns, "a", 5, done)
    turns.ticked(0.3, now() + 1.1)
    await asyncio.gather(*tasks)
    assert done == ["a shed"] * 5
    assert turns.waiting == 0


async def test_the_queues_are_bounded_and_the_longest_gives_way() -> None:
    turns = late()
    done: list[str] = []
    tasks = await start(turns, "flood", 1100, done)
    assert done == ["flood shed"] * 76
    tasks += await start(turns, "other", 3, done)
    await asyncio.sleep(0)
    assert turns.waiting == 1024
    assert done == ["flood shed"] * 79
    turns.close()
    await asyncio.gather(*tasks)
    assert done.count("other") == 3


async def test_a_client_that_goes_away_leaves_its_queue() -> None:
    turns = late()
    done: list[str] = []
    tasks = await start(turns, "a", 3, done)
    tasks[1].cancel()
    await asyncio.sleep(0)
    assert turns.waiting == 2
    turns.close()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert done == ["a", "a"]
    assert turns.waiting == 0


async def test_a_late_loop_sheds_and_recovers() -> None:
    """Another task takes the loop for itself: requests are told so at once, and are served when it ends."""
    async with scripted(says(GOOD)) as url:
        documents = (provider("a", url), prices("a", "1", "1"), route("a"), CONSUMER)
        async with gateway(*documents) as merit:
            turns = merit.parts.turns
            turns.start()
            stop = asyncio.Event()

            async def hog() -> None:
                while not stop.is_set():
                    time.sleep(0.3)  # noqa: ASYNC251 # as a request that is too much for one core
                    await asyncio.sleep(0)

            task = asyncio.create_task(hog())
            await eventually(lambda: turns.late, "is not late", 10)
            answers: list[Any] = await asyncio.gather(*(merit.post(CHAT) for _ in range(30)))
            shed = [a for a in answers if a.status_code == 503]
            assert shed
            assert shed[0].json()["error"]["code"] == "overloaded"
            assert shed[0].headers["retry-after"] == "1"
            stop.set()
            await task
            await eventually(lambda: not turns.late, "is still late", 10)
            assert (await merit.post(CHAT)).status_code == 200
            metrics = await merit.metrics()
            assert f'merit_shed_total{{reason="waited"}} {len(shed)}.0' in metrics
            assert "merit_requests_waiting 0.0" in metrics


@pytest.mark.parametrize("chunked", [False, True])
async def test_bodies_are_bounded_all_together(chunked: bool) -> None:
    go = asyncio.Event()

    async def slow(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await go.wait()
        await says(GOOD)(_, writer)

    async with scripted(slow) as url:
        documents = (provider("a", url), prices("a", "1", "1"), route("a"), CONSUMER)
        async with gateway(*documents, body_memory_bytes=1_000_000, max_body_bytes=10_000_000) as merit:
            big = {**CHAT, "messages": [{"role": "user", "content": "x" * 400_000}]}

            async def post() -> int:
                if not chunked:
                    return (await merit.post(big)).status_code
                body = json.dumps(big).encode()

                async def pieces() -> AsyncIterator[bytes]:
                    for at in range(0, len(body), 50_000):
                        yield body[at : at + 50_000]

                headers = {"authorization": f"Bearer {CONSUMER_KEY}"}
                url = f"{merit.url}/v1/chat/completions"
                return (await merit.http.post(url, content=pieces(), headers=headers)).status_code

            waiting = [asyncio.create_task(post()) for _ in range(2)]
            await eventually(lambda: merit.parts.path.bodies.held > 800_000, "the bodies do not arrive")
            assert await post() == 503
            assert (await merit.post(CHAT | {"model": "none"})).status_code == 404  # a small one has room
            go.set()
            assert [await task for task in waiting] == [200, 200]
            await eventually(lambda: merit.parts.path.bodies.held == 0, "bodies are held")
            assert await post() == 200
