"""What this pod knows of stems, bounded by bytes; with a shelf, what all pods know, some seconds old at most."""

import asyncio
import contextlib
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from math import inf
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from merit_dataplane.caching.frequency import Frequency
from merit_dataplane.shared_state import SharedStateUnavailableError
from merit_dataplane.stems.record import Pool, Record

if TYPE_CHECKING:
    from merit_dataplane.shared_state import Budget
    from merit_dataplane.stems.shelf import Found, Shelf

POOL = b"pool"
_FRESH_SECONDS = 5.0
"""A gate that another pod has closed is closed here after so long."""
_WORK_SECONDS = 1.0
"""For what no request waits for."""
_TRIES = 4
_MOST_WAITING = 256
_EMPTY_SIZE = 200
TAG_BYTES = 4
_ANNOUNCE_SECONDS, _MOST_ANNOUNCED = 3600.0, 10_000
_encode = msgspec.msgpack.Encoder().encode
_record = msgspec.msgpack.Decoder(Record)
_pool = msgspec.msgpack.Decoder(Pool)


class Known(NamedTuple):
    """Of one question's openings."""

    records: Mapping[bytes, Record]
    pool: Pool


Change = Callable[[Known], Known]
"""What becomes of what is known; only what it gives back is kept. It may be called several times."""


class _Held:
    """One record, or a pool."""

    __slots__ = ("before", "read_at", "value")

    def __init__(self, value: Record | Pool | None, before: "Found | None", read_at: float):
        self.value, self.before, self.read_at = value, before, read_at

    @property
    def size(self) -> int:
        return self.value.size if isinstance(self.value, Record) else _EMPTY_SIZE


