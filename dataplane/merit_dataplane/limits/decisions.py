"""Whether there is room for one more: one script in Redis says so for all pods, else this pod by its share."""

import asyncio
from typing import TYPE_CHECKING

from merit_dataplane.exchange import Exchange
from merit_dataplane.limits.account import Grant, Refusal, UsageAccount
from merit_dataplane.limits.fleet import ADMIT, Fleet
from merit_dataplane.observability.ledger import Ledger
from merit_dataplane.shared_state.errors import SharedStateUnavailableError

if TYPE_CHECKING:
    from merit_dataplane.shared_state import SharedState

_REPORT_SECONDS = 0.05
_HEARTBEAT_SECONDS = 20.0
_GOOD_FOR_SECONDS = 30.0


class Decisions:
    """One for all requests. `state` is None where pods share nothing."""

    def __init__(self, fleet: Fleet, ledger: Ledger, state: "SharedState | None"):
        self._fleet, self._ledger, self._state = fleet, ledger, state
        self._changed: dict[str, UsageAccount] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._soon = False
        """The timer is for what has ended, not only to say that we are alive."""

    async def refuses(self, exchange: Exchange, grant: Grant, checked: int, now: float, wall: float) -> Refusal | None:
        """The limit that is in the way of a request that has entered. `checked`: bits of the budgets that refuse."""
        account = grant.account
        refusal = account.surely_refuses(now, wall, checked)
        if refusal is not None:
            return refusal
        if self._state is not None:
            account.changed = self._tell_soon
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

    def _tell_soon(self, account: UsageAccount) -> None:
        """Something has ended: the others hear of it together with what else ends now."""
        self._changed[account.key] = account
        if not self._soon:
            if self._timer is not None:
                self._timer.cancel()
            self._soon = True
            self._timer = asyncio.get_running_loop().call_later(_REPORT_SECONDS, self._report)

    def _report(self) -> None:
        """Tells the others what has changed, and that we are alive while something is in flight."""
        self._timer, self._soon = None, False
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
