"""What all pods know of stems: a hash in Redis per owner, a field per opening, sealed as answers are.

    read   one round trip for all openings of a question
    put    all that one answer changes, or nothing of it: another pod was faster, and it is read and made anew

A field's name is the opening's key, which is a hash; the hash's own name is a hash of the owner.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from merit_dataplane.caching.sealing import Seal
from merit_dataplane.shared_state import Budget, Script, SharedState

_MOST_FIELDS = 2048
"""Of one owner; beyond them some are dropped by chance."""
_MOST_BYTES = 32 * 1024
"""Of a field."""
_READ = Script("return redis.call('HMGET', KEYS[1], unpack(ARGV))", writes=False)
_PUT = Script(
    """
for i = 3, #ARGV, 3 do
  if redis.sha1hex(redis.call('HGET', KEYS[1], ARGV[i]) or '') ~= ARGV[i + 1] then return 0 end
end
for i = 3, #ARGV, 3 do redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 2]) end
local over = redis.call('HLEN', KEYS[1]) - tonumber(ARGV[2])
if over > 0 then redis.call('HDEL', KEYS[1], unpack(redis.call('HRANDFIELD', KEYS[1], over + 16))) end
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return 1
"""
)


class Found(NamedTuple):
    """One field."""

    packed: bytes | None
    """What is kept; None where there is none, or none of ours."""
    as_it_was: str
    """Tells what is there from what another pod puts there meanwhile."""


NOTHING = Found(None, hashlib.sha1(b"", usedforsecurity=False).hexdigest())


@dataclass(frozen=True, slots=True)
class Shelf:
    """Of one process."""

    state: SharedState
    seal: Seal

    async def read(self, owner: bytes, fields: Sequence[bytes], budget: Budget) -> list[Found]:
        """In the order of the fields. Raises SharedStateUnavailableError."""
        reply = await self.state.run(_READ, [self._key(owner)], fields, budget=budget)
        if not isinstance(reply, list) or len(reply) != len(fields):
            return [NOTHING] * len(fields)
        return [self._found(owner, field, sealed) for field, sealed in zip(fields, reply, strict=True)]

    async def put(
        self, owner: bytes, changes: Mapping[bytes, tuple[Found, bytes]], seconds: float, budget: Budget
    ) -> bool:
        """False: something has changed since it was read. Raises SharedStateUnavailableError."""
        args: list[bytes | str | int] = [max(1, int(1000 * seconds)), _MOST_FIELDS]
        for field, (before, packed) in changes.items():
            sealed = self.seal.close(owner + field, packed)
            if len(sealed) <= _MOST_BYTES:
                args += [field, before.as_it_was, sealed]
        return bool(await self.state.run(_PUT, [self._key(owner)], args, budget=budget) == 1)

    def announce(self, tag: bytes, owner: bytes, key: bytes, seconds: float) -> None:
        """Nobody waits."""
        self.state.keep(self._tag(tag), self.seal.close(tag, owner + key), seconds=seconds)

    async def named(self, tag: bytes, budget: Budget) -> tuple[bytes, bytes] | None:
        """Owner and key, of 16 bytes each. Raises SharedStateUnavailableError."""
        sealed = await self.state.read(self._tag(tag), budget=budget)
        both = self.seal.open(tag, sealed) if sealed is not None else None
        return (both[:16], both[16:]) if both is not None and len(both) == 32 else None

    def _tag(self, tag: bytes) -> bytes:
        return self.state.key("stem-tag", tag)

    def _found(self, owner: bytes, field: bytes, sealed: object) -> Found:
        if not isinstance(sealed, bytes):
            return NOTHING
        return Found(self.seal.open(owner + field, sealed), hashlib.sha1(sealed, usedforsecurity=False).hexdigest())

    def _key(self, owner: bytes) -> bytes:
        return self.state.key("stems", owner)
