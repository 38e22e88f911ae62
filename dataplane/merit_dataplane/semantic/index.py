"""Questions that were answered, in groups that have all else in common; bounded by bytes, idle groups go first.

The nearest is found among all of its group: first by the signs of the dimensions, then the few best by their cosines.
"""

import heapq
from collections import OrderedDict
from typing import NamedTuple

from merit_dataplane.semantic.vector import Vector, cosine, most_signs, numbers_in

MOST_QUESTIONS = 2048
"""Of one group; then the oldest goes."""
_COMPARED = 16
_RECORD_BYTES, _GROUP_BYTES = 250, 400


class Alike(NamedTuple):
    """A question that was answered."""

    similarity: float
    key: bytes
    """Of its answer in the exact cache."""


class _Asked(NamedTuple):
    vector: Vector
    until: float

    @property
    def size(self) -> int:
        return self.vector.size + _RECORD_BYTES


class _Group:
    __slots__ = ("asked", "heard")

    def __init__(self) -> None:
        self.asked: OrderedDict[bytes, _Asked] = OrderedDict()
        """By the key of the answer, the newest last."""
        self.heard = b""
        """How far this pod has heard of what other pods answered."""


class Index:
    """Of one process, at most `capacity` bytes."""

    def __init__(self, capacity: int):
        self._capacity = capacity
        self._groups: OrderedDict[bytes, _Group] = OrderedDict()
        self.size = 0
        """Bytes, about."""

    def __len__(self) -> int:
        return sum(len(group.asked) for group in self._groups.values())

    def nearest(self, group: bytes, asked: Vector, at_least: float, now: float) -> list[Alike]:
        """Those at least so alike, the nearest first; not all of them where there are many. `now`: epoch second."""
        found = self._groups.get(group)
        if found is None:
            return []
        self._groups.move_to_end(group)
        for key in [key for key, other in found.asked.items() if other.until <= now]:
            self._drop(found, key)
        signs, length = asked.signs, len(asked.packed)
        most = most_signs(length // 2, at_least)
        differing = [
            (differs, key, other.vector.packed)
            for key, other in found.asked.items()
            if (differs := (other.vector.signs ^ signs).bit_count()) <= most and len(other.vector.packed) == length
        ]
        numbers = numbers_in(asked.packed)
        alike = [
            Alike(cosine(numbers, numbers_in(packed)), key) for _, key, packed in heapq.nsmallest(_COMPARED, differing)
        ]
        return sorted((one for one in alike if one.similarity >= at_least), reverse=True)

    def add(self, group: bytes, key: bytes, asked: Vector, until: float) -> None:
        """A question was answered; the answer is under this key until then, at most."""
        found = self._group(group)
        self._drop(found, key)
        found.asked[key] = made = _Asked(asked, until)
        self.size += made.size
        if len(found.asked) > MOST_QUESTIONS:
            self._drop(found, next(iter(found.asked)))
        self._fit()

    def heard(self, group: bytes) -> bytes:
        """How far this pod has heard of what other pods answered; empty: nothing yet."""
        found = self._groups.get(group)
        return found.heard if found is not None else b""

    def hear(self, group: bytes, up_to: bytes) -> None:
        """It has heard more."""
        self._group(group).heard = up_to
        self._fit()

    def _group(self, group: bytes) -> _Group:
        found = self._groups.get(group)
        if found is None:
            found = self._groups[group] = _Group()
            self.size += _GROUP_BYTES
        self._groups.move_to_end(group)
        return found

    def _drop(self, group: _Group, key: bytes) -> None:
        gone = group.asked.pop(key, None)
        if gone is not None:
            self.size -= gone.size

    def _fit(self) -> None:
        """A group is forgotten as a whole, with how far it was heard: then it is heard anew. The last one shrinks."""
        while self.size > self._capacity and len(self._groups) > 1:
            _, gone = self._groups.popitem(last=False)
            self.size -= _GROUP_BYTES + sum(asked.size for asked in gone.asked.values())
        for last in self._groups.values():
            while self.size > self._capacity and last.asked:
                self._drop(last, next(iter(last.asked)))
            return
