"""Kubernetes Events where a user would look: when a resource is refused or taken back, and when pods refuse it."""

import asyncio
import logging
import uuid
from collections import deque
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from merit_crds import API_VERSION
from merit_crds.resources import ResourceId
from merit_operator.client import KubeClient, KubeError

log = logging.getLogger("merit.events")
_LONGEST = 1000
_TOLD = {"Accepted", "ResolvedRefs"}
_WAITING = 200
"""Most Events that wait to be posted; the oldest go. Statuses say the same, and are never dropped."""
_BETWEEN_SECONDS = 0.1


class Happening(NamedTuple):
    """What an Event tells of."""

    resource_id: ResourceId
    kind: str
    """`Normal` or `Warning`."""
    reason: str
    message: str


def flips(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """(type, reason, message) of each Event that a change of status deserves."""
    before = {c["type"]: c for c in old.get("conditions") or []}
    events = []
    for condition in new.get("conditions") or []:
        known = before.get(condition["type"], {})
        rejected = condition["type"] == "Programmed" and "Rejected" in (condition["reason"], known.get("reason"))
        if not (condition["type"] in _TOLD or rejected) or (
            known.get("status", "True") == condition["status"] and known.get("reason") == condition["reason"]
        ):
            continue
        if condition["status"] == "False" and condition["reason"] not in ("Pending", "NoPods"):
            events.append(("Warning", condition["reason"], condition["message"]))
        elif condition["status"] == "True" and known.get("status") == "False":
            events.append(("Normal", condition["reason"], f"{condition['type']} again"))
    return events


class EventPoster:
    """Posts Events one after the other, so that many of them delay nothing else."""

    def __init__(self, client: KubeClient):
        self._client = client
        self._waiting: deque[Happening] = deque(maxlen=_WAITING)
        self._wake = asyncio.Event()

    def tell(self, happenings: Iterable[Happening]) -> None:
        """These are posted soon."""
        self._waiting.extend(happenings)
        if self._waiting:
            self._wake.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                await self._post(self._waiting.popleft())
                await asyncio.sleep(_BETWEEN_SECONDS)

    async def _post(self, happening: Happening) -> None:
        """Posts one Event. Its loss is logged and never fatal."""
        resource_id = happening.resource_id
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        body = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {
                "name": f"{resource_id.name[:200]}.{uuid.uuid4().hex[:16]}",
                "namespace": resource_id.namespace,
            },
            "involvedObject": {
                "apiVersion": API_VERSION,
                "kind": resource_id.kind,
                "name": resource_id.name,
                "namespace": resource_id.namespace,
            },
            "type": happening.kind,
            "reason": happening.reason,
            "message": happening.message[:_LONGEST],
            "source": {"component": "merit-operator"},
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        }
        try:
            await self._client.request("POST", f"/api/v1/namespaces/{resource_id.namespace}/events", body=body)
        except KubeError as error:
            log.warning("Event for %s not posted: %s", resource_id, error)
