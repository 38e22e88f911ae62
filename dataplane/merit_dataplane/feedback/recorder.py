"""Records scores, and keeps what is believed of each candidate up to date in the tables in force."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from merit_dataplane.feedback.answer_id import Labels
from merit_dataplane.feedback.book import Book
from merit_dataplane.feedback.disk import FeedbackDisk
from merit_dataplane.feedback.resolve import Answer, Known, place_of, resolved, settle
from merit_dataplane.feedback.tally import MILLION
from merit_dataplane.observability.ledger import Ledger
from merit_dataplane.snapshots.holder import SnapshotHolder
from merit_dataplane.snapshots.tables import ConsumerPlan, RoutePlan
from merit_dataplane.wire.errors import RequestError
from merit_dataplane.wire.feedback import parse_feedback

_FOLLOW_EVERY_SECONDS = 2.0
_FADE_EVERY_SECONDS = 30.0


Also = Callable[[RoutePlan, str, float, float], Awaitable[None]]
"""Of an answer of this route: its number, its score, and the accuracy that is stated of its candidate."""


class Recorded(NamedTuple):
    """What became of a score."""

    answer: Answer
    score: float
    replaced: bool
    """Whether the answer had been scored before."""


class Recorder:
    """Of one process."""

    def __init__(self, holder: SnapshotHolder, ledger: Ledger, book: Book, disk: FeedbackDisk | None):
        self._holder, self._ledger, self._book, self._disk = holder, ledger, book, disk
        self._unsaved = False
        self.also: Also | None = None
        """Hears of each score, too."""
        holder.watchers.append(lambda _: book.everything())

    async def record(self, consumer: ConsumerPlan, body: bytes) -> Recorded:
        """A score counts from now on. Raises RequestError."""
        live, now = self._holder.live, time.time()
        try:
            given = parse_feedback(body)
            answer = resolved(given.id, consumer, Known(live.marks, live.seals), now)
            before = await self._book.put(answer, round(given.score * MILLION))
        except RequestError as refusal:
            self._ledger.feedback_refused[refusal.code or ""] += 1
            raise
        self._unsaved, self._ledger.feedback_pending = True, self._book.pending
        self._ledger.feedback[*answer.labels, "counted" if before is None else "replaced"] += 1
        self._refresh(answer.labels)
        await self._tell(answer, given.score)
        return Recorded(answer, given.score, before is not None)

    async def _tell(self, answer: Answer, score: float) -> None:
        """Who else learns from it."""
        tables = self._holder.tables
        place = place_of(answer.labels, tables) if tables is not None else None
        if self.also is not None and tables is not None and place is not None:
            await self.also(tables.routes[answer.labels[0]], answer.id.number, score, place[1].accuracy.stated)

    async def load(self) -> None:
        """What an earlier process of this pod has kept. Before the first snapshot."""
        if self._disk is not None:
            self._book.load(await asyncio.to_thread(self._disk.load))

    async def keep(self) -> None:
        """Follows other pods, lets scores fade and writes them to disk, until it is cancelled."""
        loop, due = asyncio.get_running_loop(), 0.0
        while True:
            await self.follow()
            if loop.time() >= due:
                await self.fade()
                await self.save()
                due = loop.time() + _FADE_EVERY_SECONDS
            await asyncio.sleep(_FOLLOW_EVERY_SECONDS)

    async def follow(self) -> None:
        """What other pods have been told counts here, too."""
        changed = await self._book.follow()
        self._ledger.feedback_pending = self._book.pending
        for labels in changed:
            self._refresh(labels)
            self._unsaved = True
            await asyncio.sleep(0)

    async def fade(self) -> None:
        """What is believed of everybody, as of now."""
        for labels, tally in list(self._holder.live.tallies.items()):
            tally.forget(time.time())
            self._refresh(labels)
            await asyncio.sleep(0)

    async def save(self) -> None:
        """Writes what is new."""
        if self._unsaved and self._disk is not None:
            self._unsaved = False
            await asyncio.to_thread(self._disk.store, self._book.kept())

    def _refresh(self, labels: Labels) -> None:
        tables, tally = self._holder.tables, self._holder.live.tallies.get(labels)
        place = place_of(labels, tables) if tables is not None else None
        if place is None or tally is None:
            return
        settle(*place, tally, time.time())
