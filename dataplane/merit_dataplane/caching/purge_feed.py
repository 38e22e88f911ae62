"""Purges of one pod that all pods hear of: a hash in Redis, read every second."""

import asyncio
import logging
import struct

from merit_dataplane.caching.purges import MOST, Purges, Scope
from merit_dataplane.shared_state import Script, SharedState, SharedStateUnavailableError

log = logging.getLogger("merit.cache")
_EVERY_SECONDS = 1.0
_KEPT_SECONDS = 8 * 86_400
"""Longer than an answer is kept by any sensible ttl."""
_READ = Script("return redis.call('HGETALL', KEYS[1])", writes=False)
_ADD = Script(
    f"""
for i = 2, #ARGV, 2 do redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
if redis.call('HLEN', KEYS[1]) > {MOST} then redis.call('DEL', KEYS[1]) end
return redis.call('EXPIRE', KEYS[1], ARGV[1])
"""
)
_seconds = struct.Struct(">d")


class PurgeFeed:
    """Of one process."""

    def __init__(self, purges: Purges, state: SharedState):
        self._purges, self._state = purges, state
        self._key = state.key("cache-purges", "all")

    def tell(self, ended: dict[Scope, float]) -> bool:
        """The other pods. False: Redis is away, they don't hear of it."""
        args: list[bytes | str | int] = [_KEPT_SECONDS]
        for scope, at in ended.items():
            args += [scope, _seconds.pack(at)]
        return self._state.later(_ADD, [self._key], args)

    async def follow(self) -> None:
        """Hears of purges, without end."""
        while True:
            try:
                told = await self._state.run(_READ, [self._key], budget=self._state.budget())
            except SharedStateUnavailableError:
                told = None
            if isinstance(told, list):
                self._purges.add(_read(told))
            await asyncio.sleep(_EVERY_SECONDS)


def _read(told: list[object]) -> dict[Scope, float]:
    pairs = zip(told[::2], told[1::2], strict=False)
    return {
        scope: _seconds.unpack(at)[0]
        for scope, at in pairs
        if isinstance(scope, bytes) and isinstance(at, bytes) and len(at) == _seconds.size
    }
