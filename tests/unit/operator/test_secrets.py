"""Secrets: those that are named, however many; what can't be read is another thing than what does not exist."""

import asyncio
import base64
import time

import pytest

from merit_operator.secrets import SecretReader
from tests.unit.operator.kube import FakeKube, kube
from tests.unit.operator.pods import until

pytestmark = pytest.mark.slow


def put(fake: FakeKube, name: str, value: str) -> None:
    fake.objects[f"/api/v1/namespaces/ns/secrets/{name}"] = {"data": {"key": base64.b64encode(value.encode()).decode()}}


async def test_hundreds_of_secrets_leave_room_for_other_requests() -> None:
    async with kube() as (fake, client):
        wanted = {("ns", f"s{i}") for i in range(150)}
        for _, name in wanted:
            put(fake, name, "value")
        reader = SecretReader(client, lambda: None)
        await reader.follow(wanted, wait_seconds=10)
        await until(lambda: fake.watches == 150, seconds=10)
        async with asyncio.timeout(2):
            await client.request("GET", "/api/v1/namespaces/ns/secrets/s0")
        assert reader.values["ns", "s149"] == {"key": "value"}
        assert all("PartialObjectMetadata" in accept for accept in fake.accepts), "events carry no values"
        await reader.close()


async def test_one_that_does_not_exist_or_may_not_be_read_is_not_waited_for() -> None:
    async with kube() as (fake, client):
        for status in (0, 403):  # 0: 404 for what is not there
            fake.failing = status
            reader, started = SecretReader(client, lambda: None), time.monotonic()
            await reader.follow({("ns", "absent")}, wait_seconds=10)
            assert time.monotonic() - started < 2
            assert reader.values == {}
            await reader.close()


async def test_one_that_can_not_be_read_just_now_is_waited_for() -> None:
    async with kube() as (fake, client):
        put(fake, "one", "value")
        fake.failing = 503
        reader = SecretReader(client, lambda: None)
        asyncio.get_running_loop().call_later(0.3, setattr, fake, "failing", 0)
        await reader.follow({("ns", "one")}, wait_seconds=10)
        assert reader.values == {("ns", "one"): {"key": "value"}}
        await reader.follow(set(), wait_seconds=1)
        assert reader.values == {}, "what is named no more is forgotten"
        await reader.close()
