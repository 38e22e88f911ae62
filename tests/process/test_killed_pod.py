"""A pod of several is killed under load: nobody but who was waiting for its answer notices."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path

import httpx
import pytest

from tests.support.consumers import ANSWER, resources
from tests.support.gateway import eventually, scripted
from tests.support.merit_process import Merit, merit_serve
from tests.support.redis_servers import SECONDS, needs_redis, redis_server
from tests.support.resources import route_of

pytestmark = [needs_redis, pytest.mark.slow, pytest.mark.timeout(180)]
LOGGED_SECONDS = 1.0
"""A line of the usage log is written a tenth of a second after its request; this is what a busy machine may take."""
CACHED = route_of(
    "[{name: main, candidates: [{provider: {name: vendor}, model: vendor-model}]}]",
    model="cached",
    name="cached",
    extra="cache: {exact: {ttl: 1h}}",
)


class Vendor:
    """Answers when it is let."""

    def __init__(self) -> None:
        self.asked = 0
        self.open = asyncio.Event()
        self.open.set()

    async def answer(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.asked += 1
        await asyncio.sleep(0.02)
        await self.open.wait()
        body = json.dumps(ANSWER).encode()
        writer.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)
        )


@asynccontextmanager
async def fleet(
    folder: Path, redis: str, pods: int
) -> AsyncIterator[tuple[list[Merit], Vendor, tuple[str | Path, ...]]]:
    """Pods that share a Redis, their vendor, and what another one would be started with."""
    vendor, manifests = Vendor(), folder / "resources"
    manifests.mkdir()
    (folder / "cache.key").write_text("a key that all pods share 0123456789", encoding="utf-8")
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(scripted(vendor.answer))
        limits = 'limits: {concurrentRequests: 500}, budgets: [{period: Month, amount: "1000"}]'
        (manifests / "all.yaml").write_text("\n---\n".join((*resources(url, limits), CACHED)), encoding="utf-8")
        shared = ("--redis-url", redis, "--redis-budget-ms", "500", "--cache-key-file", folder / "cache.key")
        options: tuple[str | Path, ...] = (manifests, "--no-watch", *shared)
        made = await asyncio.gather(*(stack.enter_async_context(merit_serve(*options)) for _ in range(pods)))
        for pod in made:
            await eventually(partial(_shares, pod), "Redis is not asked", SECONDS)
        yield list(made), vendor, options


async def _shares(pod: Merit) -> bool:
    return "shared state: on" in (await pod.http.get(f"{pod.admin_url}/readyz")).text


class Clients:
    """Who asks all pods in turn, and another one where one has gone."""

    def __init__(self, pods: list[Merit]) -> None:
        self.pods = list(pods)
        self.statuses: Counter[int] = Counter()
        self.lost: Counter[int] = Counter()
        """Requests that got no answer, by pod."""
        self.answered: list[tuple[float, int, str]] = []
        """When, by which pod, and the id."""
        self.ends = False

    async def one(self, place: int) -> None:
        """Until it is told to end."""
        while not self.ends:
            place = (place + 1) % len(self.pods)
            try:
                answer = await self.pods[place].post()
            except httpx.TransportError:
                self.lost[place] += 1
                continue
            self.statuses[answer.status_code] += 1
            self.answered.append((time.monotonic(), place, answer.headers["x-merit-request-id"]))


async def test_only_its_own_requests_are_lost_and_its_log_has_all_that_it_answered(tmp_path: Path) -> None:
    workers = 24
    async with redis_server() as server, fleet(tmp_path, server.url, 3) as (pods, _, options):
        clients = Clients(pods)
        running = [asyncio.create_task(clients.one(place)) for place in range(workers)]
        await asyncio.sleep(1.5 + LOGGED_SECONDS)
        pods[0].process.kill()
        await pods[0].process.wait()
        killed = time.monotonic()
        await asyncio.sleep(1.5)
        async with merit_serve(*options) as again:  # as a Deployment would
            clients.pods[0] = again
            await asyncio.sleep(1.0)
            clients.ends = True
            await asyncio.gather(*running)
        assert set(clients.statuses) == {200}
        assert clients.lost.keys() <= {0}
        assert any(at > killed and place == 1 for at, place, _ in clients.answered)
        assert clients.answered[-1][0] > killed + 1
        logged = {json.loads(line)["request"] for line in pods[0].log if line.startswith("{")}
        due = {name for at, place, name in clients.answered if place == 0 and at < killed - LOGGED_SECONDS}
        assert due
        assert due <= logged


async def test_who_waited_for_its_answer_gets_one_from_elsewhere(tmp_path: Path) -> None:
    async with redis_server() as server, fleet(tmp_path, server.url, 2) as (pods, vendor, _):
        vendor.open.clear()
        first = asyncio.create_task(pods[0].post({"model": "cached"}))
        await eventually(lambda: vendor.asked == 1, "the vendor is not asked")
        others = [asyncio.create_task(pods[1].post({"model": "cached"})) for _ in range(5)]
        await asyncio.sleep(0.5)
        assert vendor.asked == 1  # they wait for the other pod's
        pods[0].process.kill()
        with pytest.raises(httpx.TransportError):
            await first
        await eventually(lambda: vendor.asked == 2, "nobody takes over", 30)
        vendor.open.set()
        answers = await asyncio.gather(*others)
        assert [answer.status_code for answer in answers] == [200] * 5
        assert vendor.asked == 2
