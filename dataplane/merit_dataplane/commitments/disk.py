"""What was drawn of commitments, on the pod's own disk: a process that starts anew knows what its forerunners drew."""

import asyncio
import logging
import os
from pathlib import Path

import msgspec

from merit_crds.commitments import Used
from merit_dataplane.commitments.accounts import CommitmentAccounts
from merit_dataplane.snapshots.decoding import RejectedError, inflate

log = logging.getLogger("merit.commitments")
_SECONDS = 1.0
_decoder = msgspec.json.Decoder(tuple[Used, ...])


def hear_mounted(folder: Path, accounts: CommitmentAccounts) -> None:
    """What the leader keeps in the cluster, mounted as the file `commitments`; nothing where there is none."""
    try:
        accounts.hear(_decoder.decode(inflate((folder / "commitments").read_bytes())))
    except FileNotFoundError:
        return
    except (OSError, ValueError, RejectedError) as error:
        log.warning("the cluster's copy of what was drawn of commitments is not usable: %s", error)


class CommitmentDisk:
    """One file. A full or read-only disk is logged and never fatal."""

    def __init__(self, folder: Path, accounts: CommitmentAccounts):
        self._path, self._accounts = folder / "commitments.json", accounts
        self._written: tuple[Used, ...] = ()
        self._fault = ""

    def load(self) -> None:
        """Hears what is on the disk; nothing where there is none, or where it is damaged."""
        try:
            self._accounts.inherit(_decoder.decode(self._path.read_bytes()))
        except FileNotFoundError:
            return
        except (OSError, ValueError) as error:
            log.warning("what was drawn of commitments can't be read from %s: %s", self._path, error)
        self._written = self._accounts.counts()

    async def follow(self) -> None:
        """Writes each second what has changed, until cancelled."""
        while True:
            await asyncio.sleep(_SECONDS)
            await self.flush()

    async def flush(self) -> None:
        """Writes what has changed."""
        counts = self._accounts.counts()
        if counts == self._written:
            return
        try:
            await asyncio.to_thread(self._write, counts)
        except OSError as error:
            if str(error) != self._fault:
                self._fault = str(error)
                log.warning("what was drawn of commitments is not written to %s: %s", self._path, error)
            return
        self._written, self._fault = counts, ""

    def _write(self, counts: tuple[Used, ...]) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        partial = self._path.with_suffix(".partial")
        with partial.open("wb") as file:
            file.write(msgspec.json.encode(counts))
            file.flush()
            os.fsync(file.fileno())
        partial.replace(self._path)
