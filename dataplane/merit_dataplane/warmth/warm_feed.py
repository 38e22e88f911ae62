"""Where which prompts are warm, told by pods to each other: a stream in Redis, read every second.

A pod tells of a prompt's beginning once in a minute of its use; who starts anew reads the last minutes. What it tells
are hashes that are keyed with the pods' own secret, as is each message: nobody who reads Redis learns a text, nobody
who writes there makes a prompt look warm. How much of it is read from a cache is still learned by each pod.
"""

import asyncio
import hashlib
import hmac
import logging
import struct
import time

from merit_dataplane.shared_state import Script, SharedState, SharedStateUnavailableError
from merit_dataplane.warmth.table import PrefixTable

log = logging.getLogger("merit.warmth")
_EVERY_SECONDS = 1.0
_MOST_MESSAGES = 1000
"""That the stream holds, about."""
_AT_ONCE = 200
_KEPT_SECONDS = 3600
"""As long as a warm prompt is looked for, but for the oldest."""
_MAC_BYTES = 16
_READ = Script("return redis.call('XRANGE', KEYS[1], ARGV[1], '+', 'COUNT', ARGV[2])", writes=False)
_TELL = Script(
    f"""
redis.call('XADD', KEYS[1], 'MAXLEN', '~', {_MOST_MESSAGES}, '*', 'm', ARGV[1])
return redis.call('EXPIRE', KEYS[1], {_KEPT_SECONDS})
"""
)
_key = struct.Struct(">Q")


class WarmFeed:
    """Of one process. `secret` is what all pods know and nobody else."""

    def __init__(self, table: PrefixTable, state: SharedState, secret: bytes):
        self._table, self._state = table, state
        self._mac_key = hashlib.blake2b(secret, digest_size=32, person=b"merit warm feed").digest()
        self._place = state.key("warm", "prompts")
        self._heard = b"-"
        """The id of the last message; `-` is before all."""

    async def follow(self) -> None:
        """Tells and hears, without end."""
        while True:
            self.tell()
            try:
                came = _AT_ONCE
                while came == _AT_ONCE:
                    came = await self.hear()
            except SharedStateUnavailableError:
                pass
            await asyncio.sleep(_EVERY_SECONDS)

    def tell(self) -> None:
        """The others, of what was used since the last time. What they don't hear of now they hear of in a minute."""
        if told := b"".join(map(_key.pack, self._table.news())):
            self._state.later(_TELL, [self._place], [self._mac(told) + told])

    async def hear(self) -> int:
        """How many messages came. Raises SharedStateUnavailableError."""
        since = self._heard if self._heard == b"-" else b"(" + self._heard
        came = await self._state.run(_READ, [self._place], [since, _AT_ONCE], budget=self._state.budget())
        for message in came if isinstance(came, list) else ():
            self._heard, fields = message
            at = min(time.time(), int(self._heard.split(b"-")[0]) / 1000)
            sealed = bytes(fields[1])
            told = sealed[_MAC_BYTES:]
            if len(told) % _key.size or not hmac.compare_digest(sealed[:_MAC_BYTES], self._mac(told)):
                log.warning("a message on warm prompts is none of this fleet's pods': it is passed over")
                continue
            for (key,) in _key.iter_unpack(told):
                self._table.heard(key, at)
        return len(came) if isinstance(came, list) else 0

    def _mac(self, told: bytes) -> bytes:
        return hashlib.blake2b(told, key=self._mac_key, digest_size=_MAC_BYTES).digest()
