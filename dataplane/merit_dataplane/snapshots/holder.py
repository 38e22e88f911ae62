"""The one place where the snapshot in force is kept. Swapping is one assignment."""

import asyncio
import time
from collections.abc import Callable

from merit_crds.credentials import Credentials
from merit_crds.snapshot import Snapshot
from merit_dataplane.live import Live
from merit_dataplane.snapshots.tables import Builder, Tables

_SLICE_SECONDS = 0.002


class SnapshotHolder:
    """Serves `tables` to requests; `apply` replaces them."""

    def __init__(self, live: Live):
        self.live = live
        self.tables: Tables | None = None
        self.term = 0
        """Newest leader's term seen."""
        self.applied_at = 0.0
        """Wall clock, epoch seconds."""
        self.watchers: list[Callable[[Tables], None]] = []
        self._turn = asyncio.Lock()

    @property
    def version(self) -> str:
        """Version in force; empty before the first snapshot."""
        return self.tables.version if self.tables else ""

    async def apply(self, version: str, snapshot: Snapshot, credentials: Credentials) -> Tables:
        """Builds tables in slices of 2 ms and swaps them in between two requests."""
        async with self._turn:
            builder = Builder(version, snapshot, credentials, self.live)
            slice_ends = time.perf_counter() + _SLICE_SECONDS
            for _ in builder.steps():
                if time.perf_counter() > slice_ends:
                    await asyncio.sleep(0)
                    slice_ends = time.perf_counter() + _SLICE_SECONDS
            if builder.tables is None:
                raise AssertionError("the last step makes the tables")
            self.tables = builder.tables
            self.applied_at = time.time()
        for watcher in self.watchers:
            watcher(builder.tables)
        return builder.tables
