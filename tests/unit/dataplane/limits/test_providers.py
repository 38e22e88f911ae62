"""Limits of providers over HTTP: nothing is sent over them, by one pod or by two, with Redis and without."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest

from tests.support.consumers import ANSWER, CHAT, limited
from tests.support.gateway import Running, Script, eventually, says
from tests.support.redis_servers import needs_redis, redis_server

BOTH = ["alone", pytest.param("shared", marks=needs_redis)]
GOOD = json.dumps(ANSWER).encode()


@pytest.fixture(params=BOTH)
async def redis(request: pytest.FixtureRequest) -> AsyncIterator[str]:
    """URL of a Redis, or nothing."""
    if request.param == "alone":
        yield ""
        return
    async with redis_server() as server:
        yield server.url


class Counted:
    """A vendor that counts, and how many it has at once."""

    def __init__(self, seconds: float = 0.0):
        self.asked = self.at_once = self.most_at_once = 0
        self._seconds = seconds

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.asked += 1
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(self._seconds)
        self.at_once -= 1
        await says(GOOD)(reader, writer)


async def statuses(merit: Running, number: int) -> list[int]:
    return [(await merit.post(CHAT)).status_code for _ in range(number)]


async def test_requests_per_minute(redis: str) -> None:
    vendor = Counted()
    async with limited("", redis=redis, script=vendor, vendor="limits: {requestsPerMinute: 5}") as merit:
        found = await statuses(merit, 8)
        assert found == [200] * 5 + [429] * 3
        assert vendor.asked == 5
        answer = await merit.post(CHAT)
        assert answer.headers["retry-after"]
        assert "own_limit" in answer.json()["error"]["message"]


async def test_tokens_per_minute(redis: str) -> None:
    """Each answer takes 1,500."""
    vendor = Counted()
    async with limited("", redis=redis, script=vendor, vendor="limits: {tokensPerMinute: 4500}") as merit:
        for _ in range(8):
            await merit.post(CHAT)
            await asyncio.sleep(0.08)  # what was used is told after 0.05 s
        assert 2 <= vendor.asked <= 4


async def test_requests_at_once(redis: str) -> None:
    vendor = Counted(0.3)
    async with limited("", redis=redis, script=vendor, vendor="limits: {concurrentRequests: 3}") as merit:
        found = await asyncio.gather(*(merit.post(CHAT) for _ in range(9)))
        assert vendor.most_at_once == 3
        assert [a.status_code for a in found].count(200) == 3
        await asyncio.sleep(0.2)
        assert (await merit.post(CHAT)).status_code == 200


async def test_a_failed_attempt_gives_its_place_back(redis: str) -> None:
    answers = 0

    async def falls(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal answers
        answers += 1
        if answers < 3:
            writer.transport.abort()
        else:
            await says(GOOD)(reader, writer)

    async with limited("", redis=redis, script=falls, vendor="limits: {concurrentRequests: 1}") as merit:
        await eventually(lambda: _served(merit), "no place is given back", 10)
        usage = merit.parts.holder.live.account("default/vendor").usage
        assert usage is not None
        assert usage.in_flight == 0


async def _served(merit: Running) -> bool:
    return (await merit.post(CHAT)).status_code == 200


@needs_redis
async def test_two_pods_and_one_redis() -> None:
    vendors = Counted(), Counted()
    options = "limits: {requestsPerMinute: 10}"
    async with redis_server() as server:  # noqa: SIM117 # one after the other
        async with (
            limited("", redis=server.url, script=vendors[0], vendor=options) as one,
            limited("", redis=server.url, script=vendors[1], vendor=options) as other,
        ):
            for _ in range(8):
                await statuses(one, 1)
                await statuses(other, 1)
            assert vendors[0].asked + vendors[1].asked == 10


async def test_two_pods_without_redis_have_half_each() -> None:
    vendor = Counted()
    async with limited("", script=vendor, vendor="limits: {requestsPerMinute: 10, concurrentRequests: 4}") as merit:
        merit.parts.fleet.pods = 2
        await statuses(merit, 8)
        assert vendor.asked == 5


OPENAI = "x-ratelimit-limit-requests: 60\r\nx-ratelimit-remaining-requests: {}\r\nx-ratelimit-reset-requests: 60s\r\n"
ANTHROPIC = (
    "anthropic-ratelimit-requests-limit: 60\r\nanthropic-ratelimit-requests-remaining: {}\r\n"
    "anthropic-ratelimit-requests-reset: 2099-01-01T00:00:00Z\r\n"
)


def telling(headers: str) -> tuple[Script, list[int]]:
    """A vendor whose limit is a burst of 4, as its headers say."""
    asked: list[int] = []

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(1)
        await says(GOOD, extra=headers.format(max(0, 4 - len(asked))))(reader, writer)

    return script, asked


@pytest.mark.parametrize("headers", [OPENAI, ANTHROPIC], ids=["openai", "anthropic"])
async def test_what_headers_say_is_heeded_before_the_provider_refuses(headers: str) -> None:
    script, asked = telling(headers)
    async with limited("", script=script) as merit:
        found = await statuses(merit, 7)
        assert found == [200] * 4 + [429] * 3
        assert len(asked) == 4
        await asyncio.sleep(1.1)  # 60 in 60 s: one is back after a second
        assert await statuses(merit, 1) == [200]


async def test_headers_that_say_there_is_plenty_change_nothing() -> None:
    headers = OPENAI.replace("limit-requests: 60", "limit-requests: 10").replace("{}", "9")
    async with limited("", script=says(GOOD, extra=headers)) as merit:
        assert await statuses(merit, 20) == [200] * 20
