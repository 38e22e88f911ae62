"""Which statuses are written, in which order, and what others undo."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from merit_crds.resources import ResourceId
from merit_operator.client import KubeError
from merit_operator.status.writer import StatusWriter
from merit_operator.store import Seen
from tests.unit.operator.pods import until

pytestmark = pytest.mark.slow

A, B = ResourceId("Provider", "ns", "a"), ResourceId("Provider", "ns", "b")


class Statuses:
    """The status part of an API server: what was written, in order, and what it refuses."""

    def __init__(self) -> None:
        self.version = 100
        self.seen: dict[ResourceId, Seen] = {}
        self.written: list[str] = []
        self.fails: dict[str, int] = {}
        self.leads = True

    async def request(
        self, method: str, path: str, *, body: Any = None, query: Any = None, content_type: str = ""
    ) -> dict[str, Any]:
        name = body["metadata"]["name"]
        if status := self.fails.get(name):
            raise KubeError(status, "refused")
        self.written.append(name)
        self.version += 1
        return {"metadata": {"resourceVersion": str(self.version)}}


@contextlib.asynccontextmanager
async def writing(cluster: Statuses) -> AsyncIterator[StatusWriter]:
    writer = StatusWriter(
        cluster, leads=lambda: cluster.leads, seen=lambda i: cluster.seen.get(i, Seen()), again=lambda: None
    )
    task = asyncio.create_task(writer.run())
    try:
        yield writer
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_only_what_differs_is_written_once() -> None:
    cluster = Statuses()
    cluster.seen = {A: Seen(5, "u", "", {"x": 1}), B: Seen(6, "u", "", {"x": 1})}
    async with writing(cluster) as writer:
        for _ in range(3):
            writer.want({A: {"x": 1}, B: {"x": 2}})
            await until(lambda: cluster.written == ["b"])
        await asyncio.sleep(0.3)
        assert cluster.written == ["b"]


async def test_a_status_of_an_object_that_was_made_again_is_written_again() -> None:
    cluster = Statuses()
    async with writing(cluster) as writer:
        writer.want({A: {"x": 1}})
        await until(lambda: cluster.written == ["a"])
        assert not writer.undone(A)
        cluster.seen[A] = Seen(200, "another", "", {})
        assert writer.undone(A)
        writer.want({A: {"x": 1}})
        await until(lambda: cluster.written == ["a", "a"])


async def test_the_newest_is_written_first() -> None:
    cluster = Statuses()
    async with writing(cluster) as writer:
        many = {ResourceId("Provider", "ns", f"p{i}"): {"x": 1} for i in range(300)}
        writer.want(many | {A: {"x": 1}})
        await until(lambda: len(cluster.written) > 100)
        writer.want(many | {A: {"x": 2}})
        await until(lambda: cluster.written.count("a") == 2, seconds=1)
        assert len(cluster.written) < 200


async def test_one_that_is_refused_holds_back_no_other() -> None:
    cluster = Statuses()
    cluster.fails["a"] = 422
    async with writing(cluster) as writer:
        writer.want({B: {"x": 1}, A: {"x": 1}})  # A is tried first
        assert await until(lambda: cluster.written == ["b"]) < 0.6


async def test_an_api_server_that_is_away_is_waited_for() -> None:
    cluster = Statuses()
    cluster.fails["a"] = 503
    async with writing(cluster) as writer:
        writer.want({A: {"x": 1}})
        await asyncio.sleep(0.4)
        cluster.fails.clear()
        await until(lambda: cluster.written == ["a"])


async def test_a_standby_writes_nothing() -> None:
    cluster = Statuses()
    cluster.leads = False
    async with writing(cluster) as writer:
        writer.want({A: {"x": 1}})
        await asyncio.sleep(0.4)
        assert cluster.written == []
