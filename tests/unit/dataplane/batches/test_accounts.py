"""What batches cost: booked once, whoever looks, and off the budgets before they begin."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import openai
import pytest
import pytest_asyncio

from merit_dataplane.fake_provider.behaviour import Behaviour
from merit_dataplane.fake_provider.server import FakeProvider
from tests.support.consumers import consumer, settings
from tests.support.gateway import Running, eventually, gateway
from tests.support.redis_servers import SECONDS, is_on, needs_redis, redis_server
from tests.support.resources import CONSUMER, provider, route
from tests.unit.dataplane.batches.worlds import a_line, documents, lines_of, priced, run, served

pytestmark = pytest.mark.asyncio(loop_scope="session")
UNDER_WAY = Behaviour(batch_seconds=3600)


@pytest_asyncio.fixture(loop_scope="session", params=["alone", pytest.param("shared", marks=needs_redis)])
async def redis(request: pytest.FixtureRequest) -> AsyncIterator[str]:
    """The URL of an empty Redis, or nothing."""
    if request.param == "alone":
        yield ""
        return
    async with redis_server() as server:
        yield server.url


async def on(merit: Running) -> None:
    state = merit.parts.state
    if state is not None:
        await eventually(lambda: is_on(state), "Redis is not asked", SECONDS)


async def booked(merit: Running) -> list[dict[str, Any]]:
    await merit.parts.desk.watch.booked()
    return lines_of(merit)


def cost(lines: list[dict[str, Any]]) -> Decimal:
    return sum((Decimal(line.get("cost") or "0") for line in lines), Decimal(0))


def only_batch(vendor: FakeProvider) -> dict[str, Any]:
    (batch,) = vendor.vendor._storage._batches.values()
    return batch


async def spent(merit: Running) -> float:
    found = re.search(r"merit_budget_spent_usd\{[^}]*\} (\S+)", await merit.metrics())
    assert found is not None
    return float(found[1])


async def test_a_budget_holds_batches_that_are_under_way_and_gets_back_what_they_did_not_use(redis: str) -> None:
    limits = 'budgets: [{period: Month, amount: "0.00075"}]'  # three lines are expected to cost 0.0004
    async with FakeProvider(UNDER_WAY) as vendor, gateway(redis=settings(redis) if redis else None) as merit:
        await merit.apply(*documents(vendor.url)[:3], consumer(limits))
        await on(merit)
        client, lines = merit.client(), [a_line(1), a_line(2), a_line(3)]
        first = await run(client, *lines)
        ahead = await spent(merit)
        assert 0.000376 < ahead < 0.0005
        with pytest.raises(openai.RateLimitError) as refused:
            await run(client, *lines)
        assert refused.value.code == "insufficient_quota"
        assert len(vendor.vendor._storage._batches) == 1
        assert (await client.batches.retrieve(first.id)).status == "in_progress"  # results can always be fetched

        only_batch(vendor)["_until"] = 0
        await client.batches.retrieve(first.id)
        real = cost(await booked(merit))
        assert 0 < real < Decimal(ahead)
        assert await spent(merit) == pytest.approx(float(real), rel=1e-6)
        if redis:
            await asyncio.sleep(0.1)  # the others hear of it
        await run(client, *lines)
        assert await spent(merit) == pytest.approx(float(real) + ahead, rel=1e-6)


async def test_a_batch_that_was_not_created_costs_nothing() -> None:
    limits = 'budgets: [{period: Day, amount: "1"}]'
    async with FakeProvider() as vendor, gateway(*documents(vendor.url)[:3], consumer(limits)) as merit:
        client = merit.client()
        with pytest.raises(openai.BadRequestError, match="metadata"):
            await run(client, a_line(1), metadata={"merit": "x"})
        file = await client.files.create(file=("x", json.dumps(a_line(1)).encode()), purpose="batch")
        vendor.behaviour = Behaviour(status=400)
        with pytest.raises(openai.BadRequestError, match="Simulated"):
            await client.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h")
        assert await spent(merit) == 0


async def test_many_looks_book_once() -> None:
    async with served() as (merit, _):
        client = merit.client()
        batch = await run(client, a_line(1), a_line(2))
        await asyncio.gather(*(client.batches.retrieve(batch.id) for _ in range(5)))
        await client.batches.list()
        await merit.parts.desk.watch.look()
        assert len(await booked(merit)) == 2
        await client.batches.retrieve(batch.id)
        assert len(await booked(merit)) == 2
        metrics = await merit.metrics()
        assert 'merit_batches_total{event="completed",model="a-model",provider="default/a"} 1.0' in metrics
        counted = [
            line for line in metrics.splitlines() if line.startswith("merit_requests_total{") and "default/a" in line
        ]
        assert [line.split()[-1] for line in counted] == ["2.0"]


@needs_redis
async def test_two_pods_with_redis_book_once() -> None:
    async with redis_server() as server, FakeProvider() as vendor:
        shared = settings(server.url)
        async with gateway(redis=shared) as one, gateway(redis=shared, alone=False) as other:
            for merit in (one, other):
                await merit.apply(*documents(vendor.url))
                await on(merit)
            batch = await run(one.client(), a_line(1), a_line(2))
            await asyncio.gather(*(m.client().batches.retrieve(batch.id) for m in (one, other) for _ in range(3)))
            assert len(await booked(one)) + len(await booked(other)) == 2
            await other.parts.desk.watch.look()
            assert len(await booked(one)) + len(await booked(other)) == 2
            assert await server("DBSIZE") > 0


@needs_redis
async def test_while_redis_is_away_nothing_is_booked_and_later_it_is() -> None:
    async with redis_server() as server, FakeProvider() as vendor, gateway(redis=settings(server.url)) as merit:
        await merit.apply(*documents(vendor.url))
        await on(merit)
        batch = await run(merit.client(), a_line(1))
        await server.kill()
        assert (await merit.client().batches.retrieve(batch.id)).status == "completed"
        assert await booked(merit) == []
        await server.start()
        await on(merit)
        await merit.client().batches.retrieve(batch.id)
        assert len(await booked(merit)) == 1


async def test_a_batch_that_nobody_asks_for_is_booked() -> None:
    async with served(behaviour=UNDER_WAY) as (merit, vendor):
        await run(merit.client(), a_line(1))
        watch = merit.parts.desk.watch
        await watch.look()
        assert await booked(merit) == []
        only_batch(vendor)["_until"] = 0
        await watch.look()
        assert len(await booked(merit)) == 1


async def test_a_restart_forgets_no_batch_and_books_none_twice(tmp_path: Path) -> None:
    async with FakeProvider(UNDER_WAY) as vendor:
        async with gateway(*documents(vendor.url)) as merit:
            await run(merit.client(), a_line(1))
            await merit.parts.desk.watch.look()
            assert await booked(merit) == []
        only_batch(vendor)["_until"] = 0
        async with gateway(*documents(vendor.url)) as merit:
            await merit.parts.desk.watch.look()
            assert len(await booked(merit)) == 1
        only_batch(vendor)["completed_at"] -= 60
        async with gateway(*documents(vendor.url)) as merit:  # it ended before this one began, which keeps nothing
            await merit.parts.desk.watch.look()
            assert await booked(merit) == []


async def test_with_a_state_folder_what_ended_meanwhile_is_booked_once(tmp_path: Path) -> None:
    async with FakeProvider() as vendor:
        async with gateway(*documents(vendor.url), state_dir=tmp_path) as merit:
            batch = await run(merit.client(), a_line(1))
            await merit.client().batches.retrieve(batch.id)
            assert len(await booked(merit)) == 1
            vendor.behaviour = UNDER_WAY
            late = await run(merit.client(), a_line(2), a_line(3))
        made = vendor.vendor._storage._batches
        for each in made.values():
            each["_until"] = 0
        told = []
        for _ in range(2):
            async with gateway(*documents(vendor.url), state_dir=tmp_path) as merit:
                assert (await merit.client().batches.retrieve(late.id)).status == "completed"
                await merit.parts.desk.watch.look()
                told.append(len(await booked(merit)))
    assert told == [2, 0]


async def test_what_is_not_booked_is_not_deleted() -> None:
    async with served() as (merit, vendor):
        client = merit.client()
        batch = await run(client, a_line(1))
        await merit.apply(provider("a", vendor.url), priced("a", "1").replace("a-model", "b-model"),
                          route("a").replace("a-model", "b-model"), CONSUMER)  # fmt: skip
        output = (await client.batches.retrieve(batch.id)).output_file_id
        assert output is not None
        with pytest.raises(openai.InternalServerError) as refused:
            await client.files.delete(output)
        assert (refused.value.status_code, refused.value.code) == (503, "not_booked")
        assert await booked(merit) == []
        await merit.apply(*documents(vendor.url))
        await client.files.delete(output)
        assert len(await booked(merit)) == 1


async def test_where_the_output_is_gone_the_batchs_own_usage_counts() -> None:
    async with served(behaviour=UNDER_WAY) as (merit, vendor):
        client = merit.client()
        batch = await run(client, a_line(1), a_line(2))
        found = only_batch(vendor)
        found["_until"] = 0
        vendor.vendor._storage._look(found)
        del vendor.vendor._storage._files[found["output_file_id"]]
        await client.batches.retrieve(batch.id)
        (line,) = await booked(merit)
        used = found["usage"]
        assert (line["input_tokens"], line["output_tokens"]) == (used["input_tokens"], used["output_tokens"])
        assert line["estimated"]
        assert Decimal(line["cost"]) == Decimal(used["total_tokens"]) / 2 / 10**6
    async with served(behaviour=UNDER_WAY) as (merit, vendor):
        batch = await run(merit.client(), a_line(1), a_line(2))
        found = only_batch(vendor)
        found["_until"] = 0
        vendor.vendor._storage._look(found)
        del vendor.vendor._storage._files[found["output_file_id"]]
        found["usage"] = None
        await merit.client().batches.retrieve(batch.id)
        (line,) = await booked(merit)  # nobody says anything: what was expected
        assert line["estimated"]
        assert Decimal(line["cost"]) == pytest.approx(2 * Decimal(line["expected_cost"]), abs=Decimal("1e-9"))


async def test_limits_per_minute_count_calls() -> None:
    async with FakeProvider() as vendor:
        limited = (*documents(vendor.url)[:3], consumer("limits: {requestsPerMinute: 2}"))
        async with gateway(*limited) as merit:
            client = merit.client()
            await client.files.list()
            await client.batches.list()
            with pytest.raises(openai.RateLimitError) as refused:
                await client.files.list()
            assert refused.value.code == "rate_limit_exceeded"


async def test_prices_are_those_of_the_batchs_beginning() -> None:
    moved = (
        'serviceTiers: [{name: batch, percentOff: "50"}]\n'
        "      periods: [{validFrom: 2020-01-01T00:00:00Z, validTo: 2021-01-01T00:00:00Z, "
        'prices: {input: "8", output: "8"}, serviceTiers: [{name: batch, percentOff: "75"}]}]'
    )
    async with FakeProvider(UNDER_WAY) as vendor, gateway() as merit:
        await merit.apply(provider("a", vendor.url), priced("a", "1", moved), route("a"), CONSUMER)
        batch = await run(merit.client(), a_line(1))
        found = only_batch(vendor)
        found["_until"], found["created_at"] = 0, 1_590_000_000  # in 2020
        await merit.client().batches.retrieve(batch.id)
        (line,) = await booked(merit)
    assert line["rates"]["input"] == "2"
    assert line["billed_at"] == line["time"] == 1_590_000_000
    assert Decimal(line["cost"]) == Decimal(line["input_tokens"] + line["output_tokens"]) * 2 / 10**6


async def test_what_is_committed_to_pays_for_batches() -> None:
    terms = '  commitments: [{name: credit, starts: "2020-01-01T00:00:00Z", expires: "2090-01-01T00:00:00Z", '
    terms += 'volume: {prepaid: "100"}}]\n'
    listed = priced("a", "1").replace("  models:\n", f"{terms}  models:\n")
    async with FakeProvider() as vendor, gateway() as merit:
        await merit.apply(provider("a", vendor.url), listed, route("a"), CONSUMER)
        batch = await run(merit.client(), a_line(1))
        await merit.client().batches.retrieve(batch.id)
        (line,) = await booked(merit)
    assert Decimal(line["cost"]) == 0
    assert Decimal(line["list_cost"]) == Decimal(line["input_tokens"] + line["output_tokens"]) / 2 / 10**6
    assert line["commitments"][0]["commitment"] == "credit"
