"""Streams that were made of kept answers: a hit asked for again and again is not told event by event each time."""

from collections import OrderedDict

from merit_dataplane.caching.entry import Entry
from merit_dataplane.wire.kept_answer import kept_stream
from merit_dataplane.wire.openai_request import Call


class Streams:
    """At most `capacity` bytes of them, least recently used first out."""

    def __init__(self, capacity: int):
        self._capacity = capacity
        self._made: OrderedDict[tuple[bytes, bool], tuple[Entry, bytes]] = OrderedDict()
        self.size = 0
        """Bytes that all take, about, with the entries that they were made of: the store may have dropped these."""

    def of(self, key: bytes, entry: Entry, call: Call) -> bytes:
        """The whole stream, for this client. Raises ValueError where none can be made of the entry."""
        place = key, call.wants_usage
        held = self._made.get(place)
        if held is not None and held[0] is entry:
            self._made.move_to_end(place)
            return held[1]
        made = kept_stream(entry.body, call)
        if held is not None:
            self._drop(place)
        if len(made) + entry.size <= self._capacity // 10:
            self._made[place] = entry, made
            self.size += len(made) + entry.size
            while self.size > self._capacity:
                self._drop(next(iter(self._made)))
        return made

    def _drop(self, place: tuple[bytes, bool]) -> None:
        entry, made = self._made.pop(place)
        self.size -= len(made) + entry.size
