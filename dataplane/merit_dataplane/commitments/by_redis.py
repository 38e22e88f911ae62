"""What pods have drawn of commitments, through Redis: within two seconds, where the operator takes ten.

One hash per commitment and period: a field per process with what it has drawn, and their sum. A process says what it
has drawn in all, so a call that comes twice, or whose reply was lost, adds nothing; and a Redis that lost its data gets
it again from every process that lives. Redis counts in 64 bits: whole tokens and requests, micro-dollars.
"""

import asyncio
import logging

from merit_crds.commitments.period import UNITS
from merit_crds.commitments.tally import Key
from merit_dataplane.commitments.accounts import CommitmentAccounts
from merit_dataplane.shared_state import Budget, Script, SharedState, SharedStateUnavailableError

log = logging.getLogger("merit.commitments")
_SECONDS = 2.0
_WAIT_SECONDS = 1.0
_KEPT_SECONDS = 40 * 86_400
_DRAWN = Script("""
local known = redis.call('HGET', KEYS[1], ARGV[1]) or '0'
local more = ARGV[2] - known
if more > 0 then
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
  redis.call('HINCRBY', KEYS[1], 'total', string.format('%.0f', more))
  known = ARGV[2]
end
redis.call('EXPIRE', KEYS[1], ARGV[3])
return {redis.call('HGET', KEYS[1], 'total') or '0', known}
""")


class CommitmentsByRedis:
    """Of one process."""

    def __init__(self, state: SharedState, accounts: CommitmentAccounts):
        self._state, self._accounts = state, accounts

    async def follow(self) -> None:
        """Until cancelled. While Redis is away each pod goes on with what it knows."""
        while True:
            await self.exchange()
            await asyncio.sleep(_SECONDS)

    async def exchange(self) -> None:
        """Tells what this process has drawn, hears what all have."""
        others: dict[Key, int] = {}
        for used in self._accounts.own_counts():
            key = self._state.key("commitments", used.commitment, str(used.period))
            args = (used.process, int(used.units) // UNITS, _KEPT_SECONDS)
            try:
                total, mine = await self._state.run(_DRAWN, [key], args, budget=Budget(_WAIT_SECONDS))
            except SharedStateUnavailableError:
                break  # the link tells of it
            others[used.commitment, used.period] = max(0, int(total) - int(mine)) * UNITS
        if others:
            self._accounts.hear_total(others)
