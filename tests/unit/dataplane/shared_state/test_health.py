"""What operators see of Redis: /readyz, metrics, the log; and that no request needs it."""

from pathlib import Path

import pytest

from merit_dataplane.redis_settings import RedisAddress, RedisSettings
from tests.support.gateway import eventually, gateway
from tests.support.merit_process import merit_serve
from tests.support.redis_servers import SECONDS, is_on, needs_redis, redis_server
from tests.unit.dataplane.conftest import Vendors

pytestmark = [needs_redis, pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]


async def test_ready_whatever_redis_does(vendors: Vendors) -> None:
    async with redis_server() as server:
        settings = RedisSettings(RedisAddress.parse(server.url), budget_seconds=1.0)
        async with gateway(*vendors.resources(), redis=settings) as merit:
            state = merit.parts.state
            assert state is not None
            await eventually(lambda: is_on(state), "is not on", SECONDS)
            ready = await merit.http.get(f"{merit.admin_url}/readyz")
            assert (ready.status_code, ready.text.splitlines()[1]) == (200, "shared state: on")
            metrics = await merit.metrics()
            assert 'merit_shared_state_up{kind="reads"} 1.0' in metrics
            await server.kill()
            await eventually(lambda: not is_on(state), "is still on", SECONDS)
            ready = await merit.http.get(f"{merit.admin_url}/readyz")
            assert ready.status_code == 200
            assert ready.text.splitlines()[1] == "shared state: reads off (connection), writes off (connection)"
            assert 'merit_shared_state_up{kind="writes"} 0.0' in await merit.metrics()
            body = {"model": "chat", "messages": [{"role": "user", "content": "Hello"}]}
            assert (await merit.post(body)).status_code == 200


async def test_a_process_with_a_redis_that_is_not_there(tmp_path: Path) -> None:
    async with merit_serve(tmp_path, "--redis-url", "redis://127.0.0.1:1/0") as merit:
        await merit.says("Redis Single 127.0.0.1:1: writes are still off (connection)")
