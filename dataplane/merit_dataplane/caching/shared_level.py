"""The exact cache's second level: what all pods keep in Redis, and who of them asks when several want the same.

    look     one round trip: the entry; or the claim to fetch it, for some seconds at a time; or that another has it
    keep     the entry goes to Redis, the claim is given back
    release  only the claim: there was nothing to keep

Whoever finds a claim taken looks again until there is an entry, or the claim is free: its holder keeps it alive while
its call goes on. Without Redis every pod is its own.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from merit_dataplane.caching.claim import Found
from merit_dataplane.caching.entry import Entry
from merit_dataplane.caching.sealing import Seal
from merit_dataplane.shared_state import Budget, Script, SharedState, SharedStateUnavailableError

_MOST_BYTES = 1 << 20
_CLAIM_SECONDS = 8.0
_RENEW_SECONDS = 2.5
_FIRST_LOOK_SECONDS, _LONGEST_LOOK_SECONDS = 0.02, 0.25
# a claim that would never end is none of ours
_LOOK = Script(
    """
local kept = redis.call('GETRANGE', KEYS[1], 0, ARGV[3] - 1)
if #kept > 0 and ARGV[4] == '0' then return kept end
if redis.call('SET', KEYS[2], ARGV[1], 'NX', 'PX', ARGV[2]) then return 1 end
local left = redis.call('PTTL', KEYS[2])
if left >= 0 and left <= tonumber(ARGV[2]) then return 0 end
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
return 1
"""
)
_KEEP = Script(
    """
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
if redis.call('GET', KEYS[2]) == ARGV[1] then redis.call('DEL', KEYS[2]) end
return 1
"""
)
_RELEASE = Script("if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0")
_RENEW = Script(
    "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end return 0"
)


Serves = Callable[[Entry], bool]
"""Whether an entry will do for who looks for one."""


@dataclass(frozen=True, slots=True)
class SharedLevel:
    """Of one process."""

    state: SharedState
    seal: Seal

    async def look(self, key: bytes, claim: bytes, budget: Budget, serves: Serves) -> Entry | Found:
        """An entry that serves; what is kept and does not is left, and the claim to fetch another one is tried for.

        A Redis that takes no writes, since it is full or a replica, still tells what it has.
        """
        keys, most = self._keys(key), _MOST_BYTES
        try:
            reply = await self.state.run(_LOOK, keys, (claim, int(1000 * _CLAIM_SECONDS), most, 0), budget=budget)
            if isinstance(reply, bytes):
                entry = self.seal.unseal(key, reply)
                if entry is not None and serves(entry):
                    return entry
                # also changed, cut off, another version's, or over here before it is in Redis
                reply = await self.state.run(_LOOK, keys, (claim, int(1000 * _CLAIM_SECONDS), most, 1), budget=budget)
        except SharedStateUnavailableError:
            entry = await self.peek(key, budget)
            return entry if entry is not None and serves(entry) else Found.AWAY
        return Found.CLAIMED if reply == 1 else Found.TAKEN

    async def peek(self, key: bytes, budget: Budget) -> Entry | None:
        """The entry, claiming nothing."""
        try:
            sealed = await self.state.read(self._keys(key)[0], budget=budget)
        except SharedStateUnavailableError:
            return None
        return self.seal.unseal(key, sealed) if sealed is not None else None

    async def wait(self, key: bytes, claim: bytes, serves: Serves) -> Entry | Found:
        """Looks again until another pod's call has ended. The caller bounds it."""
        pause = _FIRST_LOOK_SECONDS
        while True:
            await asyncio.sleep(pause)
            found = await self.look(key, claim, self.state.budget(), serves)
            if found is not Found.TAKEN:
                return found
            pause = min(_LONGEST_LOOK_SECONDS, pause * 1.5)

    @contextlib.asynccontextmanager
    async def held(self, key: bytes, claim: bytes) -> AsyncIterator[None]:
        """Keeps a claim alive."""
        keys = self._keys(key)[1:]

        async def renew() -> None:
            while True:
                await asyncio.sleep(_RENEW_SECONDS)
                self.state.later(_RENEW, keys, (claim, int(1000 * _CLAIM_SECONDS)))

        task = asyncio.get_running_loop().create_task(renew())
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    def keep(self, key: bytes, claim: bytes, entry: Entry) -> None:
        """For all pods."""
        sealed, left = self.seal.seal(key, entry), entry.stale_until - time.time()
        if left <= 0 or len(sealed) > _MOST_BYTES:
            return self.release(key, claim)
        self.state.later(_KEEP, self._keys(key), (claim, sealed, max(1, int(1000 * left))))
        return None

    def release(self, key: bytes, claim: bytes) -> None:
        """Others may ask."""
        self.state.later(_RELEASE, self._keys(key)[1:], (claim,))

    def _keys(self, key: bytes) -> list[bytes]:
        return [self.state.key("cache", key), self.state.key("cache", key, "claim")]
