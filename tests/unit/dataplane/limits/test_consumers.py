"""Limits and budgets of consumers over HTTP: YAML in, statuses, headers and metrics out; with Redis and without."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import openai
import pytest

from merit_crds.push import PODS_HEADER, VERSION_PATH
from merit_dataplane.limits.disk import BudgetDisk
from tests.support.clock import Clock
from tests.support.consumers import CHAT, COST, limited
from tests.support.gateway import PUSH_TOKEN, Running, eventually
from tests.support.redis_servers import SECONDS, is_on, needs_redis, redis_server

BOTH = ["alone", pytest.param("shared", marks=needs_redis)]
TEN = 'budgets: [{period: Day, amount: "0.02"}]'
"""Pays ten answers."""


@pytest.fixture(params=BOTH)
async def redis(request: pytest.FixtureRequest) -> AsyncIterator[str]:
    """URL of a Redis, or nothing."""
    if request.param == "alone":
        yield ""
        return
    async with redis_server() as server:
        yield server.url


async def served(merit: Running, number: int) -> list[int]:
    return [(await merit.post(CHAT)).status_code for _ in range(number)]


async def test_requests_per_minute(redis: str) -> None:
    async with limited("limits: {requestsPerMinute: 5}", redis=redis) as merit:
        answers = [await merit.post(CHAT) for _ in range(7)]
        assert [a.status_code for a in answers] == [200] * 5 + [429] * 2
        assert [a.headers["x-ratelimit-remaining-requests"] for a in answers[:5]] == ["4", "3", "2", "1", "0"]
        assert answers[0].headers["x-ratelimit-limit-requests"] == "5"
        error = answers[5].json()["error"]
        assert (error["type"], error["code"]) == ("requests", "rate_limit_exceeded")
        assert 0 < int(answers[5].headers["retry-after"]) <= 62
        assert 0 < int(answers[5].headers["retry-after-ms"]) <= 62_000
        by = "shared" if redis else "alone"
        metrics = await merit.metrics()
        assert f'merit_admissions_total{{by="{by}"}}' in metrics
        assert 'merit_limit_refusals_total{consumer="default/tests",limit="requests"} 2.0' in metrics
        with pytest.raises(openai.RateLimitError):
            await merit.client().chat.completions.create(model="chat", messages=[{"role": "user", "content": "x"}])


async def test_tokens_per_minute_are_corrected_by_usage(redis: str) -> None:
    """The first is expected to take some 260 tokens and takes 1,500."""
    async with limited("limits: {tokensPerMinute: 4000}", redis=redis) as merit:
        answers = []
        for _ in range(5):
            answers.append(await merit.post(CHAT))
            await asyncio.sleep(0.1)  # a report is sent after 0.05 s
        assert [a.status_code for a in answers[:2]] == [200] * 2
        assert answers[-1].status_code == 429
        assert answers[-1].json()["error"]["type"] == "tokens"
        assert answers[1].headers["x-ratelimit-limit-tokens"] == "4000"


async def test_a_request_that_never_fits_is_not_to_be_tried_again(redis: str) -> None:
    async with limited("limits: {tokensPerMinute: 10}", redis=redis) as merit:
        answer = await merit.post(CHAT)
        assert answer.status_code == 429
        assert "more than the 10 per minute" in answer.json()["error"]["message"]
        assert answer.headers["x-should-retry"] == "false"


async def test_requests_at_once(redis: str) -> None:
    go = asyncio.Event()

    async def slow(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await go.wait()
        writer.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 14\r\n\r\n" + b'{"choices":[]}'
        )

    async with limited("limits: {concurrentRequests: 2}", redis=redis, script=slow) as merit:
        waiting = [asyncio.create_task(merit.post(CHAT)) for _ in range(2)]
        await eventually(lambda: merit.parts.ledger.in_flight == 2, "do not wait")
        await asyncio.sleep(0.05)
        answer = await merit.post(CHAT)
        assert answer.status_code == 429
        assert "2 requests of this consumer" in answer.json()["error"]["message"]
        go.set()
        assert [(await task).status_code for task in waiting] == [200, 200]
        await asyncio.sleep(0.2)
        assert (await merit.post(CHAT)).status_code == 200


async def test_a_client_that_goes_away_frees_its_place(redis: str) -> None:
    async def never(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()

    async with limited("limits: {concurrentRequests: 1}", redis=redis, script=never) as merit:
        with contextlib.suppress(Exception):
            await merit.http.post(
                f"{merit.url}/v1/chat/completions", json=CHAT, timeout=0.3,
                headers={"authorization": "Bearer merit-test-consumer-key-0001"},
            )  # fmt: skip
        await eventually(lambda: merit.parts.ledger.in_flight == 0, "is still served")
        (account,) = merit.parts.holder.live.consumers
        assert (account.in_flight, account.reserved) == (0, 0)


async def test_a_budget_is_spent_to_within_one_request_and_begins_anew(redis: str, clock: Clock) -> None:
    clock.set("2026-11-25T22:00:00+00:00")
    zone = TEN.replace("0.02", "0.0201").replace("}]", ", timeZone: Europe/Berlin}]")
    async with limited(zone, redis=redis) as merit:
        statuses = await served(merit, 14)
        assert 9 <= statuses.count(200) <= 11
        assert statuses == sorted(statuses)
        answer = await merit.post(CHAT)
        error = answer.json()["error"]
        assert (error["type"], error["code"]) == ("insufficient_quota", "insufficient_quota")
        assert "begins anew at 2026-11-25T23:00:00Z" in error["message"]
        assert (answer.headers["retry-after"], answer.headers["x-should-retry"]) == ("3600", "false")
        metrics = await merit.metrics()
        assert 'merit_budget_usd{consumer="default/tests",period="day"} 0.0201' in metrics
        spent = next(li for li in metrics.splitlines() if li.startswith("merit_budget_spent_usd"))
        assert abs(float(spent.split()[-1]) - statuses.count(200) * COST) < 1e-9
        clock.set("2026-11-25T23:00:00+00:00")
        assert (await merit.post(CHAT)).status_code == 200


async def test_a_spent_budget_leads_to_the_cheaper_tier(redis: str) -> None:
    async with limited(TEN.replace("}]", ", tierWhenSpent: cheap}]"), redis=redis) as merit:
        answers = [await merit.post(CHAT) for _ in range(15)]
        assert {a.status_code for a in answers} == {200}
        tiers = [a.headers["x-merit-tier"] for a in answers]
        assert 9 <= tiers.count("main") <= 11
        assert tiers == sorted(tiers, reverse=True)


async def test_a_tier_that_the_route_lacks_is_a_refusal(redis: str) -> None:
    async with limited(TEN.replace("}]", ", tierWhenSpent: none}]"), redis=redis) as merit:
        assert (await served(merit, 14))[-1] == 429


async def test_what_fails_upstream_costs_nothing(redis: str) -> None:
    async def broken(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}")

    async with limited(TEN, redis=redis, script=broken) as merit:
        assert set(await served(merit, 30)) == {400}
        (account,) = merit.parts.holder.live.consumers
        assert (account.in_flight, account.reserved, account.budgets[0].total()) == (0, 0, 0)


async def test_pods_without_redis_have_shares() -> None:
    async with limited("limits: {requestsPerMinute: 9}, " + TEN) as merit:
        merit.parts.fleet.pods = 3
        assert (await served(merit, 9)).count(200) == 3


async def test_the_operator_tells_how_many_pods_there_are() -> None:
    async with limited("limits: {requestsPerMinute: 9}") as merit:
        for told, known in (("3", 3), ("0", 3), ("-1", 3), ("many", 3), ("1000000", 3), ("100000", 100_000)):
            headers = {"authorization": f"Bearer {PUSH_TOKEN}", PODS_HEADER: told}
            await merit.http.get(merit.admin_url + VERSION_PATH, headers=headers)
            assert merit.parts.fleet.pods == known
        await merit.http.get(merit.admin_url + VERSION_PATH, headers={PODS_HEADER: "7"})
        assert merit.parts.fleet.pods == 100_000  # without the token nobody is believed


async def test_new_limits_count_what_was_used(redis: str) -> None:
    async with limited("limits: {requestsPerMinute: 5}", redis=redis) as merit:
        assert (await served(merit, 4)).count(200) == 4
        other = [d.replace("requestsPerMinute: 5", "requestsPerMinute: 6") for d in merit.documents]
        await merit.apply(*other)
        assert (await served(merit, 4)).count(200) == 2


@needs_redis
async def test_two_pods_and_one_redis() -> None:
    async with redis_server() as server:
        extra = "limits: {requestsPerMinute: 10}, " + TEN.replace("0.02", "0.0121")
        async with limited(extra, redis=server.url) as one, limited(extra, redis=server.url) as other:
            statuses = [status for pod in (one, other) * 8 for status in await served(pod, 1)]
            assert 5 <= statuses.count(200) <= 7


@needs_redis
async def test_redis_dies_under_way_and_what_it_knew_counts_on() -> None:
    """Two pods have spent 6 of 10 answers. Of the 4 that are left each may spend its share."""
    async with redis_server() as server:  # noqa: SIM117 # one after the other
        async with limited(TEN, redis=server.url) as one, limited(TEN, redis=server.url) as other:
            one.parts.fleet.pods = other.parts.fleet.pods = 2
            for pod in (one, other) * 3:
                assert await served(pod, 1) == [200]
                await asyncio.sleep(0.08)  # its report
            for pod in (one, other):
                (account,) = pod.parts.holder.live.consumers
                assert account.budgets[0].total() >= 4 * 2 * 10**9
            await server.kill()
            state = one.parts.state
            assert state is not None
            await eventually(lambda: not is_on(state), "is still asked", SECONDS)
            counts = [(await served(pod, 8)).count(200) for pod in (one, other)]
            assert all(1 <= count <= 3 for count in counts)
            assert 6 + sum(counts) <= 11


async def test_what_was_spent_outlives_the_process(tmp_path: Path) -> None:
    async with limited(TEN) as merit:
        assert (await served(merit, 6)).count(200) == 6
        await BudgetDisk(tmp_path, merit.parts.holder.live.consumers).flush()
    async with limited(TEN, before=lambda parts: BudgetDisk(tmp_path, parts.holder.live.consumers).load()) as merit:
        assert 3 <= (await served(merit, 8)).count(200) <= 5
    (tmp_path / "budgets.json").write_text("{broken", encoding="utf-8")
    async with limited(TEN, before=lambda parts: BudgetDisk(tmp_path, parts.holder.live.consumers).load()) as merit:
        assert (await served(merit, 6)).count(200) == 6
