"""What is left of a commitment, shared by pods through a real Redis."""

import contextlib
from collections.abc import AsyncIterator

import pytest

from merit_dataplane.commitments.by_redis import CommitmentsByRedis
from merit_dataplane.shared_state import SharedState
from tests.support.clock import Clock
from tests.support.commitments import answer, asked, committed
from tests.support.gateway import Running, gateway, scripted
from tests.support.redis_servers import needs_redis, redis_server, shared_state
from tests.support.resources import CONSUMER, prices, provider, route

pytestmark = [pytest.mark.asyncio(loop_scope="session"), needs_redis]
USD = 10**12
TERMS = 'expires: "2027-01-01T00:00:00Z"\n      volume: {prepaid: "0.1"}'


@contextlib.asynccontextmanager
async def pods(*states: SharedState) -> AsyncIterator[list[tuple[Running, CommitmentsByRedis]]]:
    """A pod for each link; every request draws 0.02 USD."""
    async with contextlib.AsyncExitStack() as stack:
        dear, cheap = [await stack.enter_async_context(scripted(answer())) for _ in range(2)]
        vendors = (provider("dear", dear), provider("cheap", cheap), committed(TERMS), prices("cheap", "1", "1"))
        found = []
        for state in states:
            made = gateway(*vendors, route("dear", "cheap"), CONSUMER, alone=False)
            merit = await stack.enter_async_context(made)
            found.append((merit, CommitmentsByRedis(state, merit.parts.holder.live.commitments)))
        yield found


def drawn(merit: Running) -> int:
    (account,) = merit.parts.holder.live.commitments
    return account.drawn + account.others


async def test_what_one_pod_draws_the_others_know(clock: Clock) -> None:
    clock.set("2026-06-01T00:00:00Z")
    async with (
        redis_server() as server,
        shared_state(server.url) as one,
        shared_state(server.url) as two,
        pods(one, two) as ((first, told), (second, heard)),
    ):
        assert [(await asked(first))["who"] for _ in range(3)] == ["dear"] * 3
        assert (await asked(second))["who"] == "dear"
        for _ in range(3):  # what is told twice counts once
            await told.exchange()
        await heard.exchange()
        assert drawn(second) == 8 * USD // 100
        assert [(await asked(second))["who"] for _ in range(2)] == ["dear", "cheap"]
        await heard.exchange()
        await told.exchange()
        assert (await asked(first))["who"] == "cheap"
        (key,) = await server("KEYS", "merit:commitments:*")
        assert b"dear" not in key  # a hash, no name
        assert 0 < await server("TTL", key) <= 40 * 86_400


async def test_a_redis_that_lost_its_data_gets_it_again(clock: Clock) -> None:
    clock.set("2026-06-01T00:00:00Z")
    async with (
        redis_server() as server,
        shared_state(server.url) as one,
        shared_state(server.url) as two,
        pods(one, two) as ((first, told), (second, heard)),
    ):
        for merit in (first, second):
            await asked(merit)
        await told.exchange()
        await heard.exchange()
        await server("FLUSHALL")
        await heard.exchange()
        assert drawn(second) == 4 * USD // 100  # what is known stays known
        await told.exchange()
        await heard.exchange()
        assert drawn(first) == drawn(second) == 4 * USD // 100


async def test_without_redis_each_goes_on_with_what_it_knows(clock: Clock) -> None:
    clock.set("2026-06-01T00:00:00Z")
    async with redis_server() as server, shared_state(server.url) as one, pods(one) as ((merit, link),):
        await asked(merit)
        await server.kill()
        await link.exchange()
        assert [(await asked(merit))["who"] for _ in range(5)] == ["dear"] * 4 + ["cheap"]
