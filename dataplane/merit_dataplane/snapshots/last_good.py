"""The last good snapshot, for a pod that starts while the operator is away.

Two places: the pod's own disk (the snapshot without credentials), and a folder into which the cluster mounts the copy
that the leader keeps: `snapshot.0`, `snapshot.1`, … (gzip, in pieces), `version`, `count`, `term`, `credentials`.
"""

import asyncio
import contextlib
import gzip
import logging
import os
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from merit_crds.credentials import mismatches
from merit_crds.snapshot import version_of
from merit_dataplane.failpoints import passes
from merit_dataplane.snapshots.decoding import RejectedError, decode_snapshot, inflate
from merit_dataplane.snapshots.holder import SnapshotHolder, UnusableSnapshotError

log = logging.getLogger("merit.snapshots")


@dataclass(frozen=True, slots=True)
class LastGood:
    """A snapshot's bytes, and whose it is."""

    body: bytes = field(repr=False)
    version: str
    term: int


class _Head(msgspec.Struct):
    version: str
    term: int


class LastGoodDisk:
    """The newest snapshot on the pod's own disk. A full or read-only disk is logged and never fatal."""

    def __init__(self, folder: Path):
        self._path = folder / "last-good.json.gz"
        self._writing: asyncio.Task[None] | None = None
        self._next: LastGood | None = None

    def store(self, body: bytes, *, version: str, term: int) -> None:
        """Writes in the background; of several in a row only the newest is written."""
        self._next = LastGood(body, version, term)
        if self._writing is None or self._writing.done():
            self._writing = asyncio.get_running_loop().create_task(self._drain())

    async def flush(self) -> None:
        """Waits until the newest is written."""
        if self._writing is not None:
            await self._writing

    async def _drain(self) -> None:
        while (item := self._next) is not None:
            self._next = None
            try:
                await asyncio.to_thread(self._write, item)
            except OSError as error:
                log.warning("last good snapshot not written to %s: %s", self._path, error)

    def _write(self, item: LastGood) -> None:
        head = msgspec.json.encode(_Head(item.version, item.term)) + b"\n"
        self._path.parent.mkdir(parents=True, exist_ok=True)
        partial = self._path.with_suffix(".partial")
        packed = gzip.compress(head + item.body, compresslevel=1, mtime=0)
        with partial.open("wb") as file:
            passes("disk.opened")
            file.write(packed[: len(packed) // 2])
            file.flush()
            passes("disk.torn")
            file.write(packed[len(packed) // 2 :])
            file.flush()
            passes("disk.written")
            os.fsync(file.fileno())
        passes("disk.synced")
        partial.replace(self._path)
        passes("disk.replaced")

    def load(self) -> LastGood | None:
        """The snapshot on disk, its digest checked; None where there is none or it is damaged."""
        try:
            head, body = inflate(self._path.read_bytes()).split(b"\n", 1)
            known = msgspec.json.decode(head, type=_Head)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, RejectedError) as error:
            log.warning("last good snapshot in %s is damaged: %s", self._path, error)
            return None
        return _checked(body, known.version, known.term)


def load_mounted(folder: Path) -> LastGood | None:
    """The cluster's copy, its digest checked; None where there is none or it is torn."""
    try:
        count = int((folder / "count").read_text())
        packed = b"".join((folder / f"snapshot.{i}").read_bytes() for i in range(count))
        version = (folder / "version").read_text().strip()
        term = int((folder / "term").read_text())
        return _checked(inflate(packed), version, term)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RejectedError) as error:
        log.warning("the cluster's last good snapshot is not usable: %s", error)
        return None


def load_credentials(folder: Path) -> dict[str, str]:
    """The cluster's copy of the credentials; empty where there is none."""
    with contextlib.suppress(OSError, msgspec.MsgspecError):
        return msgspec.json.decode((folder / "credentials").read_bytes(), type=dict[str, str])
    return {}


def _checked(body: bytes, version: str, term: int) -> LastGood | None:
    if version_of(body) != version:
        log.warning("a last good snapshot does not have its digest: passed over")
        return None
    return LastGood(body, version, term)


async def restore(holder: SnapshotHolder, *, disk: LastGoodDisk | None, mounted: Path | None) -> bool:
    """Applies the newest usable last good snapshot. False when there is none whose credentials are at hand."""
    credentials = await asyncio.to_thread(load_credentials, mounted) if mounted else {}
    found = [
        await asyncio.to_thread(disk.load) if disk else None,
        await asyncio.to_thread(load_mounted, mounted) if mounted else None,
    ]
    for good in sorted((g for g in found if g is not None), key=lambda g: g.term, reverse=True):
        try:
            snapshot = await decode_snapshot(good.body)
        except RejectedError as error:
            log.warning("a last good snapshot is not of this release: %s", error)
            continue
        if mismatches(snapshot, credentials):
            continue  # a credential was rotated since
        try:
            if not await holder.apply(good.version, snapshot, credentials, only_as_first=True):
                return True  # a push was faster
        except UnusableSnapshotError as error:
            log.warning("a last good snapshot is not of this release: %s", error)
            continue
        holder.term = max(holder.term, good.term)
        log.info("serving the last good snapshot %s until the operator pushes", good.version[:12])
        return True
    return False
