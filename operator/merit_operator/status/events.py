"""Kubernetes Events where a user would look: when a resource is refused or taken back, and when pods refuse it."""

import logging
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from merit_crds import API_VERSION
from merit_crds.resources import ResourceId
from merit_operator.client import KubeClient, KubeError

log = logging.getLogger("merit.events")
_LONGEST = 1000
_TOLD = {"Accepted", "ResolvedRefs"}


def flips(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """(type, reason, message) of each Event that a change of status deserves."""
    before = {c["type"]: c for c in old.get("conditions") or []}
    events = []
    for condition in new.get("conditions") or []:
        known = before.get(condition["type"], {})
        told = condition["type"] in _TOLD or condition["reason"] == "Rejected"
        if not told or (
            known.get("status", "True") == condition["status"] and known.get("reason") == condition["reason"]
        ):
            continue
        if condition["status"] == "False":
            events.append(("Warning", condition["reason"], condition["message"]))
        elif known.get("status") == "False":
            events.append(("Normal", condition["reason"], f"{condition['type']} again"))
    return events


async def post(client: KubeClient, resource_id: ResourceId, kind: str, reason: str, message: str) -> None:
    """Posts one Event. Its loss is logged and never fatal."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    body = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{resource_id.name[:200]}.{uuid.uuid4().hex[:16]}", "namespace": resource_id.namespace},
        "involvedObject": {
            "apiVersion": API_VERSION,
            "kind": resource_id.kind,
            "name": resource_id.name,
            "namespace": resource_id.namespace,
        },
        "type": kind,
        "reason": reason,
        "message": message[:_LONGEST],
        "source": {"component": "merit-operator"},
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
    }
    try:
        await client.request("POST", f"/api/v1/namespaces/{resource_id.namespace}/events", body=body)
    except KubeError as error:
        log.warning("Event for %s not posted: %s", resource_id, error)
