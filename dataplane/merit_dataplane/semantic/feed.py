"""What all pods know of questions that were answered: a stream in Redis per group, sealed as answers are.

A pod that looks for a question reads what came since it last read, in one round trip. The stream's name is a hash, and
so is the key of an answer; whoever reads Redis sees no vector where a key is configured. It ends when nobody has
answered a question of the group for as long as an answer is kept.
"""

from dataclasses import dataclass

import msgspec

from merit_dataplane.caching.sealing import Seal
from merit_dataplane.semantic.index import MOST_QUESTIONS, Index
from merit_dataplane.semantic.vector import Vector, unpacked
from merit_dataplane.shared_state import Budget, Script, SharedState, SharedStateUnavailableError

_AT_ONCE = 512
_MOST_READS = MOST_QUESTIONS // _AT_ONCE
_MOST_BYTES = 32 * 1024
_READ = Script(f"return redis.call('XRANGE', KEYS[1], ARGV[1], '+', 'COUNT', {_AT_ONCE})", writes=False)
_TELL = Script(
    f"""
redis.call('XADD', KEYS[1], 'MAXLEN', '~', {MOST_QUESTIONS}, '*', 'q', ARGV[1])
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
"""
)


class _Told(msgspec.Struct, frozen=True, array_like=True):
    key: bytes
    packed: bytes
    until: float


_encode = msgspec.msgpack.Encoder().encode
_told = msgspec.msgpack.Decoder(_Told)


@dataclass(frozen=True, slots=True)
class Feed:
    """Of one process."""

    state: SharedState
    seal: Seal

    async def hear(self, index: Index, group: bytes, budget: Budget) -> None:
        """Puts into the index what other pods have answered. Where Redis is away, nothing."""
        for _ in range(_MOST_READS):
            after = index.heard(group)
            try:
                told = await self.state.run(
                    _READ, [self._name(group)], [b"(" + after if after else b"-"], budget=budget
                )
            except SharedStateUnavailableError:
                return
            if not isinstance(told, list) or not told:
                return
            for _, fields in told:
                self._add(index, group, fields[1])
            index.hear(group, told[-1][0])
            if len(told) < _AT_ONCE:
                return

    def tell(self, group: bytes, key: bytes, asked: Vector, until: float, seconds: float) -> None:
        """The other pods; nobody waits. `seconds`: how long answers are kept."""
        sealed = self.seal.close(group, _encode(_Told(key, asked.packed, until)))
        if len(sealed) <= _MOST_BYTES:
            self.state.later(_TELL, [self._name(group)], [sealed, max(1, int(1000 * seconds))])

    def _add(self, index: Index, group: bytes, sealed: bytes) -> None:
        """Also what another version has written, or nobody of ours: then it is nothing."""
        opened = self.seal.open(group, sealed)
        try:
            told = _told.decode(opened) if opened is not None else None
        except msgspec.DecodeError:
            return
        asked = unpacked(told.packed) if told is not None else None
        if told is not None and asked is not None:
            index.add(group, told.key, asked, told.until)

    def _name(self, group: bytes) -> bytes:
        return self.state.key("semantic", group)
