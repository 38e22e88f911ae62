"""Writes statuses by server-side apply: only what has changed, gathered, at a bounded rate, newest first."""

import asyncio
import logging
import sys
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from merit_crds import API_VERSION, GROUP, VERSION
from merit_crds.definition import NAMES
from merit_crds.resources import ResourceId
from merit_operator import metrics
from merit_operator.client import APPLY, FIELD_MANAGER, KubeError
from merit_operator.store import Seen

log = logging.getLogger("merit.status")
_GATHER_SECONDS = 0.2
_PER_SECOND = 20.0
_BURST = 100
_PAUSE_SECONDS = 1.0
_REFUSED_SECONDS = 30.0
_UNDER_WAY = sys.maxsize
Document = dict[str, Any]


class StatusApi(Protocol):
    """What is needed of KubeClient."""

    async def request(
        self, method: str, path: str, *, body: Any = None, query: Any = None, content_type: str = ""
    ) -> dict[str, Any]:
        """One request; raises KubeError."""
        ...


class StatusWriter:
    """`want` says what statuses should be; the newest word counts. What others have undone is written again.

    `leads`: whether this process may write; `seen`: what the cluster has; `again`: asks for another `want`.
    """

    def __init__(
        self,
        client: StatusApi,
        *,
        leads: Callable[[], bool],
        seen: Callable[[ResourceId], Seen],
        again: Callable[[], None],
    ):
        self._client, self._leads, self._seen, self._again = client, leads, seen, again
        self._right: Mapping[ResourceId, Document] = {}
        self._wanted: dict[ResourceId, Document] = {}
        self._written: dict[ResourceId, tuple[int, Document]] = {}
        self._refused: set[ResourceId] = set()
        self._wake = asyncio.Event()

    def want(self, documents: Mapping[ResourceId, Document]) -> None:
        """These are all statuses, as they should be."""
        self._right = documents
        for resource_id, document in documents.items():
            if self._has(resource_id) == document:
                self._wanted.pop(resource_id, None)
            elif self._wanted.get(resource_id) != document and resource_id not in self._refused:
                self._wanted.pop(resource_id, None)  # so that it comes last, and is written first
                self._wanted[resource_id] = document
                self._wake.set()
        for table in (self._wanted, self._written):
            for resource_id in set(table) - set(documents):
                del table[resource_id]

    def undone(self, resource_id: ResourceId) -> bool:
        """Whether the cluster has another status than the right one, and no write is due that changes it."""
        right = self._right.get(resource_id)
        return right is not None and resource_id not in self._wanted and self._has(resource_id) != right

    def forget(self) -> None:
        """Another process may write now: only what the cluster has counts."""
        self._right = {}
        self._written.clear()
        self._wanted.clear()

    async def run(self) -> None:
        """Until cancelled."""
        allowance, loop = float(_BURST), asyncio.get_running_loop()
        last = loop.time()
        while True:
            await self._wake.wait()
            self._wake.clear()
            await asyncio.sleep(_GATHER_SECONDS)
            while self._wanted and self._leads():
                now = loop.time()
                allowance, last = min(float(_BURST), allowance + (now - last) * _PER_SECOND), now
                if allowance < 1:
                    await asyncio.sleep(1 / _PER_SECOND)
                    continue
                allowance -= 1
                resource_id, document = self._wanted.popitem()
                await self._write(resource_id, document)

    def _has(self, resource_id: ResourceId) -> Mapping[str, Any]:
        """The status in the cluster: our last write until something newer is seen."""
        seen = self._seen(resource_id)
        version, document = self._written.get(resource_id, (0, {}))
        return document if version > seen.version else seen.status

    async def _write(self, resource_id: ResourceId, document: Document) -> None:
        plural = NAMES[resource_id.kind].plural
        path = f"/apis/{GROUP}/{VERSION}/namespaces/{resource_id.namespace}/{plural}/{resource_id.name}/status"
        body = {
            "apiVersion": API_VERSION,
            "kind": resource_id.kind,
            "metadata": {"name": resource_id.name, "namespace": resource_id.namespace},
            "status": document,
        }
        query = {"fieldManager": FIELD_MANAGER, "force": "true"}
        self._written[resource_id] = (_UNDER_WAY, document)
        try:
            made = await self._client.request("PATCH", path, body=body, query=query, content_type=APPLY)
            self._written[resource_id] = (int(made["metadata"]["resourceVersion"]), document)
        except KubeError as error:
            self._written.pop(resource_id, None)
            if error.status != 404:  # then it was deleted meanwhile
                metrics.ERRORS.labels("status").inc()
                log.warning("status of %s not written: %s", resource_id, error)
                await self._failed(resource_id, document, error.status)

    async def _failed(self, resource_id: ResourceId, document: Document, status: int) -> None:
        if 400 <= status < 500 and status != 429:  # that is about this status: others must not wait for it
            self._refused.add(resource_id)
            asyncio.get_running_loop().call_later(_REFUSED_SECONDS, self._try_again, resource_id)
            return
        if self._leads():
            self._wanted.setdefault(resource_id, document)
            self._wake.set()
        await asyncio.sleep(_PAUSE_SECONDS)

    def _try_again(self, resource_id: ResourceId) -> None:
        self._refused.discard(resource_id)
        self._again()
