"""How often a key was asked for lately: a count-min sketch whose counters halve, so that old fame fades.

G. Einziger, R. Friedman, B. Manes: TinyLFU, ACM Transactions on Storage 13 (2017).
"""

import struct

_ROWS = 4
_MOST = 15
_ADDITIONS_PER_COUNTER = 10
_places = struct.Struct(f">{_ROWS}I").unpack_from
"""One for each row, of a key's first bytes."""


class Frequency:
    """Of keys that are digests: their own bytes are the hashes. 4 bytes of memory per counter of a row."""

    __slots__ = ("_added", "_mask", "_rows", "_width")

    def __init__(self, width: int = 1 << 15):
        if width & (width - 1):
            raise ValueError("the width must be a power of two")
        self._width, self._mask = width, width - 1
        self._rows = [bytearray(width) for _ in range(_ROWS)]
        self._added = 0

    def add(self, key: bytes) -> None:
        """It was asked for."""
        mask = self._mask
        for row, place in zip(self._rows, _places(key), strict=True):
            if row[place & mask] < _MOST:
                row[place & mask] += 1
        self._added += 1
        if self._added >= _ADDITIONS_PER_COUNTER * self._width:
            self._added //= 2
            self._rows = [bytearray(count >> 1 for count in row) for row in self._rows]

    def of(self, key: bytes) -> int:
        """About how often, 0 to 15; never too low, but for what has faded."""
        return int(min(row[place & self._mask] for row, place in zip(self._rows, _places(key), strict=True)))
