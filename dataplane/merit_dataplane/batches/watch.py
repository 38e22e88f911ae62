"""Batches that nobody asks for any more: providers' lists say what has ended, and it is booked.

A client that retrieves a batch which has ended has it booked at once, in the background. For all others a pod looks at
the providers' own lists: soon where a batch is under way that it knows of, now and then everywhere, so that a restart
forgets none. With Redis one pod looks for all.
"""

import asyncio
import logging
import time

from merit_dataplane.batches.booking import Booking
from merit_dataplane.batches.ids import Ids
from merit_dataplane.batches.labels import BatchLabel, name_of
from merit_dataplane.batches.marks import Marks, NotNowError
from merit_dataplane.batches.objects import ENDED, label_of
from merit_dataplane.batches.shelf import Object, ProviderShelf, listed, shelves_of
from merit_dataplane.observability.ledger import Ledger
from merit_dataplane.snapshots.holder import SnapshotHolder
from merit_dataplane.snapshots.tables import Tables
from merit_dataplane.upstream.client import UpstreamClient, UpstreamError
from merit_dataplane.wire.errors import RequestError

log = logging.getLogger("merit.batches")
_SOON_SECONDS = 30.0
_NOW_AND_THEN_SECONDS = 600.0
_PAGE = 100
_MOST_PAGES = 20
_OLDEST_SECONDS = 72 * 3600
"""A batch has a day, and two more are for us to be away."""
_MOST_WAITING = 1000
_END_SECONDS = 5.0
_LONGEST_SECONDS = 900.0
"""For one batch's output."""
_FAILURES = (NotNowError, RequestError, UpstreamError, TimeoutError)
Place = tuple[str, str]


class Watch:
    """One for all batches. `follow` looks at lists; without it only what clients see is booked."""

    def __init__(
        self,
        *,
        client: UpstreamClient,
        holder: SnapshotHolder,
        ledger: Ledger,
        ids: Ids,
        booking: Booking,
        marks: Marks,
    ):
        self._client, self._holder, self._ledger = client, holder, ledger
        self._ids, self._booking, self._marks = ids, booking, marks
        self._under_way: set[Place] = set()
        self._looked: dict[Place, float] = {}
        self._waiting: dict[str, tuple[ProviderShelf, Object, BatchLabel]] = {}
        self._worker: asyncio.Task[None] | None = None
        self._one_at_a_time = asyncio.Lock()

    def created(self, shelf: ProviderShelf, found: Object, label: BatchLabel) -> None:
        """A batch begins."""
        self._ledger.batches[label.labels[2], label.labels[3], "created"] += 1
        self._under_way.add(shelf.key)
        self.seen(shelf, found, label)

    def seen(self, shelf: ProviderShelf, found: Object, label: BatchLabel) -> None:
        """One of ours, as its provider says that it is. Books it in the background where it has ended."""
        name = name_of(shelf.key[0], str(found.get("id", "")))
        if found.get("status") not in ENDED or self._marks.known(name) or len(self._waiting) >= _MOST_WAITING:
            return
        self._waiting[name] = (shelf, found, label)
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work(), name="batches")

    async def before_deletion(self, shelf: ProviderShelf, batch: str) -> None:
        """A batch's output is about to go: what it says is booked first. Raises RequestError (503)."""
        try:
            found = await shelf.ask("GET", shelf.batch(batch))
        except RequestError as refusal:
            if refusal.status != 404:
                raise
            return  # nobody can say any more what it was
        label = label_of(self._ids, shelf, found)
        if label is None or found.get("status") not in ENDED:
            return
        if not await self._book(shelf, found, label):
            words = "What the batch has cost can't be booked now, so its files are kept. Try again later."
            raise RequestError(503, words, kind="server_error", code="not_booked", headers=((b"retry-after", b"10"),))

    async def follow(self) -> None:
        """Looks, until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(_SOON_SECONDS)

    async def look(self) -> None:
        """At the lists whose turn it is."""
        tables = self._holder.tables
        for shelf in self._shelves(tables) if tables is not None else ():
            due = (
                shelf.key in self._under_way
                or time.monotonic() - self._looked.get(shelf.key, -1e9) > _NOW_AND_THEN_SECONDS
            )
            if not due:
                continue
            try:
                if await self._marks.lease("/".join(shelf.key), _SOON_SECONDS * 0.9):
                    await self._read(shelf)
                self._looked[shelf.key] = time.monotonic()
            except _FAILURES as error:
                log.warning("the batches of %s can't be listed: %s", shelf.key[0], str(error))
            except Exception:  # nor the looking at others
                log.exception("the batches of %s can't be listed", shelf.key[0])

    async def booked(self) -> None:
        """Returns when nothing waits to be booked."""
        while self._worker is not None and not self._worker.done():
            await asyncio.wait([self._worker])

    async def close(self) -> None:
        """Lets the batch that is being booked come to its end, and begins no other."""
        self._waiting.clear()
        if self._worker is not None:
            await asyncio.wait([self._worker], timeout=_END_SECONDS)
            self._worker.cancel()
            await asyncio.gather(self._worker, return_exceptions=True)

    # ----

    def _shelves(self, tables: Tables) -> list[ProviderShelf]:
        """Of all providers that take batches."""
        keys = {
            pricing.provider
            for pricing in tables.snapshot.pricings.values()
            if any("Batches" in model.capabilities for model in pricing.models.values())
        }
        return [
            s for key in sorted(keys & set(tables.providers)) for s in shelves_of(self._client, tables.providers[key])
        ]

    async def _read(self, shelf: ProviderShelf) -> None:
        oldest, after, under_way = time.time() - _OLDEST_SECONDS, "", False
        for _ in range(_MOST_PAGES):
            more = (("after", after),) if after else ()
            page = await shelf.ask("GET", shelf.shelf.batches, (("limit", str(_PAGE)), *more))
            things = listed(page)
            for one in things:
                label = label_of(self._ids, shelf, one)
                if label is not None:
                    self.seen(shelf, one, label)
                    under_way = under_way or one.get("status") not in ENDED
            last = things[-1] if things else {}
            created, after_this = last.get("created_at"), str(last.get("id", ""))
            if not page.get("has_more") or after_this in {"", after}:
                break
            if isinstance(created, int | float) and created < oldest:
                break
            after = after_this
        (self._under_way.add if under_way else self._under_way.discard)(shelf.key)

    async def _work(self) -> None:
        while self._waiting:
            name = next(iter(self._waiting))
            shelf, found, label = self._waiting[name]
            await self._book(shelf, found, label)
            self._waiting.pop(name, None)

    async def _book(self, shelf: ProviderShelf, found: Object, label: BatchLabel) -> bool:
        """False: it has to be tried again, as soon as the list is looked at."""
        async with self._one_at_a_time:
            try:
                async with asyncio.timeout(_LONGEST_SECONDS):
                    await self._booking.book(shelf, found, label)
            except _FAILURES as error:
                self._ledger.batches[label.labels[2], label.labels[3], "not_booked"] += 1
                self._under_way.add(shelf.key)
                log.warning("batch %s of %s is not booked yet: %s", found.get("id"), shelf.key[0], str(error))
                return False
            except Exception:  # it must not end the booking of others
                log.exception("batch %s of %s is not booked", found.get("id"), shelf.key[0])
                return False
        return True
