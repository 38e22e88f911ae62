"""What the fleet has drawn of commitments: reported by pods, added up, kept in the cluster, told to each pod.

ConfigMap `<prefix>-commitments` has it (binaryData `counts`: gzip of JSON), so that a new leader, and a pod that starts
while there is none, know it. Pods count by process and only upwards: nothing counts twice, whoever reports it, however
often. What a process drew after its last report is lost with it: at most one interval's.
"""

import asyncio
import base64
import gzip
import logging
import zlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import msgspec

from merit_crds.commitments import SHORTEST_SHARED_SECONDS, Tally, Used, key_of, period_at, units_of
from merit_crds.push import Ack, Others, Volumes
from merit_crds.snapshot import Snapshot
from merit_operator.client import APPLY, FIELD_MANAGER, KubeClient, KubeError

log = logging.getLogger("merit.commitments")
_PERIODS = 3
"""Of each commitment, the periods that are kept."""
_LABELS = {"app.kubernetes.io/managed-by": "merit-operator"}
_counts = msgspec.json.Decoder(tuple[Used, ...])


class FleetVolumes:
    """Of one leader. Nothing is told before what the cluster keeps has been read."""

    def __init__(self, client: KubeClient, namespace: str, prefix: str):
        self._client, self._name = client, f"{prefix}-commitments"
        self._path = f"/api/v1/namespaces/{namespace}/configmaps/{self._name}"
        self._tally = Tally()
        self._stored: tuple[Used, ...] = ()
        self.known = False
        """What the cluster keeps has been read."""
        self.wanted = False
        """There are commitments."""

    def forget(self) -> None:
        """Another process may lead now, and know more."""
        self.known = False

    def hear(self, ack: Ack) -> None:
        """What a pod has drawn. Figures that can't be are logged."""
        try:
            self._tally.merge(ack.used)
        except ValueError as error:
            log.warning("pod %s: what it has drawn of commitments can't be read: %s", ack.pod, error)

    def told(self, process: str, *, term: int, pods: int) -> Volumes | None:
        """What a pod with this process should know; each of so many has an even share of what there is by the minute.

        None while that is not known, or of no use: what others drew can't be told to who is not known himself.
        """
        if not (self.wanted and self.known and process):
            return None
        totals = self._tally.totals()
        others = tuple(
            Others(commitment, start, str(self._tally.total(commitment, start, but=process)))
            for commitment, start in sorted(totals)
        )
        return Volumes(term=term, share=1 / max(1, pods), others=others)

    async def load(self) -> None:
        """Adds what the cluster keeps. Raises KubeError; a damaged copy is logged and passed over."""
        try:
            found = await self._client.request("GET", self._path)
        except KubeError as error:
            if error.status != 404:
                raise
            found = {}
        packed = (found.get("binaryData") or {}).get("counts", "")
        try:
            if packed:
                self._tally.merge(_counts.decode(gzip.decompress(base64.b64decode(packed))))
        except (OSError, EOFError, ValueError, zlib.error) as error:
            log.warning("what the cluster keeps of commitments is not usable: %s", error)
        self.known = True

    async def store(self, leads: Callable[[], bool]) -> None:
        """Keeps what has changed, while we lead. Raises KubeError."""
        self._tally.forget(_PERIODS)
        counts = self._tally.counts()
        if not self.known or counts == self._stored or not leads():
            return
        packed = await asyncio.to_thread(lambda: gzip.compress(msgspec.json.encode(counts), mtime=0))
        body = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": self._name, "labels": _LABELS},
            "binaryData": {"counts": base64.b64encode(packed).decode()},
        }
        query = {"fieldManager": FIELD_MANAGER, "force": "true"}
        await self._client.request("PATCH", self._path, body=body, query=query, content_type=APPLY)
        self._stored = counts

    def shown(self, snapshot: Snapshot, now: float) -> dict[str, list[dict[str, str]]]:
        """For the statuses of ProviderPricings, by their key: what is left of each commitment that holds now.

        In whole percent: a status that changed with each request would be written all the time.
        """
        return {key: found for key in snapshot.pricings if (found := list(self._of_list(key, snapshot, now)))}

    def _of_list(self, key: str, snapshot: Snapshot, now: float) -> Iterator[dict[str, str]]:
        for terms in snapshot.pricings[key].commitments:
            period = period_at(terms, now)
            if period is None:
                continue
            if period.seconds < SHORTEST_SHARED_SECONDS:
                continue
            used, volume = self._tally.total(key_of(key, terms), period.start), units_of(terms)
            left = -(-max(0, volume - used) * 100 // volume)
            ends = datetime.fromtimestamp(period.end, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            yield {"name": terms.name, "remaining": f"{left} %", "periodEnds": ends}


def has_commitments(snapshot: Snapshot) -> bool:
    """Whether pods have anything to tell."""
    return any(pricing.commitments for pricing in snapshot.pricings.values())
