"""When each prefix was last sent where. Bounded by bytes: the prefixes unused for longest make room."""

import hashlib
import secrets
from collections import OrderedDict
from collections.abc import Sequence

_BYTES = 16 << 20
_BYTES_PER_ENTRY = 256
"""Of CPython 3.11 to 3.13, measured with tracemalloc: 190 to 250, by how full the dictionary is."""
_TOLD_EVERY_SECONDS = 60.0
_MOST_NEWS = 2048


class PrefixTable:
    """Of one pod, for all providers.

    `secret`: what all pods of the fleet know; then they can tell each other of their prefixes. Without one nobody else
    understands this pod's.
    """

    __slots__ = ("_most", "_news", "_used", "salt")

    def __init__(self, most_bytes: int = _BYTES, secret: bytes | None = None):
        self._most = max(1, most_bytes // _BYTES_PER_ENTRY)
        self._used: OrderedDict[int, float] = OrderedDict()
        self._news: list[int] | None = None if secret is None else []
        self.salt = secrets.token_bytes(16) if secret is None else _salt(secret)
        """Of the links: outside of the pods that share it they say nothing of any text."""

    def slot(self, name: str) -> int:
        """What tells the prefixes of this name from those of others."""
        return int.from_bytes(hashlib.blake2b(name.encode(), key=self.salt, digest_size=8).digest())

    def __len__(self) -> int:
        return len(self._used)

    def last_used(self, key: int) -> float | None:
        """Epoch second; None where it is not known."""
        return self._used.get(key)

    def use(self, key: int, now: float) -> None:
        """It was sent at this epoch second."""
        self._used[key] = now
        self._used.move_to_end(key)
        if len(self._used) > self._most:
            self._used.popitem(last=False)

    def tell(self, key: int, now: float) -> None:
        """It was sent, and the other pods are to hear of it, once in a minute."""
        if self._news is not None and len(self._news) < _MOST_NEWS:
            before = self._used.get(key)
            if before is None or before // _TOLD_EVERY_SECONDS != now // _TOLD_EVERY_SECONDS:
                self._news.append(key)
        self.use(key, now)

    def news(self) -> list[int]:
        """What the others are to hear of since the last time."""
        told = self._news or []
        if told:
            self._news = []
        return told

    def heard(self, key: int, at: float) -> None:
        """Another pod sent it then."""
        if at > self._used.get(key, 0.0):
            self.use(key, at)

    def sent_since(self, links: Sequence[int], slot: int, since: float) -> int:
        """How many links were sent since then: all before a known one are known, so it is found by halving."""
        low, high = 0, len(links)
        while low < high:
            middle = (low + high) // 2
            used = self._used.get(links[middle] ^ slot)
            if used is not None and used > since:
                low = middle + 1
            else:
                high = middle
        return low


def _salt(secret: bytes) -> bytes:
    return hashlib.blake2b(secret, digest_size=16, person=b"merit prefixes").digest()
