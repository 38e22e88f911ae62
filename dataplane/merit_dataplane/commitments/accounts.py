"""All commitments of this process, and what it tells and hears of them."""

import secrets
from collections.abc import Container, Iterable, Iterator, Mapping

from merit_crds.commitments import Tally, Used, key_of
from merit_crds.commitments.tally import Key
from merit_crds.snapshot import Commitment
from merit_dataplane.commitments.account import CommitmentAccount

_MOST = 4096
"""Accounts that are kept, whatever snapshots came and went."""
_PERIODS = 3
"""Of each commitment, the periods of others that are kept."""


class CommitmentAccounts:
    """Outlives snapshots, as everything learned does; what was drawn outlives the process where there is a disk."""

    def __init__(self) -> None:
        self.process = secrets.token_hex(8)
        """By which others know this process."""
        self._accounts: dict[str, CommitmentAccount] = {}
        self._forerunners = Tally()
        self._others = Tally()
        """Counts of single processes, forerunners too."""
        self._fleet: dict[Key, int] = {}
        """Units that all others have drawn, as the operator or Redis adds them up."""
        self._share = 1.0

    def __iter__(self) -> Iterator[CommitmentAccount]:
        return iter(self._accounts.values())

    def of(self, price_list: str, terms: Commitment) -> CommitmentAccount:
        """The account of a commitment, under the terms that it had first; `renew` changes them."""
        key = key_of(price_list, terms)
        found = self._accounts.get(key)
        if found is None:
            found = self._accounts[key] = CommitmentAccount(price_list, terms, self._of_others)
            found.share = self._share
        return found

    def retain(self, price_lists: Container[str]) -> None:
        """Forgets what the snapshot no longer names, unless something was drawn of it or there is room."""
        gone = [key for key, account in self._accounts.items() if account.price_list not in price_lists]
        for key in gone:
            if not self._accounts[key].total_drawn or len(self._accounts) > _MOST:
                del self._accounts[key]

    def counts(self) -> tuple[Used, ...]:
        """What this process has drawn, and what its forerunners on this disk had."""
        return (*self._forerunners.counts(), *self.own_counts())

    def own_counts(self) -> tuple[Used, ...]:
        """What this process has drawn, of periods that are shared."""
        return tuple(
            Used(account.key, start, self.process, str(units))
            for account in self._accounts.values()
            for start, units in account.by_period()
        )

    def inherit(self, counts: Iterable[Used]) -> None:
        """What forerunners on this disk drew: it is told on. Raises ValueError for units that are no whole number."""
        kept = [count for count in counts if count.process != self.process]
        self._forerunners.merge(kept)
        self._forerunners.forget(_PERIODS)
        self.hear(kept)

    def hear(self, counts: Iterable[Used]) -> None:
        """Counts of other processes. Raises ValueError for units that are no whole number."""
        self._others.merge(count for count in counts if count.process != self.process)
        self._others.forget(_PERIODS)
        self._refresh()

    def hear_total(self, others: Mapping[Key, int], share: float | None = None) -> None:
        """What all other processes of the fleet have drawn, and this pod's part of what the fleet asks for."""
        for key, units in others.items():
            self._fleet[key] = max(units, self._fleet.get(key, 0))
        newest: dict[str, int] = dict(sorted(self._fleet))  # of each commitment the period that began last
        self._fleet = {key: units for key, units in self._fleet.items() if key[1] == newest[key[0]]}
        self._share = share or self._share
        self._refresh()

    def _refresh(self) -> None:
        for account in self._accounts.values():
            account.share = self._share
            account.refresh()

    def _of_others(self, key: str, start: int) -> int:
        """Each source knows at most what there is: the higher one is nearer to it, and nothing counts twice."""
        return max(self._others.total(key, start, but=self.process), self._fleet.get((key, start), 0))
