"""Statuses of all resources after each change, and which of their flips a user should hear of."""

import contextlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from merit_crds.compile import ResourceStatus
from merit_crds.resources import ResourceId
from merit_operator import metrics
from merit_operator.status.document import Delivery, serving_pods, status_document
from merit_operator.status.events import Happening, flips
from merit_operator.store import Seen


@dataclass(slots=True)
class _Known:
    """What was said of one object before."""

    uid: str
    document: Mapping[str, Any]
    complete: int = -1
    """The generation for which `propagation` was measured."""
    propagation: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """What there is to write."""

    documents: Mapping[ResourceId, dict[str, Any]]
    happenings: tuple[Happening, ...]


class Reporter:
    """Remembers what was said, so that times only move with flips. `seen`: what the cluster has."""

    def __init__(self, seen: Callable[[ResourceId], Seen]):
        self._seen = seen
        self._known: dict[ResourceId, _Known] = {}
        self._heard: dict[ResourceId, float] = {}

    def heard(self, resource_id: ResourceId) -> None:
        """A change of this resource was heard of now."""
        self._heard.setdefault(resource_id, time.monotonic())

    def forget(self) -> None:
        """Another process may have spoken since: what was said is what the cluster has."""
        self._known.clear()
        self._heard.clear()

    def report(
        self, statuses: Mapping[ResourceId, ResourceStatus], delivery: Delivery, *, acknowledged: float
    ) -> Report:
        """Every resource's status now. `acknowledged`: when a pod last took a version, in seconds since 1970."""
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        documents: dict[ResourceId, dict[str, Any]] = {}
        happenings: list[Happening] = []
        for resource_id, status in statuses.items():
            known = self._known_of(resource_id)
            if known.complete != status.generation and 0 < delivery.total == serving_pods(status, delivery):
                known.propagation = self._propagation(status, known.document, acknowledged)
                known.complete = status.generation
            figure = known.propagation if known.complete == status.generation else ""
            document = status_document(status, delivery, old=known.document, propagation=figure, now=now)
            happenings += (Happening(resource_id, *flip) for flip in flips(known.document, document))
            known.document = documents[resource_id] = document
        for table in (self._known, self._heard):
            for resource_id in set(table) - set(statuses):
                del table[resource_id]
        return Report(documents, tuple(happenings))

    def _known_of(self, resource_id: ResourceId) -> _Known:
        seen, known = self._seen(resource_id), self._known.get(resource_id)
        if known is None or known.uid != seen.uid:  # new here, or deleted and made again under its name
            known = self._known[resource_id] = _Known(seen.uid, seen.status)
        return known

    def _propagation(self, status: ResourceStatus, old: Mapping[str, Any], acknowledged: float) -> str:
        """Seconds that a change took to the last pod; the known figure where it was complete before this process."""
        heard = self._heard.pop(status.id, None)
        if heard is not None:
            metrics.PROPAGATION_SECONDS.observe(max(0.0, acknowledged - time.time() + time.monotonic() - heard))
        if old.get("observedGeneration") == status.generation and old.get("propagationSeconds"):
            return str(old["propagationSeconds"])
        with contextlib.suppress(ValueError):
            changed = datetime.fromisoformat(self._seen(status.id).changed)
            return f"{max(0.0, acknowledged - changed.timestamp()):.3f}"
        return ""
