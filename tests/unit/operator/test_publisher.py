"""The push, against real admin servers on loopback."""

import asyncio
import contextlib
import gzip
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from merit_crds.push import Rejection
from merit_operator.push.publisher import Publisher
from merit_operator.push.session import Parcel, PodClient
from tests.unit.operator.pods import FakePod, running


@contextlib.asynccontextmanager
async def publisher(client: PodClient, outdone: Callable[[int], None] = lambda _: None) -> AsyncIterator[Publisher]:
    made = Publisher(client, changed=lambda: None, outdone=outdone)
    try:
        yield made
    finally:
        await made.close()


async def until(true: Callable[[], bool], seconds: float = 5.0) -> float:
    started = time.monotonic()
    while not true():
        assert time.monotonic() - started < seconds, "not in time"
        await asyncio.sleep(0.005)
    return time.monotonic() - started


def parcel(version: str, term: int = 1) -> Parcel:
    return Parcel(version=version, term=term, body=gzip.compress(b"packed"))


def all_at(pods: list[FakePod], version: str) -> Callable[[], bool]:
    return lambda: all(pod.version == version for pod in pods)


async def test_every_pod_gets_the_newest_and_equal_bytes(tmp_path: Path) -> None:
    async with running(5, tmp_path) as (pods, client), publisher(client) as push:
        push.set_pods({p.pod for p in pods})
        push.publish(parcel("v1"))
        push.publish(parcel("v2"))
        await until(all_at(pods, "v2"))
        assert {body for pod in pods for body in pod.bodies} == {b"packed"}
        assert push.confirmed


async def test_every_pod_hears_how_many_there_are(tmp_path: Path) -> None:
    async with running(5, tmp_path) as (pods, client), publisher(client) as push:
        push.set_pods({p.pod for p in pods})
        push.publish(parcel("v1"))
        await until(lambda: {pod.fleet for pod in pods} == {"5"})
        push.set_pods({p.pod for p in pods[:3]})
        await until(lambda: {pod.fleet for pod in pods[:3]} == {"3"})


async def test_a_refusal_stops_at_the_canary(tmp_path: Path) -> None:
    async with running(4, tmp_path) as (pods, client), publisher(client) as push:
        push.set_pods({p.pod for p in pods})
        push.publish(parcel("good"))
        await until(all_at(pods, "good"))
        for pod in pods:
            pod.refuses = Rejection.MALFORMED
        push.publish(parcel("bad"))
        await until(lambda: bool(push.refusal))
        await asyncio.sleep(0.6)
        assert sum("bad" in [version for version, _ in pod.pushes] for pod in pods) == 1
        assert "Malformed" in push.refusal
        assert all_at(pods, "good")()
        for pod in pods:
            pod.refuses = None
        push.publish(parcel("fixed"))
        await until(all_at(pods, "fixed"))


async def test_sick_pods_delay_no_healthy_one(tmp_path: Path) -> None:
    async with running(8, tmp_path) as (pods, client), publisher(client) as push:
        sick, healthy = pods[:4], pods[4:]  # the sick ones come first in canary order
        for pod in sick:
            pod.hangs = True
        push.set_pods({p.pod for p in pods})
        push.publish(parcel("v1"))
        # a hanging canary is joined by another every 300 ms; the first healthy one frees the rest
        assert await until(all_at(healthy, "v1")) < 3


async def test_a_restarted_pod_is_pushed_to_again(tmp_path: Path) -> None:
    async with running(2, tmp_path) as (pods, client), publisher(client) as push:
        push.set_pods({p.pod for p in pods})
        push.publish(parcel("v1"))
        await until(all_at(pods, "v1"))
        pods[0].version = ""  # its container restarted; the EndpointSlice says that something changed
        push.set_pods({p.pod for p in pods})
        await until(all_at(pods, "v1"))


async def test_every_pod_hears_of_a_new_term(tmp_path: Path) -> None:
    async with running(2, tmp_path) as (pods, client), publisher(client) as push:
        push.set_pods({p.pod for p in pods})
        push.publish(parcel("v1", term=1))
        await until(all_at(pods, "v1"))
        push.publish(parcel("v1", term=2))
        await until(lambda: all(pod.term == 2 for pod in pods))


async def test_a_deposed_leader_is_told(tmp_path: Path) -> None:
    heard: list[int] = []
    async with running(1, tmp_path) as (pods, client), publisher(client, heard.append) as push:
        pods[0].term = 7
        push.set_pods({pods[0].pod})
        push.publish(parcel("v1", term=3))
        await until(lambda: heard == [7])
        assert pods[0].version == ""
        assert not push.refusal, "a stale term says nothing of the snapshot"


async def test_nothing_is_pushed_without_leadership(tmp_path: Path) -> None:
    async with running(1, tmp_path) as (pods, client), publisher(client) as push:
        push.set_pods({pods[0].pod})
        push.publish(None)
        await asyncio.sleep(0.2)
        assert pods[0].pushes == []


async def test_a_wrong_token_does_not_condemn_the_snapshot(tmp_path: Path) -> None:
    async with running(1, tmp_path) as (pods, client), publisher(client) as push:
        (tmp_path / "token").write_text("another")
        push.set_pods({pods[0].pod})
        push.publish(parcel("v1"))
        await until(lambda: any("Unauthorized" in s.reason for s in push.states.values()))
        assert not push.refusal
