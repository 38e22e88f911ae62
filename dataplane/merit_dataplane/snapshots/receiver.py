"""The operator's push, from its bytes to ACK or NACK. What is in force stays in force unless everything is right."""

import asyncio
import time

from merit_crds.credentials import mismatches
from merit_crds.push import Ack, Nack, Rejection, Volumes
from merit_dataplane.failpoints import passes
from merit_dataplane.snapshots.collector import collector_paused
from merit_dataplane.snapshots.decoding import RejectedError, decode_snapshot, unpack_push
from merit_dataplane.snapshots.holder import SnapshotHolder, UnusableSnapshotError
from merit_dataplane.snapshots.last_good import LastGoodDisk


class Receiver:
    """Takes pushes. Fenced by term, idempotent by version."""

    def __init__(self, holder: SnapshotHolder, *, pod: str, disk: LastGoodDisk | None):
        self._holder, self._pod, self._disk = holder, pod, disk
        self._turn = asyncio.Lock()

    def serving(self) -> Ack:
        """What is served now."""
        return self._ack(time.perf_counter())

    def hear(self, volumes: Volumes) -> Ack | Nack:
        """What others have drawn of commitments. Raises ValueError for figures that can't be."""
        if volumes.term < self._holder.term:
            return self._nack(Rejection.STALE_TERM, f"term {volumes.term} is older than {self._holder.term}")
        if not 0 < volumes.share <= 1:
            raise ValueError(f"share: must be above 0 and at most 1 (is {volumes.share})")
        others = {(told.commitment, told.period): int(told.units) for told in volumes.others}
        self._holder.live.commitments.hear_total(others, volumes.share)
        return self.serving()

    async def receive(self, data: bytes, *, version: str, term: int) -> Ack | Nack:
        """Applies a push. `data` is the gzipped body; the token was checked before."""
        started = time.perf_counter()
        if term < self._holder.term:
            return self._nack(
                Rejection.STALE_TERM, f"term {term} is older than {self._holder.term}: another leader has pushed"
            )
        self._holder.term = term
        async with self._turn:  # a small push must not overtake the large one before it, and then be undone by it
            return await self._take(data, version, term, started)

    async def _take(self, data: bytes, version: str, term: int, started: float) -> Ack | Nack:
        if term < self._holder.term:  # a newer leader came meanwhile
            return self._nack(Rejection.STALE_TERM, f"term {term} is older than {self._holder.term}")
        if version == self._holder.version:
            return self._ack(started)
        passes("push.received")
        try:
            body, credentials = await unpack_push(data, version)
            passes("push.unpacked")
            with collector_paused():
                snapshot = await decode_snapshot(body)
                passes("push.decoded")
                if wrong := mismatches(snapshot, credentials):
                    words = f"values of these are missing or are other ones: {', '.join(wrong[:5])}"
                    return self._nack(Rejection.CREDENTIALS_MISMATCH, words)
                await self._holder.apply(version, snapshot, credentials)
        except RejectedError as refusal:
            return self._nack(refusal.rejection, str(refusal))
        except UnusableSnapshotError as error:
            return self._nack(Rejection.MALFORMED, str(error))
        passes("push.swapped")
        if self._disk is not None:
            self._disk.store(body, version=version, term=term)
        return self._ack(started)

    def _ack(self, started: float) -> Ack:
        took = (time.perf_counter() - started) * 1000
        commitments = self._holder.live.commitments
        return Ack(
            version=self._holder.version,
            term=self._holder.term,
            pod=self._pod,
            took_ms=round(took, 3),
            process=commitments.process,
            used=commitments.counts(),
        )

    def _nack(self, rejection: Rejection, message: str) -> Nack:
        return Nack(
            version=self._holder.version, rejection=rejection, message=message, term=self._holder.term, pod=self._pod
        )
