"""The loop, between an API server and a pod on loopback."""

import asyncio
import base64
import contextlib
import time
from pathlib import Path
from typing import Any

import pytest

from merit_crds import GROUP, VERSION
from merit_crds.definition import NAMES
from merit_crds.manifest import read
from merit_operator.commitments import FleetVolumes
from merit_operator.controller import Controller
from merit_operator.last_good import LastGoodCopy
from merit_operator.leader import Elector
from merit_operator.reflector import Reflector
from merit_operator.store import Store
from tests.support.resources import CONSUMER, prices, provider, route
from tests.unit.operator.kube import FakeKube, kube
from tests.unit.operator.pods import running, until

pytestmark = pytest.mark.slow

BOUNDARY = 1_793_754_000.0
"""2026-11-04T01:00:00Z, which is 09:00 in Shanghai."""
BEFORE = 1.0
"""Seconds to the boundary when a test begins: enough for the first turn and its statuses."""
ROUTE_STATUS = f"/apis/{GROUP}/{VERSION}/namespaces/default/modelroutes/chat/status"
BY_THE_CLOCK = {
    "validFrom": 'periods: [{validFrom: "2026-11-04T01:00:00Z", prices: {input: "5", output: "5"}}]',
    "a schedule": (
        "schedules: [{name: day, prices: {input: '5', output: '5'}}]\n"
        "  schedules: [{name: day, timeZone: Asia/Shanghai, windows: [{from: '09:00', to: '18:00'}]}]"
    ),
}


def apply(fake: FakeKube, *documents: str) -> None:
    """Puts resources and Secrets where the API server has them."""
    manifest = read("\n---\n".join(documents), source="test.yaml")
    assert not manifest.faults
    for kind, names in NAMES.items():
        items: list[dict[str, Any]] = [
            {"metadata": {"namespace": r.id.namespace, "name": r.id.name, "generation": 1, "resourceVersion": "5"}}
            | {"spec": r.spec}
            for r in manifest.resources
            if r.id.kind == kind
        ]
        fake.objects[f"/apis/{GROUP}/{VERSION}/{names.plural}"] = {"items": items}
    for (namespace, name), values in manifest.secrets.items():
        data = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
        fake.objects[f"/api/v1/namespaces/{namespace}/secrets/{name}"] = {"data": data}


@pytest.mark.parametrize("change", BY_THE_CLOCK.values(), ids=BY_THE_CLOCK)
async def test_a_status_is_renewed_when_the_clock_changes_a_price(tmp_path: Path, change: str) -> None:
    """Nothing happens in the cluster at that second, and pods get nothing: their own clocks tell them."""
    offset = BOUNDARY - BEFORE - time.monotonic()

    def clock() -> float:
        return offset + time.monotonic()

    async with kube() as (fake, client), running(1, tmp_path) as (pods, pod_client):
        apply(
            fake,
            *(provider("a", "https://a.example/v1"), prices("a", "1", "1", capabilities="Streaming", extra=change)),
            *(provider("b", "https://b.example/v1"), prices("b", "2", "2", capabilities="Streaming")),
            *(route("a", "b"), CONSUMER),
        )
        store = Store()
        controller = Controller(
            client=client,
            store=store,
            reflector=Reflector(client, store, ()),
            pods=pod_client,
            copy=LastGoodCopy(client, "merit", "merit"),
            volumes=FleetVolumes(client, "merit", "merit"),
            clock=clock,
        )
        controller.elector = Elector(
            client, namespace="merit", name="merit", identity="me", clock=time.monotonic, changed=lambda: None
        )
        await controller.elector.turn()
        controller.pods_changed({pods[0].pod})
        task = asyncio.create_task(controller.run())

        def cheapest() -> str:
            return str(fake.objects.get(ROUTE_STATUS, {}).get("status", {}).get("cheapest"))

        try:
            await until(lambda: cheapest() == "a/a-model")
            assert clock() < BOUNDARY
            await until(lambda: cheapest() == "b/b-model")
            assert clock() >= BOUNDARY
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            await controller.publisher.close()
            await controller.secrets.close()
        assert len({version for version, _ in pods[0].pushes}) == len(pods[0].bodies) == 1
