"""Places at providers that have limits: taken before an attempt, for all pods, so that no provider has to refuse."""

import time

from merit_dataplane.dispatch.bid import Bid
from merit_dataplane.exchange import Exchange
from merit_dataplane.limits.account import UsageAccount
from merit_dataplane.limits.decisions import Decisions


class Places:
    """One for all requests."""

    def __init__(self, decisions: Decisions):
        self._decisions = decisions

    async def take(self, exchange: Exchange, usage: UsageAccount, bid: Bid) -> bool:
        """Whether there is room. If so the attempt has entered, and AccountLimits.ended gives the place back."""
        now = exchange.loop.time()
        grant = usage.enter(bid.input + bid.output, 0, now, 0.0)
        try:
            refusal = await self._decisions.refuses(exchange, grant, 0, now, time.time())
        except BaseException:
            grant.refused(now)
            raise
        if refusal is not None:
            grant.refused(now)
        return refusal is None
