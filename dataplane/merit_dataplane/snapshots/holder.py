"""The one place where the snapshot in force is kept. Swapping is one assignment."""

import asyncio
import sys
import time
from collections.abc import Callable, Iterable, Iterator

import re2

from merit_crds.credentials import Credentials
from merit_crds.snapshot import Snapshot
from merit_dataplane.authentication.schemes import Identity, Working
from merit_dataplane.failpoints import passes
from merit_dataplane.live import Live
from merit_dataplane.snapshots.collector import collector_paused
from merit_dataplane.snapshots.tables import Builder, Tables

_SLICE_SECONDS = 0.002
_LOOK_AGAIN_SECONDS = 0.25
_REFERENCES_OF_OURS = 2
"""To tables that no request holds: the list's, and the argument of getrefcount."""


class UnusableSnapshotError(ValueError):
    """The snapshot contradicts itself, or needs what this release doesn't know; the message names the entry."""


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
        self._dismantling: list[asyncio.Task[None]] = []

    @property
    def version(self) -> str:
        """Version in force; empty before the first snapshot."""
        return self.tables.version if self.tables else ""

    async def apply(
        self, version: str, snapshot: Snapshot, credentials: Credentials, *, only_as_first: bool = False
    ) -> bool:
        """Builds tables in slices of 2 ms and swaps them in between two requests.

        False when `only_as_first` and there is a snapshot already. Raises UnusableSnapshotError.
        """
        async with self._turn:
            if only_as_first and self.tables is not None:
                return False
            builder = Builder(version, snapshot, credentials, self.live)
            try:
                with collector_paused():
                    await _in_slices(builder.steps())
            except KeyError as error:
                raise UnusableSnapshotError(f"{builder.at}: {error} is not known") from error
            except (ValueError, re2.error) as error:
                raise UnusableSnapshotError(f"{builder.at}: {error}") from error
            if builder.tables is None:
                raise AssertionError("the last step makes the tables")
            passes("push.built")
            if self.tables is not None:
                self._dismantling.append(asyncio.create_task(_dismantle([self.tables])))
                self._dismantling = [task for task in self._dismantling if not task.done()]
            self.tables = builder.tables
            self.applied_at = time.time()
            self.live.authentications.follow(_identities(snapshot))
        for watcher in self.watchers:
            watcher(builder.tables)
        return True


def _identities(snapshot: Snapshot) -> set[Identity]:
    """Of the providers that have more to do than to send a key."""
    return {
        (key, entry.authentication)
        for key, entry in snapshot.providers.items()
        if isinstance(entry.authentication, Working)
    }


async def _in_slices(steps: Iterable[object]) -> None:
    slice_ends = time.perf_counter() + _SLICE_SECONDS
    for _ in steps:
        if time.perf_counter() > slice_ends:
            await asyncio.sleep(0)
            slice_ends = time.perf_counter() + _SLICE_SECONDS


async def _dismantle(replaced: list[Tables]) -> None:
    """Frees replaced tables piece by piece, once no request holds them: all at once takes 50 ms at 2,000 routes."""
    while sys.getrefcount(replaced[0]) > _REFERENCES_OF_OURS:  # noqa: ASYNC110 # nobody tells when a request lets go
        await asyncio.sleep(_LOOK_AGAIN_SECONDS)
    tables = replaced.pop()
    snapshot = tables.snapshot
    pieces: list[object] = [*tables.routes.values(), *tables.consumers.values()]
    pieces += [*snapshot.providers.values(), *snapshot.pricings.values(), *snapshot.routes.values()]
    del tables, snapshot
    await _in_slices(_emptied(pieces))


def _emptied(pieces: list[object]) -> Iterator[None]:
    while pieces:
        pieces.pop()
        yield
