"""Writes statuses by server-side apply: only what has changed, gathered for a while, at a bounded rate."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any

from merit_crds import API_VERSION, GROUP, VERSION
from merit_crds.definition import NAMES
from merit_crds.resources import ResourceId
from merit_operator import metrics
from merit_operator.client import APPLY, FIELD_MANAGER, KubeClient, KubeError

log = logging.getLogger("merit.status")
_GATHER_SECONDS = 0.2
_PER_SECOND = 20.0
_BURST = 100


class StatusWriter:
    """`want` says what a status should be; the newest word counts."""

    def __init__(self, client: KubeClient, leads: Callable[[], bool]):
        self._client, self._leads = client, leads
        self._wanted: dict[ResourceId, dict[str, Any]] = {}
        self._written: dict[ResourceId, dict[str, Any]] = {}
        self._wake = asyncio.Event()

    def want(self, statuses: Mapping[ResourceId, dict[str, Any]], seen: Mapping[ResourceId, Mapping[str, Any]]) -> None:
        """These statuses are right. `seen`: what the cluster has, as far as is known."""
        for resource_id, document in statuses.items():
            if self._written.get(resource_id, seen.get(resource_id)) != document:
                self._wanted[resource_id] = document
                self._wake.set()
            else:
                self._wanted.pop(resource_id, None)
        for resource_id in set(self._written) - set(statuses):
            del self._written[resource_id]

    def forget(self) -> None:
        """Another process may have written since: what the cluster has is unknown again."""
        self._written.clear()
        self._wanted.clear()

    async def run(self) -> None:
        """Until cancelled."""
        allowance = float(_BURST)
        loop = asyncio.get_running_loop()
        last = loop.time()
        while True:
            await self._wake.wait()
            self._wake.clear()
            await asyncio.sleep(_GATHER_SECONDS)
            while self._wanted and self._leads():
                now = loop.time()
                allowance = min(float(_BURST), allowance + (now - last) * _PER_SECOND)
                last = now
                if allowance < 1:
                    await asyncio.sleep(1 / _PER_SECOND)
                    continue
                allowance -= 1
                resource_id, document = next(iter(self._wanted.items()))
                del self._wanted[resource_id]
                await self._write(resource_id, document)

    async def _write(self, resource_id: ResourceId, document: dict[str, Any]) -> None:
        plural = NAMES[resource_id.kind].plural
        path = f"/apis/{GROUP}/{VERSION}/namespaces/{resource_id.namespace}/{plural}/{resource_id.name}/status"
        body = {
            "apiVersion": API_VERSION,
            "kind": resource_id.kind,
            "metadata": {"name": resource_id.name, "namespace": resource_id.namespace},
            "status": document,
        }
        query = {"fieldManager": FIELD_MANAGER, "force": "true"}
        try:
            await self._client.request("PATCH", path, body=body, query=query, content_type=APPLY)
        except KubeError as error:
            if error.status == 404:
                return  # deleted meanwhile
            metrics.ERRORS.labels("status").inc()
            log.warning("status of %s not written: %s", resource_id, error)
            self._wanted.setdefault(resource_id, document)
            self._wake.set()
            await asyncio.sleep(1.0)
            return
        self._written[resource_id] = document
