"""The exact cache of one pod: least recently used, bounded by bytes, with a time to live."""

from collections import OrderedDict
from typing import NamedTuple

from merit_dataplane.feedback.answer_id import Byline

_OVERHEAD_BYTES = 200


class Kept(NamedTuple):
    """One answer."""

    body: bytes
    """What a hit gets: the provider's body with a cost of nothing."""
    headers: tuple[tuple[bytes, bytes], ...]
    """Response headers that say who answered."""
    cost: int
    """Pico-dollars that it cost, and that a hit saves."""
    expires: float
    """`loop.time()`."""
    byline: Byline
    """Of who wrote it: a hit is scored as its answer."""


class ExactStore:
    """Answers by key, at most `capacity` bytes."""

    def __init__(self, capacity: int):
        self._capacity = capacity
        self._kept: OrderedDict[bytes, Kept] = OrderedDict()
        self.bytes = 0

    def get(self, key: bytes, now: float) -> Kept | None:
        """The answer, unless it has expired."""
        kept = self._kept.get(key)
        if kept is None:
            return None
        if kept.expires <= now:
            self._drop(key)
            return None
        self._kept.move_to_end(key)
        return kept

    def put(self, key: bytes, kept: Kept) -> None:
        """Keeps an answer; the least recently used make room. One larger than a tenth of all is not kept."""
        size = len(kept.body) + _OVERHEAD_BYTES
        if size > self._capacity // 10:
            return
        if key in self._kept:
            self._drop(key)
        self._kept[key] = kept
        self.bytes += size
        while self.bytes > self._capacity:
            self._drop(next(iter(self._kept)))

    def _drop(self, key: bytes) -> None:
        self.bytes -= len(self._kept.pop(key).body) + _OVERHEAD_BYTES
