"""Who gets a new version when, among pods that are sick, refuse, or belong to another release."""

import asyncio
from pathlib import Path

import pytest

from merit_crds.push import MAX_PUSH_BYTES, Rejection
from merit_operator.discovery import Pod
from merit_operator.push.session import Parcel
from tests.unit.operator.pods import all_at, parcel, publisher, running, until

pytestmark = pytest.mark.slow


async def test_half_of_the_pods_hanging_costs_the_others_no_time(tmp_path: Path) -> None:
    async with running(40, tmp_path) as (pods, client), publisher(client) as push:
        push.set_pods({p.pod for p in pods})
        push.publish(parcel("v1"))
        await until(all_at(pods, "v1"))
        for pod in pods[:20]:  # first by name, too
            pod.hangs = True
        push.publish(parcel("v2"))
        assert await until(all_at(pods[20:], "v2")) < 2


async def test_a_pod_of_another_release_may_take_what_one_does_not_know(tmp_path: Path) -> None:
    async with running(2, tmp_path) as (pods, client), publisher(client) as push:
        old, new = pods
        old.refuses = Rejection.UNKNOWN_FORMAT
        push.set_pods({old.pod})
        push.publish(parcel("v2"))
        await until(lambda: bool(push.refusal))
        push.set_pods({old.pod, new.pod})
        await until(lambda: new.version == "v2")
        assert "UnknownFormat" in push.refusal, "the old pod's owner is told, though others serve it"


async def test_a_pod_that_serves_nothing_may_try_what_another_has_refused(tmp_path: Path) -> None:
    async with running(3, tmp_path) as (pods, client), publisher(client) as push:
        serving, fresh = pods[:2], pods[2]
        push.set_pods({p.pod for p in serving})
        push.publish(parcel("v1"))
        await until(all_at(serving, "v1"))
        for pod in serving:
            pod.refuses = Rejection.MALFORMED
        push.publish(parcel("v2"))
        await until(lambda: bool(push.refusal))
        push.set_pods({p.pod for p in pods})
        await until(lambda: fresh.version == "v2")


async def test_a_refused_version_is_not_sent_again_with_each_event(tmp_path: Path) -> None:
    async with running(1, tmp_path) as (pods, client), publisher(client) as push:
        pods[0].version, pods[0].refuses = "v1", Rejection.MALFORMED
        push.set_pods({pods[0].pod})
        push.publish(parcel("v2"))
        await until(lambda: bool(push.refusal))
        for _ in range(20):
            push.set_pods({pods[0].pod})
            await asyncio.sleep(0.01)
        assert len(pods[0].pushes) == 1


async def test_a_refusal_after_the_canary_is_known_too(tmp_path: Path) -> None:
    async with running(2, tmp_path) as (pods, client), publisher(client) as push:
        pods[1].refuses = Rejection.TOO_LARGE
        push.set_pods({pods[0].pod})
        push.publish(parcel("v1"))
        await until(lambda: pods[0].version == "v1")
        push.set_pods({p.pod for p in pods})
        await until(lambda: "TooLarge" in push.refusal)
        assert push.confirmed


async def test_trouble_ends_with_its_cause(tmp_path: Path) -> None:
    async with running(2, tmp_path) as (pods, client), publisher(client) as push:
        gone = Pod("gone", "127.0.1.1")
        push.set_pods({pods[0].pod, gone})
        push.publish(parcel("v1"))
        await until(lambda: pods[0].version == "v1")
        await until(lambda: push.trouble.startswith("pod gone: unreachable"))
        push.set_pods({pods[0].pod})
        assert not push.trouble


async def test_a_snapshot_beyond_the_limit_is_sent_to_nobody(tmp_path: Path) -> None:
    async with running(1, tmp_path) as (pods, client), publisher(client) as push:
        push.set_pods({pods[0].pod})
        push.publish(Parcel(version="v1", term=1, body=bytes(MAX_PUSH_BYTES + 1)))
        assert str(MAX_PUSH_BYTES) in push.refusal
        await asyncio.sleep(0.2)
        assert pods[0].pushes == []
