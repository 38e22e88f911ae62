"""The exact cache's first level, in the pod: bounded by bytes, and who is asked for often stays.

A new entry enters a small window, least recently used first out. What leaves it is admitted to the main part only if it
was asked for at least as often as what would have to go there (W-TinyLFU): a burst of questions that are asked once
does not wash out those that are asked every minute.
"""

from collections import OrderedDict

from merit_dataplane.caching.entry import Entry
from merit_dataplane.caching.frequency import Frequency

_WINDOW_SHARE = 16
"""A sixteenth of all bytes."""


class ExactStore:
    """Answers by key, at most `capacity` bytes."""

    def __init__(self, capacity: int):
        self.capacity = capacity
        self._most_window = capacity // _WINDOW_SHARE
        self._most_main = capacity - self._most_window
        self._largest = capacity // 10
        self._window: OrderedDict[bytes, Entry] = OrderedDict()
        self._main: OrderedDict[bytes, Entry] = OrderedDict()
        self._window_bytes = self._main_bytes = 0
        self._asked = Frequency()

    def __len__(self) -> int:
        return len(self._window) + len(self._main)

    @property
    def size(self) -> int:
        """Bytes that all entries take, about."""
        return self._window_bytes + self._main_bytes

    def get(self, key: bytes, now: float) -> Entry | None:
        """The answer, unless it may no longer be served. `now`: epoch second."""
        self._asked.add(key)
        part = self._main if key in self._main else self._window
        entry = part.get(key)
        if entry is None:
            return None
        if not entry.usable(now):
            self.drop(key)
            return None
        part.move_to_end(key)
        return entry

    def put(self, key: bytes, entry: Entry) -> None:
        """Keeps an answer; others make room. One larger than a tenth of all is not kept."""
        self.drop(key)
        if entry.size > self._largest:
            return
        self._window[key] = entry
        self._window_bytes += entry.size
        while self._window_bytes > self._most_window and self._window:
            leaver, left = self._window.popitem(last=False)
            self._window_bytes -= left.size
            self._admit(leaver, left)

    def drop(self, key: bytes) -> bool:
        """Forgets an answer. Whether there was one."""
        if (entry := self._window.pop(key, None)) is not None:
            self._window_bytes -= entry.size
            return True
        if (entry := self._main.pop(key, None)) is not None:
            self._main_bytes -= entry.size
            return True
        return False

    def _admit(self, key: bytes, entry: Entry) -> None:
        wanted = self._asked.of(key)
        spared: list[bytes] = []
        freed = 0
        for other, kept in self._main.items():  # the least recently used first
            if self._main_bytes - freed + entry.size <= self._most_main:
                break
            if self._asked.of(other) > wanted:
                self._main.move_to_end(other)
                return
            spared.append(other)
            freed += kept.size
        for other in spared:
            self._main_bytes -= self._main.pop(other).size
        self._main[key] = entry
        self._main_bytes += entry.size
