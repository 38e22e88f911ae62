"""The data-plane pods: every endpoint of the admin Service that isn't terminating, ready or not.

Ready is no condition: a pod becomes ready by the snapshot that it is going to get.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Any, NamedTuple

from merit_operator.client import KubeClient, KubeError

log = logging.getLogger("merit.discovery")
_RETRY_SECONDS = 1.0


class Pod(NamedTuple):
    """One data-plane pod. A new address is a new pod."""

    name: str
    address: str

    @property
    def host(self) -> str:
        """The address as it stands in a URL."""
        return f"[{self.address}]" if ":" in self.address else self.address


def pods_of(slices: list[dict[str, Any]]) -> set[Pod]:
    """Pods of the EndpointSlices of one Service; each once, though a dual-stack Service has it in two slices."""
    found: dict[str, Pod] = {}
    for part in sorted(slices, key=lambda s: str(s.get("addressType"))):
        for endpoint in part.get("endpoints") or []:
            if (endpoint.get("conditions") or {}).get("terminating"):
                continue
            addresses = endpoint.get("addresses") or []
            if addresses:
                name = (endpoint.get("targetRef") or {}).get("name") or addresses[0]
                found.setdefault(name, Pod(name, addresses[0]))
    return set(found.values())


class Discovery:
    """Follows the EndpointSlices of one Service and tells of every change.

    `missed`: the watch has had a gap, so other watches may have had one.
    """

    def __init__(
        self,
        client: KubeClient,
        namespace: str,
        service: str,
        *,
        changed: Callable[[set[Pod]], None],
        missed: Callable[[], None],
    ):
        self._client, self._changed, self._missed = client, changed, missed
        self._path = f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices"
        self._query = {"labelSelector": f"kubernetes.io/service-name={service}"}

    async def run(self) -> None:
        """Until cancelled. While the API server is away the known pods stay."""
        gap = False
        while True:
            try:
                version = await self._read()
                if gap:
                    gap = False
                    self._missed()
                async with self._client.watch(self._path, version, self._query) as events:
                    async for _ in events:
                        await self._read()
            except KubeError as error:
                gap = True
                if error.status != 410:
                    log.warning("EndpointSlices can't be followed: %s", error)
                    await asyncio.sleep(_RETRY_SECONDS)

    async def _read(self) -> str:
        slices, version = await self._client.list(self._path, self._query)
        self._changed(pods_of(slices))
        return version
