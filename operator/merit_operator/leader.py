"""Leader election on a Lease: 15 s lease, renewed every 2 s, given up 10 s after the last renewal, released at the end.

Each acquisition counts `leaseTransitions` up; that number is the term which fences every push. Only this process's own
monotonic clock is used: a lease has expired when it did not change for its duration while we looked.
"""

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Protocol

from merit_operator.client import KubeError

log = logging.getLogger("merit.leader")
LEASE_SECONDS = 15.0
RENEW_SECONDS = 2.0
GIVE_UP_SECONDS = 10.0


class LeaseApi(Protocol):
    """What is needed of KubeClient."""

    async def request(self, method: str, path: str, *, body: Any = None) -> dict[str, Any]:
        """One request; raises KubeError."""
        ...


class Elector:
    """Holds the Lease, or tries to. `changed` is called when leadership is won or lost."""

    def __init__(
        self,
        client: LeaseApi,
        *,
        namespace: str,
        name: str,
        identity: str,
        clock: Callable[[], float],
        changed: Callable[[], None],
    ):
        self._client, self._identity, self._clock, self._changed = client, identity, clock, changed
        self._collection = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
        self._name = name
        self._seen: tuple[str, str, int] | None = None
        self._seen_at = 0.0
        self._renewed_at = 0.0
        self._least_term = 0
        self.term = 0
        """Term of our leadership; 0 while we don't lead."""

    @property
    def leads(self) -> bool:
        """Whether this process may push and write."""
        return self.term > 0 and self._clock() - self._renewed_at < GIVE_UP_SECONDS

    def outdo(self, term: int) -> None:
        """A pod has seen this term: ours must be higher, whatever the Lease says (it may have been deleted)."""
        self._least_term = max(self._least_term, term + 1)

    async def run(self) -> None:
        """Until cancelled; then the Lease is released."""
        try:
            while True:
                await self.turn()
                await asyncio.sleep(RENEW_SECONDS)
        finally:
            await self._release()

    async def turn(self) -> None:
        """One look at the Lease: acquires, renews, or waits."""
        was, renewed_at = self.term, self._renewed_at
        try:
            async with asyncio.timeout(RENEW_SECONDS * 2):
                await self._look()
        except (KubeError, TimeoutError) as error:
            if self.term and self._clock() - self._renewed_at >= GIVE_UP_SECONDS:
                log.warning("leadership given up, the Lease could not be renewed: %s", error)
                self.term = 0
        lapsed = self.term > 0 and self._renewed_at - renewed_at >= GIVE_UP_SECONDS
        if self.term != was:
            log.info("leading with term %d", self.term) if self.term else log.info("not leading")
        if self.term != was or lapsed:  # what was not done during a lapse is due now
            self._changed()

    async def _look(self) -> None:
        started = self._clock()
        try:
            lease = await self._client.request("GET", f"{self._collection}/{self._name}")
        except KubeError as error:
            if error.status != 404:
                raise
            await self._write(
                "POST", self._collection, {"metadata": {"name": self._name}}, transitions=0, started=started
            )
            return
        spec = lease.get("spec") or {}
        holder, transitions = spec.get("holderIdentity") or "", int(spec.get("leaseTransitions") or 0)
        seen = (holder, str(spec.get("renewTime")), transitions)
        if seen != self._seen:
            self._seen, self._seen_at = seen, started
        ours = holder == self._identity and self.term > 0 and transitions == self.term
        if ours and self._least_term <= self.term:
            await self._write(
                "PUT", f"{self._collection}/{self._name}", lease, transitions=transitions, started=started
            )
        elif holder in (self._identity, "") or started - self._seen_at >= LEASE_SECONDS:
            await self._write(
                "PUT", f"{self._collection}/{self._name}", lease, transitions=transitions + 1, started=started
            )
        elif self.term:
            self.term = 0

    async def _write(self, method: str, path: str, lease: Any, *, transitions: int, started: float) -> None:
        term = max(1, transitions, self._least_term)
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        spec = dict(lease.get("spec") or {})
        if term != self.term:
            spec["acquireTime"] = now
        spec |= {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": int(LEASE_SECONDS),
            "renewTime": now,
            "leaseTransitions": term,
        }
        body = {**lease, "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "spec": spec}
        try:
            await self._client.request(method, path, body=body)
        except KubeError as error:
            if error.status != 409:  # somebody was faster
                raise
            self.term = 0
            return
        self.term, self._renewed_at = term, started

    async def _release(self) -> None:
        if not self.term:
            return
        self.term = 0
        try:
            async with asyncio.timeout(RENEW_SECONDS):
                lease = await self._client.request("GET", f"{self._collection}/{self._name}")
                if lease["spec"].get("holderIdentity") == self._identity:
                    lease["spec"]["holderIdentity"] = ""
                    await self._client.request("PUT", f"{self._collection}/{self._name}", body=lease)
        except (KubeError, TimeoutError) as error:
            log.warning("the Lease was not released: %s", error)
