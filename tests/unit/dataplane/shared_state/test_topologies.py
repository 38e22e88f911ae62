"""Sentinel and Cluster: a master is lost, a slot moves."""

import asyncio

import pytest

from merit_dataplane.shared_state import Script, SharedState, SharedStateUnavailableError
from tests.support.gateway import eventually
from tests.support.redis_servers import SECONDS, RedisServer, cluster, is_on, needs_redis, sentinels, shared_state

pytestmark = [needs_redis, pytest.mark.slow]
ADD = Script("return redis.call('INCRBY', KEYS[1], ARGV[1])")


async def test_sentinels_name_another_master() -> None:
    async with sentinels() as (watchers, master, replica):
        places = ",".join(f"127.0.0.1:{watcher.port}" for watcher in watchers)
        async with shared_state(f"redis+sentinel://{places}/merit") as state:
            key = state.key("n", "a")
            assert await state.run(ADD, [key], [1], budget=state.budget()) == 1
            await eventually(lambda: _has(replica, key), "is not replicated", SECONDS)
            await master.kill()
            await eventually(lambda: not is_on(state), "is still on", SECONDS)
            await watchers[0].kill()  # one of three may be lost, too
            await eventually(lambda: is_on(state), f"is not on again: {state.describe()}", 60)
            assert await state.run(ADD, [key], [1], budget=state.budget()) == 2


async def _has(server: RedisServer, key: bytes) -> bool:
    return bool(await server("EXISTS", key))


async def test_a_cluster_serves_every_slot() -> None:
    async with cluster() as servers, shared_state(_url(servers)) as state:
        keys = [state.key("n", f"consumer-{i}") for i in range(60)]
        replies = await asyncio.gather(*(state.run(ADD, [key], [1], budget=state.budget()) for key in keys))
        assert replies == [1] * 60
        assert all([await server("DBSIZE") > 5 for server in servers])
        assert len(state.breakers()) == 6


async def test_a_master_that_is_lost_takes_only_its_own_slots() -> None:
    async with cluster() as servers, shared_state(_url(servers)) as state:
        keys = [state.key("n", f"consumer-{i}") for i in range(60)]
        await servers[0].kill()
        await eventually(lambda: not is_on(state), "is still on", SECONDS)
        outcomes = [await _tried(state, key) for key in keys]
        assert 10 < outcomes.count("") < 50
        assert set(outcomes) <= {"", "connection", "no_master"}
        await servers[0].start()
        await eventually(lambda: is_on(state), f"is not on again: {state.describe()}", 60)
        assert not any([await _tried(state, key) for key in keys])


async def test_a_slot_moves_under_way() -> None:
    """ASK while it moves, MOVED after: the request's answer is right, and later ones go to the new master at once."""
    async with cluster() as servers, shared_state(_url(servers)) as state:
        key = state.key("n", "mover")
        assert await state.run(ADD, [key], [1], budget=state.budget()) == 1
        slot = int(await servers[0]("CLUSTER", "KEYSLOT", key))
        old, new = servers[3 * slot // 16384], servers[(3 * slot // 16384 + 1) % 3]
        ids = [(await server("CLUSTER", "MYID")).decode() for server in (old, new)]
        await new("CLUSTER", "SETSLOT", slot, "IMPORTING", ids[0])
        await old("CLUSTER", "SETSLOT", slot, "MIGRATING", ids[1])
        await old("MIGRATE", "127.0.0.1", new.port, key, 0, 5000)
        assert await state.run(ADD, [key], [1], budget=state.budget()) == 2  # ASK
        for server in (new, old):
            await server("CLUSTER", "SETSLOT", slot, "NODE", ids[1])
        assert await state.run(ADD, [key], [1], budget=state.budget()) == 3  # MOVED
        before = await _commands(old)
        assert await state.run(ADD, [key], [1], budget=state.budget()) == 4
        assert await _commands(old) == before
        assert is_on(state)


async def _commands(server: RedisServer) -> int:
    """Scripts that a server was sent."""
    stats = await server("INFO", "commandstats")
    return int(stats.get("cmdstat_evalsha", {}).get("calls", 0)) + int(
        stats.get("cmdstat_evalsha", {}).get("rejected_calls", 0)
    )


async def _tried(state: SharedState, key: bytes) -> str:
    try:
        await state.run(ADD, [key], [1], budget=state.budget())
    except SharedStateUnavailableError as error:
        return error.reason
    return ""


def _url(servers: list[RedisServer]) -> str:
    return "redis+cluster://" + ",".join(f"127.0.0.1:{server.port}" for server in servers)