class Library:
    """Of one process. Needs a running loop where there is a shelf."""

    def __init__(self, capacity: int, shelf: "Shelf | None" = None):
        self._capacity, self._shelf = capacity, shelf
        self._held: OrderedDict[tuple[bytes, bytes], _Held] = OrderedDict()
        self.size = 0
        """Bytes, about."""
        self._asked = Frequency()
        self._tags: dict[bytes, tuple[bytes, bytes]] = {}
        """Stems by the first bytes of their keys."""
        self._waiting: asyncio.Queue[tuple[bytes, tuple[bytes, ...], Change, float]] = asyncio.Queue(_MOST_WAITING)
        self._task: asyncio.Task[None] | None = None
        self._working = False
        self._announced: dict[bytes, float] = {}
        self.dropped = 0
        """Answers that nothing was learned from: too many at once, or Redis away."""

    def __len__(self) -> int:
        return len(self._held)

    async def look(self, owner: bytes, keys: Sequence[bytes], budget: "Callable[[], Budget]") -> Known:
        """What is known of these openings."""
        for key in keys:
            self._asked.add(key)
        if self._shelf is not None:
            now = time.monotonic()
            old = [key for key in (POOL, *keys) if not self._is_fresh(owner, key, now)]
            if old:
                with contextlib.suppress(SharedStateUnavailableError):  # then what is known here counts
                    await self._read(self._shelf, owner, old, budget())
        return self._known(owner, keys)

    def asked_again(self, keys: Sequence[bytes]) -> list[bytes]:
        """Those that were asked for at least twice lately: most questions never come again."""
        return [key for key in keys if self._asked.of(key) > 1]

    def change(self, owner: bytes, keys: tuple[bytes, ...], how: Change, seconds: float) -> None:
        """Here at once, for all pods soon. `seconds`: how long it is kept there."""
        before = self._known(owner, keys)
        self._keep(owner, before, how(before))
        if self._shelf is None:
            return
        try:
            self._waiting.put_nowait((owner, keys, how, seconds))
        except asyncio.QueueFull:
            self.dropped += 1
            return
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._work(self._shelf))

    def announce(self, owner: bytes, key: bytes, seconds: float) -> None:
        """A pod that hears a score of an answer by this stem may know it by its tag alone."""
        if self._shelf is not None and self._announced.get(key, -inf) < time.monotonic() - _ANNOUNCE_SECONDS:
            if len(self._announced) > _MOST_ANNOUNCED:
                self._announced.clear()
            self._announced[key] = time.monotonic()
            self._shelf.announce(key[:TAG_BYTES], owner, key, seconds)

    async def named(self, tag: bytes) -> tuple[bytes, bytes] | None:
        """Owner and key of the stem with this tag."""
        found = self._tags.get(tag)
        if found is None and self._shelf is not None:
            from merit_dataplane.shared_state import Budget  # noqa: PLC0415 # as below

            with contextlib.suppress(SharedStateUnavailableError):
                found = await self._shelf.named(tag, Budget(_WORK_SECONDS))
        return found

    @property
    def idle(self) -> bool:
        """Whether all that was heard has been shared, or dropped."""
        return self._waiting.empty() and not self._working

    def expire(self) -> None:
        """What other pods know is read again before anything is used."""
        for held in self._held.values():
            held.read_at = -inf

    async def close(self) -> None:
        """Ends what no request waits for."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    def everything(self) -> list[tuple[bytes, Record | Pool]]:
        """By owner, for metrics."""
        return [(owner, held.value) for (owner, _), held in self._held.items() if held.value is not None]

    # ---- Redis

    async def _work(self, shelf: "Shelf") -> None:
        from merit_dataplane.shared_state import Budget  # noqa: PLC0415 # where there is a shelf there is its client

        while True:
            self._working = False
            owner, keys, how, seconds = await self._waiting.get()
            self._working = True
            try:
                if not await self._changed(shelf, owner, keys, how, seconds, Budget(_WORK_SECONDS)):
                    self.dropped += 1
            except SharedStateUnavailableError:
                self.dropped += 1

    async def _changed(  # noqa: PLR0917 # one change
        self, shelf: "Shelf", owner: bytes, keys: tuple[bytes, ...], how: Change, seconds: float, budget: "Budget"
    ) -> bool:
        """Read, changed and put back, unless others are always faster."""
        for _ in range(_TRIES):
            await self._read(shelf, owner, (POOL, *keys), budget)
            before = self._known(owner, keys)
            after = how(before)
            changes = {
                key: (self._before(owner, key), _encode(value)) for key, value in _differences(before, after).items()
            }
            if not changes:
                return True
            if await shelf.put(owner, changes, seconds, budget):
                self._keep(owner, before, after)
                return True
        return False

    async def _read(self, shelf: "Shelf", owner: bytes, keys: Sequence[bytes], budget: "Budget") -> None:
        found, now = await shelf.read(owner, keys, budget), time.monotonic()
        for key, field in zip(keys, found, strict=True):
            self._hold(owner, key, _Held(_unpacked(key, field.packed), field, now))

    def _before(self, owner: bytes, key: bytes) -> "Found":
        held = self._held.get((owner, key))
        if held is None or held.before is None:
            from merit_dataplane.stems.shelf import NOTHING  # noqa: PLC0415 # as above

            return NOTHING
        return held.before

    # ---- here

    def _is_fresh(self, owner: bytes, key: bytes, now: float) -> bool:
        held = self._held.get((owner, key))
        return held is not None and now - held.read_at < _FRESH_SECONDS

    def _known(self, owner: bytes, keys: Sequence[bytes]) -> Known:
        records, pool = {}, Pool()
        for key in keys:
            held = self._held.get((owner, key))
            if held is not None and isinstance(held.value, Record):
                records[key] = held.value
                self._held.move_to_end((owner, key))
        held = self._held.get((owner, POOL))
        if held is not None and isinstance(held.value, Pool):
            pool = held.value
            self._held.move_to_end((owner, POOL))
        return Known(records, pool)

    def _keep(self, owner: bytes, before: Known, after: Known) -> None:
        for key, value in _differences(before, after).items():
            held = self._held.get((owner, key))
            made = _Held(value, held.before if held else None, held.read_at if held else time.monotonic())
            self._hold(owner, key, made)

    def _hold(self, owner: bytes, key: bytes, made: _Held) -> None:
        old = self._held.pop((owner, key), None)
        self._held[owner, key] = made
        self.size += made.size - (old.size if old is not None else 0)
        if isinstance(made.value, Record) and made.value.beginning:
            self._tags[key[:TAG_BYTES]] = (owner, key)
        while self.size > self._capacity and len(self._held) > 1:
            (_, gone), held = self._held.popitem(last=False)
            self.size -= held.size
            self._tags.pop(gone[:TAG_BYTES], None)


def _differences(before: Known, after: Known) -> dict[bytes, Record | Pool]:
    changed: dict[bytes, Record | Pool] = {
        key: record for key, record in after.records.items() if before.records.get(key) != record
    }
    if after.pool != before.pool:
        changed[POOL] = after.pool
    return changed


def _unpacked(key: bytes, packed: bytes | None) -> Record | Pool | None:
    """None also for what another version of Merit has written."""
    if packed is None:
        return None
    try:
        return _pool.decode(packed) if key == POOL else _record.decode(packed)
    except msgspec.DecodeError:
        return None
