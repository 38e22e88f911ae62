"""The accounts of all consumers that have limits."""

import time
from collections.abc import Container, Iterator, Mapping

from merit_dataplane.limits.account import Limits, Spending, UsageAccount

Spent = dict[str, dict[str, int]]
"""Pico-dollars by consumer and period."""


class ConsumerAccounts:
    """Outlives snapshots. Bounded by what the snapshot names."""

    def __init__(self) -> None:
        self._accounts: dict[str, UsageAccount] = {}
        self._inherited: Mapping[str, Mapping[str, int]] = {}

    def __iter__(self) -> Iterator[UsageAccount]:
        return iter(self._accounts.values())

    def inherit(self, spent: Mapping[str, Mapping[str, int]]) -> None:
        """What forerunners on this disk have spent; called before the first snapshot."""
        self._inherited = spent

    def of(self, consumer: str, limits: Limits) -> UsageAccount:
        """A consumer's account, with the limits that it had first; `renew` changes them."""
        found = self._accounts.get(consumer)
        if found is None:
            found = self._accounts[consumer] = UsageAccount(consumer, limits)
            self._look(found)
        return found

    def renew(self, consumer: str, limits: Limits) -> None:
        """A snapshot with other limits is in force."""
        account = self.of(consumer, limits)
        account.renew(limits)
        self._look(account)

    def retain(self, consumers: Container[str]) -> None:
        """Forgets consumers that are gone."""
        for key in [key for key in self._accounts if key not in consumers]:
            del self._accounts[key]

    def spent(self) -> Spent:
        """What this pod has spent, its forerunners included, of periods that are not over."""
        now = time.time()
        return {
            account.key: found
            for account in self._accounts.values()
            if (found := {period_of(b): b.own for b in account.budgets if b.own and b.span.end > now})
        }

    def _look(self, account: UsageAccount) -> None:
        told = self._inherited.get(account.key, {})
        for budget in account.budgets:
            if not budget.span.end:
                budget.look(time.time())
                budget.inherit(told.get(period_of(budget), 0))


def period_of(budget: Spending) -> str:
    """By which pods, disks and Redis know the period that now is: kind, zone and end."""
    return f"{'m' if budget.terms.months else 'd'}:{budget.terms.time_zone}:{budget.span.end}"
