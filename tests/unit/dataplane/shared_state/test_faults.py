"""Redis dead, frozen, slow, full, read-only, loading, restarted, with a wrong password, with keys of a wrong type."""

import asyncio
import shutil
import signal
import time
from pathlib import Path

import pytest
from redis.asyncio import Redis

from merit_dataplane.redis_settings import Credentials
from merit_dataplane.shared_state import Script, SharedState, SharedStateUnavailableError
from tests.support.gateway import eventually, free_port
from tests.support.redis_servers import SECONDS, distant, is_on, needs_redis, redis_server, shared_state

pytestmark = [needs_redis, pytest.mark.slow]
ADD = Script("return redis.call('INCRBY', KEYS[1], ARGV[1])")
READ = Script("return redis.call('GET', KEYS[1])", writes=False)


async def _write(state: SharedState) -> str:
    """Empty, or why it failed."""
    try:
        await state.run(ADD, [state.key("n", "a")], [1], budget=state.budget())
    except SharedStateUnavailableError as error:
        return error.reason
    return ""


async def _read(state: SharedState) -> str:
    try:
        await state.read(state.key("n", "a"), budget=state.budget())
    except SharedStateUnavailableError as error:
        return error.reason
    return ""


async def _costs_nothing(state: SharedState) -> None:
    """Refused at once, a thousand times: nothing is sent, nobody waits."""
    started = time.process_time()
    for _ in range(1000):
        assert await _write(state)
    assert time.process_time() - started < 0.5  # 0.5 ms each; measured: 2 us


async def _off(state: SharedState, what: str = "off") -> None:
    await eventually(lambda: what in state.describe(), f"is on: {state.describe()}", SECONDS)


async def _on(state: SharedState) -> None:
    await eventually(lambda: is_on(state), f"is not on: {state.describe()}", SECONDS)


async def test_nobody_waits_for_a_redis_that_was_never_there() -> None:
    async with shared_state(f"redis://127.0.0.1:{free_port()}", on=False) as state:
        assert await _write(state) == "starting"
        await _off(state, "reads off (connection), writes off (connection)")
        await _costs_nothing(state)
        assert state.keep(b"k", b"v", seconds=60)  # it is sent if Redis comes in time


async def test_killed_and_started_again() -> None:
    async with redis_server() as server, shared_state(server.url) as state:
        assert not await _write(state)
        await server.kill()
        failures = [await _write(state) for _ in range(20)]
        assert all(failures)
        await _off(state)
        await _costs_nothing(state)
        assert state.later(ADD, [state.key("n", "a")], [10], good_for=60)
        await server.start()
        await _on(state)
        await eventually(lambda: state.counts.outcomes["later", "answered"] == 1, "is not sent", SECONDS)
        assert await state.run(READ, [state.key("n", "a")], budget=state.budget()) == b"10"


async def test_frozen_costs_five_requests_their_budget_and_the_others_nothing() -> None:
    async with redis_server() as server, shared_state(server.url, budget_seconds=0.02) as state:
        server.send(signal.SIGSTOP)
        asked = 0
        while not state.breakers()[1][1].open:
            assert await _write(state)
            asked += 1
        waited = state.counts.outcomes["write", "timeout"]
        assert waited <= asked < 12  # five in a row, or the heartbeat was first; more where this machine itself is late
        await _costs_nothing(state)
        assert state.counts.outcomes["write", "timeout"] == waited
        server.send(signal.SIGCONT)
        await _on(state)
        assert not await _read(state)


async def test_slow_is_off_until_it_is_quick_again() -> None:
    """A server that answers, but later than a request would wait, stays off: its probe has the same budget."""
    async with (
        redis_server() as server,
        distant(server, 0.0) as distance,
        shared_state(distance.url, budget_seconds=0.05) as state,
    ):
        distance.seconds = 0.12
        while not state.breakers()[1][1].open:
            await _write(state)
        await asyncio.sleep(1.0)
        assert not is_on(state)
        distance.seconds = 0.0
        await _on(state)


async def test_connections_that_the_server_closes_are_made_again() -> None:
    async with redis_server() as server, shared_state(server.url) as state:
        assert not await _write(state)
        await server("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        assert not await _write(state)


async def test_full_serves_reads() -> None:
    async with redis_server() as server, shared_state(server.url) as state:
        assert not await _write(state)
        await server("CONFIG", "SET", "maxmemory", "1")
        await _off(state, "writes off (full)")
        assert state.describe() == "shared state: writes off (full)"
        assert not await _read(state)
        await _costs_nothing(state)
        await server("CONFIG", "SET", "maxmemory", "0")
        await _on(state)


async def test_a_replica_serves_reads() -> None:
    async with redis_server() as server, shared_state(server.url) as state:
        await server("REPLICAOF", "127.0.0.1", free_port())
        await server("CONFIG", "SET", "replica-serve-stale-data", "yes")
        await _off(state, "writes off (read_only)")
        assert not await _read(state)
        await server("REPLICAOF", "NO", "ONE")
        await _on(state)


async def test_a_disk_that_fails_stops_writes() -> None:
    async with redis_server() as server, shared_state(server.url) as state:
        await server("CONFIG", "SET", "save", "3600 1")
        shutil.rmtree(server.folder)
        await server("BGSAVE")
        await _off(state, "writes off (disk)")
        assert not await _read(state)
        await server("CONFIG", "SET", "stop-writes-on-bgsave-error", "no")
        await _on(state)


async def test_loading_is_not_asked() -> None:
    async with redis_server("--key-load-delay", "2000", "--loading-process-events-interval-bytes", "1024") as server:
        async with Redis(port=server.port, protocol=2) as client, client.pipeline(transaction=False) as pipe:
            for i in range(1500):  # 2 ms each
                pipe.set(f"k{i}", "v" * 100)
            await pipe.execute()
        await server("SAVE")
        async with shared_state(server.url) as state:
            await server.kill()
            await _off(state)
            task = asyncio.create_task(server.start())  # ends when it has loaded: it refuses PING before
            await _off(state, "off (loading)")
            await _costs_nothing(state)
            await task
            await _on(state)


async def test_a_key_of_a_wrong_type_is_removed_and_takes_nobody_with_it() -> None:
    async with redis_server() as server, shared_state(server.url) as state:
        key = state.key("n", "a")
        await server("RPUSH", key, "not", "a", "number")
        assert await _write(state) == "wrong_type"
        assert is_on(state)
        await eventually(lambda: state.counts.outcomes["later", "answered"] == 1, "is not removed", SECONDS)
        assert not await _write(state)
        await server("DEL", key)
        await server("HSET", key, "a", "1")
        assert await _read(state) == "wrong_type"


async def test_passwords_are_read_anew_and_never_shown(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "password"
    file.write_text("wrong-canary-000\n", encoding="utf-8")
    caplog.set_level("DEBUG")
    async with redis_server() as server:
        await server("ACL", "SETUSER", "merit", "on", ">right-canary-111", "~merit:*", "+@all")
        await server("CONFIG", "SET", "requirepass", "other-canary-222")
        credentials = Credentials("merit", file)
        async with shared_state(server.url, on=False, credentials=credentials) as state:
            await _off(state, "off (credentials)")
            await _costs_nothing(state)
            file.write_text("right-canary-111\n", encoding="utf-8")
            await _on(state)
            assert not await _write(state)
            file.unlink()
            shown = repr(credentials) + state.describe() + caplog.text
    assert "canary" not in shown
