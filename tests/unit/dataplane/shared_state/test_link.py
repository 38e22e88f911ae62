"""The link with a healthy Redis: values, scripts, writes that nobody waits for, and who gets which reply."""

import asyncio
import random

import pytest

from merit_dataplane.shared_state import Budget, Script, SharedStateUnavailableError
from tests.support.gateway import eventually
from tests.support.redis_servers import needs_redis, redis_server, shared_state

pytestmark = needs_redis
ADD = Script("return redis.call('INCRBY', KEYS[1], ARGV[1])")
BOTH = Script("return {redis.call('GET', KEYS[1]), redis.call('GET', KEYS[2])}", writes=False)


async def test_values_are_kept_and_read() -> None:
    async with redis_server() as server, shared_state(server.url) as state:
        key = state.key("cache", "shop/web", "abc")
        assert await state.read(key, budget=state.budget()) is None
        assert state.keep(key, b"\x00an answer\xff", seconds=60)
        await eventually(lambda: state.queued_later == 0, "is not written")
        await eventually(lambda: state.counts.outcomes["later", "answered"] == 1, "is not written")
        assert await state.read(key, budget=state.budget()) == b"\x00an answer\xff"
        assert await state.read(key, budget=state.budget(), most_bytes=3) == b"\x00an"
        assert 0 < await server("PTTL", key) <= 60_000
        assert state.forget(key)
        await eventually(lambda: state.counts.outcomes["later", "answered"] == 2, "is not removed")
        assert await state.read(key, budget=state.budget()) is None


async def test_scripts_run_and_come_back_after_redis_has_forgotten_them() -> None:
    async with redis_server() as server, shared_state(server.url) as state:
        key, other = state.key("n", "shop/web"), state.key("m", "shop/web")
        assert await state.run(ADD, [key], [40], budget=state.budget()) == 40
        await server("SCRIPT", "FLUSH")
        assert await state.run(ADD, [key], [2], budget=state.budget()) == 42
        assert await state.run(BOTH, [key, other], budget=state.budget()) == [b"42", None]
        assert state.later(ADD, [key], [8])
        await eventually(lambda: state.counts.outcomes["later", "answered"] == 1, "did not run")
        assert await state.read(key, budget=state.budget()) == b"50"


async def test_a_key_shows_no_name_and_holds_one_slot_per_owner() -> None:
    async with redis_server() as server, shared_state(server.url, on=False) as state:
        one, two = state.key("budget", "shop/web", "2026-11-25"), state.key("rpm", b"shop/web")
        assert one.startswith(b"merit:budget:{")
        assert one.endswith(b"}:2026-11-25")
        assert one.split(b"{")[1].split(b"}")[0] == two.split(b"{")[1].split(b"}")[0]
        assert b"shop" not in one + two
        assert state.key("rpm", "shop/other") != two


async def test_many_requests_share_few_connections() -> None:
    async with redis_server() as server, shared_state(server.url, budget_seconds=20) as state:
        key = state.key("n", "many")
        replies = await asyncio.gather(*(state.run(ADD, [key], [1], budget=state.budget()) for _ in range(3000)))
        assert sorted(replies) == list(range(1, 3001))
        assert (await server("INFO", "clients"))["connected_clients"] <= 9  # ours, and the one that asks


async def test_a_budget_is_of_all_calls_together() -> None:
    async with redis_server() as server, shared_state(server.url) as state:
        budget = Budget(1.0)
        await state.read(state.key("a", "b"), budget=budget)
        assert budget.left < 1.0
        with pytest.raises(SharedStateUnavailableError, match="no_time"):
            await state.read(state.key("a", "b"), budget=Budget(0.0))


@pytest.mark.slow
async def test_a_storm_of_cancelled_requests_mixes_no_replies_up() -> None:
    """T21: each value names its key; some requests are cancelled at any moment, and Redis hiccups meanwhile."""
    dice, mixed, answered, cancelled = random.Random(7), [], 0, 0
    async with redis_server() as server, shared_state(server.url, budget_seconds=0.5) as state:
        keys = [state.key("cache", f"tenant-{i % 10}", str(i)) for i in range(200)]
        for key in keys:
            assert state.keep(key, b"of " + key, seconds=600)
        await eventually(lambda: state.counts.outcomes["later", "answered"] == len(keys), "are not written", 20)

        async def ask(key: bytes) -> None:
            nonlocal answered
            found = await state.read(key, budget=state.budget())
            answered += 1
            if found != b"of " + key:
                mixed.append((key, found))

        for turn in range(250):
            tasks = [asyncio.create_task(ask(dice.choice(keys))) for _ in range(200)]
            await asyncio.sleep(dice.random() * 0.002)
            for task in tasks:
                if dice.random() < 0.1:
                    cancelled += task.cancel()
            if turn % 50 == 25:
                await server("CLIENT", "PAUSE", "20", "ALL")
            await asyncio.gather(*tasks, return_exceptions=True)
    assert not mixed
    assert answered > 30_000
    assert cancelled > 1_000
