"""What was spent of budgets, on the pod's own disk: a process that starts anew goes on from there."""

import asyncio
import logging
import os
from pathlib import Path

import msgspec

from merit_dataplane.limits.accounts import ConsumerAccounts, Spent

log = logging.getLogger("merit.limits")
_SECONDS = 1.0
_MOST_BYTES = 64 * 1024 * 1024
_decoder = msgspec.json.Decoder(dict[str, dict[str, int]])


class BudgetDisk:
    """One file. A full or read-only disk is logged and never fatal."""

    def __init__(self, folder: Path, accounts: ConsumerAccounts):
        self._path, self._accounts = folder / "budgets.json", accounts
        self._written: Spent = {}
        self._fault = ""

    def load(self) -> None:
        """Inherits what is on the disk; nothing where there is none, or where it is damaged."""
        try:
            with self._path.open("rb") as file:
                self._accounts.inherit(_decoder.decode(file.read(_MOST_BYTES)))
        except FileNotFoundError:
            return
        except (OSError, ValueError) as error:
            log.warning("what was spent of budgets can't be read from %s: %s", self._path, error)

    async def follow(self) -> None:
        """Writes each second what has changed, until cancelled."""
        while True:
            await asyncio.sleep(_SECONDS)
            await self.flush()

    async def flush(self) -> None:
        """Writes what has changed."""
        spent = self._accounts.spent()
        if spent == self._written:
            return
        try:
            await asyncio.to_thread(self._write, msgspec.json.encode(spent))
        except OSError as error:
            if str(error) != self._fault:
                self._fault = str(error)
                log.warning("what was spent of budgets is not written to %s: %s", self._path, error)
            return
        self._written, self._fault = spent, ""

    def _write(self, data: bytes) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        partial = self._path.with_suffix(".partial")
        with partial.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(self._path)
