"""Admission: whether a consumer's limits and budgets have room for a request, before anybody is asked for an answer.

One script in Redis decides for all pods together. Without an answer in time this pod decides by its share. What the
request really used is booked at its end.
"""

import asyncio
import time
from typing import TYPE_CHECKING

from merit_dataplane.dispatch.merit_order import merit_order
from merit_dataplane.dispatch.tiers import classify, named
from merit_dataplane.exchange import Exchange
from merit_dataplane.limits.account import ConsumerAccount, Grant, Limit, Refusal
from merit_dataplane.limits.fleet import ADMIT, Fleet
from merit_dataplane.limits.refusal import limited
from merit_dataplane.observability.ledger import Ledger
from merit_dataplane.shared_state.errors import SharedStateUnavailableError
from merit_dataplane.snapshots.tables import Headers, RoutePlan, TierPlan
from merit_dataplane.wire.openai_request import Call

if TYPE_CHECKING:
    from merit_dataplane.shared_state import SharedState

_REPORT_SECONDS = 0.05
_HEARTBEAT_SECONDS = 20.0
_GOOD_FOR_SECONDS = 30.0


class Admission:
    """One for all requests. `state` is None where pods share nothing."""

    def __init__(self, fleet: Fleet, ledger: Ledger, state: "SharedState | None"):
        self._fleet, self._ledger, self._state = fleet, ledger, state
        self._changed: dict[str, ConsumerAccount] = {}
        self._timer: asyncio.TimerHandle | None = None

    async def admit(
        self, exchange: Exchange, account: ConsumerAccount, route: RoutePlan, call: Call, headers: Headers
    ) -> None:
        """Lets it pass, perhaps to a cheaper tier. Raises RequestError 429."""
        now, wall = exchange.started, time.time()
        tokens, cost = _expected(exchange, classify(route, call, headers), call, wall)
        grant = account.enter(tokens, cost, now, wall)
        try:
            refusal = await self._decide(exchange, grant, _all(account), now, wall)
            if refusal is not None and refusal.limit is Limit.BUDGET:
                tier = named(route, account.budgets[refusal.budget].terms.tier_when_spent)
                if tier is not None:
                    exchange.forced_tier = tier.name
                    grant.reprice(*_expected(exchange, tier, call, wall), now)
                    refusal = await self._decide(exchange, grant, _strict(account, route), now, wall)
        except BaseException:
            grant.refused(now)
            raise
        if refusal is not None:
            grant.refused(now)
            self._ledger.refusals[account.key, refusal.limit.value] += 1
            raise limited(refusal, grant, wall)
        exchange.grant = grant

    async def _decide(self, exchange: Exchange, grant: Grant, checked: int, now: float, wall: float) -> Refusal | None:
        account = grant.account
        refusal = account.surely_refuses(now, wall, checked)
        if refusal is not None:
            return refusal
        if self._state is not None:
            asked = self._fleet.asked(account)
            arguments = self._fleet.arguments(account, grant, checked)
            try:
                key = self._state.key("limits", account.key)
                reply = await self._state.run(ADMIT, [key], arguments, budget=exchange.shared(self._state))
                refusal = self._fleet.understood(reply, grant, asked, wall)
            except SharedStateUnavailableError:
                pass
            else:
                self._ledger.admissions["shared"] += 1
                if refusal is not None:
                    account.heard(refusal, now)
                return refusal
        self._ledger.admissions["alone"] += 1
        pods, limits = self._fleet.pods, account.limits
        grant.remaining = (
            max(0, limits.requests - account.requests.total * pods),
            max(0, limits.tokens - account.tokens.total * pods),
        )
        return account.refuses_alone(now, wall, checked, pods)

    # ---- afterwards

    def settle(self, exchange: Exchange, grant: Grant) -> None:
        """The request is over: books what it used, lost attempts included."""
        grant.settle(*exchange.paid(), exchange.loop.time(), time.time())
        if self._state is not None:
            self._changed[grant.account.key] = grant.account
            if self._timer is None:
                self._timer = exchange.loop.call_later(_REPORT_SECONDS, self._report)

    def _report(self) -> None:
        """Tells the others what has changed, and that we are alive while something is in flight."""
        self._timer = None
        if self._state is None:
            return
        still = {}
        for key, account in self._changed.items():
            arguments = self._fleet.arguments(account, None, 0)
            self._state.later(ADMIT, [self._state.key("limits", key)], arguments, good_for=_GOOD_FOR_SECONDS)
            if account.in_flight:
                still[key] = account
        self._changed = still
        if still:
            self._timer = asyncio.get_running_loop().call_later(_HEARTBEAT_SECONDS, self._report)

    def close(self) -> None:
        """The last report."""
        if self._timer is not None:
            self._timer.cancel()
            self._report()
        if self._timer is not None:
            self._timer.cancel()


def _expected(exchange: Exchange, tier: TierPlan, call: Call, wall: float) -> tuple[int, int]:
    """Tokens and pico-dollars that a request will take, as the cheapest candidate is expected to."""
    order = merit_order(tier, call, exchange.started, wall if tier.timed else 0.0, None)
    if not order:
        return call.input_tokens, 0  # ranking says why
    return order[0].input + order[0].output, order[0].cost


def _all(account: ConsumerAccount) -> int:
    return (1 << len(account.budgets)) - 1


def _strict(account: ConsumerAccount, route: RoutePlan) -> int:
    """The budgets after which there is no other tier."""
    return sum(
        1 << place for place, budget in enumerate(account.budgets) if named(route, budget.terms.tier_when_spent) is None
    )
