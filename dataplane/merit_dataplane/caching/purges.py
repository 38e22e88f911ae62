"""What was purged, and when: an answer from before is none, in every pod.

A purge names a route, a consumer or a tag. It is a moment, not a walk over entries: those that it ends are passed over
when they are found. Names are hashed: they also stand in Redis.
"""

import hashlib
import time
from collections.abc import Mapping
from functools import lru_cache

from merit_dataplane.caching.entry import Entry

MOST = 10_000
Scope = bytes
"""Hash of what is purged."""


class Purges:
    """Of all pods, as far as this one has heard."""

    def __init__(self) -> None:
        self._ended: dict[Scope, float] = {}

    def add(self, ended: Mapping[Scope, float]) -> None:
        """Answers of these scopes from before these epoch seconds are none."""
        for scope, at in ended.items():
            if at > self._ended.get(scope, 0.0):
                self._ended.pop(scope, None)
                self._ended[scope] = at
        while len(self._ended) > MOST:
            self._ended.pop(next(iter(self._ended)))

    def ends(self, entry: Entry) -> bool:
        """Whether this answer was purged."""
        if not self._ended:
            return False
        tags = (scope_of("tag", tag) for tag in entry.tags)
        return self.ended(entry.created, entry.labels[0], entry.consumer, *tags)

    def ended(self, created: float, route: str, consumer: str, *scopes: Scope) -> bool:
        """Whether what was made then, of this route and consumer, was purged."""
        if not self._ended:
            return False
        scopes = (scope_of("route", route), scope_of("consumer", consumer), *scopes)
        return any(created <= self._ended.get(scope, 0.0) for scope in scopes)


@lru_cache(maxsize=4096)
def scope_of(kind: str, name: str) -> Scope:
    """Of a `route` or `consumer` (`namespace/name`), or of a `tag`."""
    return hashlib.blake2b(f"{kind}:{name}".encode(), digest_size=16).digest()


def from_now_on(scopes: list[Scope]) -> dict[Scope, float]:
    """A purge that begins now."""
    return dict.fromkeys(scopes, time.time())
