"""The last good copy, and what an operator that starts finds of what was in force."""

import base64
from pathlib import Path

import pytest

from merit_operator.client import KubeError
from merit_operator.last_good import LastGoodCopy
from merit_operator.recovery import recovered
from tests.support.resources import CONSUMER, PROVIDER_KEY, compiled, provider
from tests.unit.operator.kube import kube
from tests.unit.operator.pods import running

pytestmark = pytest.mark.slow

MADE = compiled(provider("a", "https://a.example/v1"), CONSUMER)
CONFIG_MAP = "/api/v1/namespaces/ns/configmaps/merit-last-good-0"


async def test_what_is_stored_is_found_again(tmp_path: Path) -> None:
    async with kube() as (fake, client), running(0, tmp_path) as (_, pods):
        copy = LastGoodCopy(client, "ns", "merit")
        assert await recovered(copy, pods, []) is None
        await copy.store(MADE, 3, leads=lambda: True)
        assert await recovered(copy, pods, []) == MADE.snapshot
        assert fake.objects[CONFIG_MAP]["data"] == {"version": MADE.version, "count": "1", "term": "3"}
        assert PROVIDER_KEY not in str({p: o for p, o in fake.objects.items() if "configmaps" in p})


async def test_damage_is_no_end() -> None:
    async with kube() as (fake, client):
        copy = LastGoodCopy(client, "ns", "merit")
        await copy.store(MADE, 1, leads=lambda: True)
        whole = fake.objects[CONFIG_MAP]
        for packed in ("", "no base64!", base64.b64encode(b"no gzip").decode(), whole["binaryData"]["snapshot.0"][:80]):
            fake.objects[CONFIG_MAP] = whole | {"binaryData": {"snapshot.0": packed}}
            assert await copy.load() is None
        for head in ({}, {"version": "x", "count": "1"}, {"version": MADE.version, "count": "many"}, {"count": "3"}):
            fake.objects[CONFIG_MAP] = whole | {"data": head}
            assert await copy.load() in (None, MADE.snapshot)


async def test_an_api_server_without_an_answer_is_no_empty_cluster(tmp_path: Path) -> None:
    async with kube() as (fake, client), running(0, tmp_path) as (_, pods):
        fake.failing = 503
        with pytest.raises(KubeError):
            await recovered(LastGoodCopy(client, "ns", "merit"), pods, [])
        fake.failing = 403
        assert await recovered(LastGoodCopy(client, "ns", "merit"), pods, []) is None


async def test_without_a_copy_a_pod_is_asked_and_sick_ones_cost_no_time(tmp_path: Path) -> None:
    async with kube() as (_, client), running(4, tmp_path) as (pods, pod_client):
        serving = pods[2]
        serving.version, serving.snapshot, serving.term = MADE.version, MADE.body, 4
        pods[3].hangs = True
        found = await recovered(LastGoodCopy(client, "ns", "merit"), pod_client, [p.pod for p in pods])
        assert found == MADE.snapshot


async def test_a_leader_that_is_deposed_meanwhile_writes_no_copy() -> None:
    async with kube() as (fake, client):
        await LastGoodCopy(client, "ns", "merit").store(MADE, 1, leads=lambda: False)
        assert fake.objects == {}
