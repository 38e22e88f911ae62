"""Admission: whether a consumer's limits and budgets have room for a request, before anybody is asked for an answer.

What the request really used is booked at its end.
"""

import time

from merit_dataplane.dispatch.merit_order import merit_order
from merit_dataplane.dispatch.tiers import classify, named
from merit_dataplane.exchange import Exchange
from merit_dataplane.limits.account import Grant, Limit, Refusal, UsageAccount
from merit_dataplane.limits.decisions import Decisions
from merit_dataplane.limits.refusal import limited
from merit_dataplane.observability.ledger import Ledger
from merit_dataplane.snapshots.tables import Headers, RoutePlan, TierPlan
from merit_dataplane.wire.openai_request import Call


class Admission:
    """One for all requests."""

    def __init__(self, decisions: Decisions, ledger: Ledger):
        self._decisions, self._ledger = decisions, ledger

    async def admit(
        self, exchange: Exchange, account: UsageAccount, route: RoutePlan, call: Call, headers: Headers
    ) -> None:
        """Lets it pass, perhaps to a cheaper tier. Raises RequestError 429."""
        now, wall = exchange.started, time.time()
        tokens, cost = _expected(exchange, classify(route, call, headers), call, wall)
        grant = account.enter(tokens, cost, now, wall)
        try:
            refusal = await self._decisions.refuses(exchange, grant, _all(account), now, wall)
            if refusal is not None and refusal.limit is Limit.BUDGET:
                tier = named(route, account.budgets[refusal.budget].terms.tier_when_spent)
                if tier is not None:
                    exchange.forced_tier = tier.name
                    grant.reprice(*_expected(exchange, tier, call, wall), now)
                    refusal = await self._decisions.refuses(exchange, grant, _strict(account, route), now, wall)
        except BaseException:
            grant.refused(now)
            raise
        self._heed(refusal, account, grant, now, wall)
        exchange.grant = grant

    async def admit_call(self, exchange: Exchange, account: UsageAccount, *, cost: int | None = None) -> Grant:
        """The same for a call without tokens. `cost`: pico-dollars that it takes off the budgets; None: they are not
        asked. Whoever gets the grant settles it. Raises RequestError 429.
        """
        now, wall = exchange.loop.time(), time.time()
        grant = account.enter(0, cost or 0, now, wall)
        try:
            refusal = await self._decisions.refuses(exchange, grant, 0 if cost is None else _all(account), now, wall)
        except BaseException:
            grant.refused(now)
            raise
        self._heed(refusal, account, grant, now, wall)
        return grant

    def _heed(self, refusal: Refusal | None, account: UsageAccount, grant: Grant, now: float, wall: float) -> None:
        if refusal is not None:
            grant.refused(now)
            self._ledger.refusals[account.key, refusal.limit.value] += 1
            raise limited(refusal, grant, wall)

    def settle(self, exchange: Exchange, grant: Grant) -> None:
        """The request is over: books what it used, lost attempts included."""
        grant.settle(*exchange.paid(), exchange.loop.time(), time.time())


def _expected(exchange: Exchange, tier: TierPlan, call: Call, wall: float) -> tuple[int, int]:
    """Tokens and pico-dollars that a request will take, as the cheapest candidate is expected to."""
    order = merit_order(tier, call, exchange.started, wall if tier.timed or tier.committed else 0.0, None)
    if not order:
        return call.input_tokens, 0  # ranking says why
    return order[0].input + order[0].output, order[0].cost


def _all(account: UsageAccount) -> int:
    return (1 << len(account.budgets)) - 1


def _strict(account: UsageAccount, route: RoutePlan) -> int:
    """The budgets after which there is no other tier."""
    return sum(
        1 << place for place, budget in enumerate(account.budgets) if named(route, budget.terms.tier_when_spent) is None
    )
