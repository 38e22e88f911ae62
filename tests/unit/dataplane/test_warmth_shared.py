"""Warm prompts, known to all pods through a real Redis: what one pod has warmed another prices as warm."""

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from merit_dataplane.redis_settings import RedisAddress, RedisSettings
from merit_dataplane.warmth.table import PrefixTable
from merit_dataplane.warmth.warm_feed import WarmFeed
from tests.support.gateway import Running, eventually, gateway, scripted
from tests.support.redis_servers import RedisServer, is_on, needs_redis, redis_server, shared_state
from tests.support.resources import CONSUMER, prices, provider, route
from tests.unit.dataplane.test_warmth import SYSTEM, Vendor, body

pytestmark = [pytest.mark.asyncio(loop_scope="session"), needs_redis]

SECONDS = 30.0
SECRET = b"a key that all pods share 0123456789"


@contextlib.asynccontextmanager
async def pods(*secrets: str, folder: Path) -> AsyncIterator[tuple[RedisServer, list[Running], Vendor]]:
    """A pod for each secret; `dear` costs twice what `cheap` does, and a tenth of that for what it has in its cache."""
    async with contextlib.AsyncExitStack() as stack:
        redis = await stack.enter_async_context(redis_server())
        cheap, dear = Vendor(), Vendor(cached=3500)
        for vendor in (cheap, dear):
            vendor.url = await stack.enter_async_context(scripted(vendor.script))
        documents = [CONSUMER, provider("cheap", cheap.url), provider("dear", dear.url),
                     prices("cheap", "1", "1"), prices("dear", "2", "2", more_prices=', cachedInput: "0.2"'),
                     route("cheap", "dear"), route("dear", model="only-dear", name="only-dear")]  # fmt: skip
        settings = RedisSettings(RedisAddress.parse(redis.url), budget_seconds=1.0)
        running = []
        for number, secret in enumerate(secrets):
            key_file = folder / f"{number}.key"
            key_file.write_text(secret)
            starting = gateway(*documents, redis=settings, cache_key_file=key_file, alone=False)
            running.append(await stack.enter_async_context(starting))
        for pod in running:
            state = pod.parts.state
            assert state is not None
            await eventually(functools.partial(is_on, state), "Redis is off", SECONDS)
        yield redis, running, dear


async def warmed(pod: Running) -> None:
    for _ in range(3):
        assert (await pod.post(body(model="only-dear"))).status_code == 200


async def expects(pod: Running) -> int:
    """Tokens that `dear` is expected to have in its cache, as this pod knows it."""
    order = (await pod.post(body(), path="/v1/explain")).json()["meritOrder"]
    return next(int(bid["expectedCachedInputTokens"]) for bid in order if bid["provider"] == "default/dear")


async def test_what_one_pod_has_warmed_the_others_price_as_warm(tmp_path: Path) -> None:
    async with pods("one secret 0123456789", "one secret 0123456789", folder=tmp_path) as (redis, (first, second), _):
        assert await expects(second) == 0
        await warmed(first)

        async def heard() -> bool:
            return await expects(second) > 2000

        await eventually(heard, "the other pod does not hear of it", SECONDS)
        answer = await second.post(body("When?"))
        assert answer.headers["x-merit-provider"] == "dear", "it was never asked by this pod, and is dearer when cold"
        cold = await second.post(body(system="W" + SYSTEM[1:]))
        assert cold.headers["x-merit-provider"] == "cheap"
        everything = b"".join([await redis("DUMP", key) or b"" for key in await redis("KEYS", "*")])
        assert b"invoices" not in everything


async def test_health_stands_above_what_is_warm_elsewhere(tmp_path: Path) -> None:
    async with pods("one secret 0123456789", "one secret 0123456789", folder=tmp_path) as (_, (first, second), dear):
        await warmed(first)

        async def heard() -> bool:
            return await expects(second) > 2000

        await eventually(heard, "the other pod does not hear of it", SECONDS)
        dear.status = "500 Internal Server Error"
        for _ in range(6):
            answer = await second.post(body())
            assert (answer.status_code, answer.headers["x-merit-provider"]) == (200, "cheap")


async def test_pods_with_another_secret_understand_nothing_and_believe_nothing(tmp_path: Path) -> None:
    async with pods("one secret 0123456789", "another one 0123456789", folder=tmp_path) as (redis, (first, second), _):
        await warmed(first)

        async def told() -> bool:
            return bool(await redis("KEYS", "merit:warm:*"))

        await eventually(told, "nothing is told", SECONDS)
        await asyncio.sleep(1.5)
        assert await expects(second) == 0
        assert (await second.post(body("When?"))).headers["x-merit-provider"] == "cheap"


async def test_a_pod_that_starts_reads_what_is_warm_and_passes_over_what_is_forged() -> None:
    async with redis_server() as redis, shared_state(redis.url) as state:
        old, new = (PrefixTable(secret=SECRET) for _ in range(2))
        old.tell(7, 1000.0)
        old.tell(7, 1010.0)  # within the same minute: told once
        old.tell(8, 1010.0)
        teller = WarmFeed(old, state, SECRET)
        teller.tell()
        (place,) = [key async for key in _keys(redis)]
        await redis("XADD", place, "*", "m", b"0" * 16 + (9).to_bytes(8))
        await redis("XADD", place, "*", "m", b"short")
        old.tell(10, 1020.0)
        teller.tell()

        async def there() -> bool:
            return int(await redis("XLEN", place)) == 4

        await eventually(there, "is not told", SECONDS)
        assert await WarmFeed(new, state, SECRET).hear() == 4
        assert [new.last_used(key) is not None for key in (7, 8, 9, 10)] == [True, True, False, True]
        listener = WarmFeed(PrefixTable(secret=SECRET), state, SECRET)
        assert [await listener.hear(), await listener.hear()] == [4, 0]


async def _keys(redis: RedisServer) -> AsyncIterator[bytes]:
    found: list[bytes] = []

    async def there() -> bool:
        found[:] = await redis("KEYS", "merit:warm:*")
        return bool(found)

    await eventually(there, "nothing is told", SECONDS)
    for key in found:
        yield key


async def test_what_is_told_is_bounded_and_only_where_somebody_listens() -> None:
    alone, shared = PrefixTable(), PrefixTable(secret=SECRET)
    for key in range(20_000):
        alone.tell(key, 1.0)
        shared.tell(key, 1.0)
    assert alone.news() == []
    assert len(shared.news()) == 2048
    assert shared.news() == []
    shared.heard(5, 0.5)
    assert shared.last_used(19_999) == 1.0
    assert PrefixTable(secret=SECRET).slot("a") == shared.slot("a") != shared.slot("b")
    assert PrefixTable().slot("a") != PrefixTable().slot("a")
