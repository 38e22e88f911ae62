"""One commitment as this pod knows it: its period, what is left of it, and its pace.

What is left for a request is the volume of the period, less what this pod has drawn, what the others have as far as is
known, and what requests under way are expected to draw. In a period too short for pods to tell each other, each has its
share of the volume for itself.
"""

from collections.abc import Callable, Iterator
from math import inf
from operator import attrgetter
from typing import NamedTuple

from merit_crds.commitments import (
    SHORTEST_SHARED_SECONDS,
    Drawn,
    Offer,
    Period,
    fee_of,
    key_of,
    period_at,
    shadow_price,
    units_of,
    unused,
)
from merit_crds.snapshot import Commitment
from merit_dataplane.commitments.demand import Demand

_ENOUGH = 20
"""Requests before a pace is set by what they ask for."""
_PACE_SECONDS = 1.0
_LONGEST_HALF_LIFE = 2 * 86_400.0
_SHORTEST_HALF_LIFE = 300.0


class CommitmentAccount:
    """Of one commitment. Times are epoch seconds."""

    __slots__ = (
        "_demand", "_of_others", "_pace_due", "_since", "_until", "_volume", "drawn", "fee", "key", "name", "others",
        "pace", "past", "pending", "period", "price_list", "share", "shared", "terms", "total_drawn", "volume",
    )  # fmt: skip

    def __init__(self, price_list: str, terms: Commitment, of_others: Callable[[str, int], int]):
        """`of_others` tells units that other processes have drawn, by key and start of the period."""
        self.price_list, self.name, self.terms = price_list, terms.name, terms
        self.key = key_of(price_list, terms)
        self.period: Period | None = None
        self.fee = 0
        """Pico-dollars of this period."""
        self.drawn = 0
        """Units that this pod has drawn in this period."""
        self.others = 0
        """Units that other processes have drawn in this period, as far as is known."""
        self.pending = 0
        """Units that requests under way are expected to draw."""
        self.total_drawn = 0
        """Units that this pod has drawn in all periods."""
        self.share = 1.0
        """This pod's part of what the fleet asks for."""
        self.pace = 0
        """Shadow price: pico-dollars of 1,000,000 units."""
        self.past: dict[int, int] = {}
        """Units that this pod drew in periods that are over, by their start."""
        self._volume = 0
        self.volume = 0
        """Units of this period that are this pod's to draw from; 0 outside of all periods."""
        self.shared = False
        """Whether pods tell each other what they have drawn of this period."""
        self._since, self._until = inf, -inf
        self._pace_due = -inf
        self._demand = Demand(_half_life(terms))
        self._of_others = of_others

    def renew(self, terms: Commitment) -> None:
        """A new snapshot may have changed the terms; what was drawn stays drawn."""
        if terms != self.terms:
            self.terms = terms
            self._since, self._until = inf, -inf  # looks again, and finds the same period unless that has changed

    def refresh(self) -> None:
        """Others have told what they drew, or the period is another one."""
        self.others = self._of_others(self.key, self.period.start) if self.period is not None else 0
        self.shared = self.period is not None and self.period.seconds >= SHORTEST_SHARED_SECONDS
        self.volume = self._volume if self.shared else int(self._volume * self.share)

    def by_period(self) -> Iterator[tuple[int, int]]:
        """Start of each period that is shared, and the units that this process has drawn of it."""
        yield from self.past.items()
        if self.period is not None and self.shared:
            yield self.period.start, self.drawn

    @property
    def left(self) -> int:
        """Units that may still be drawn, requests under way apart."""
        return max(0, self.volume - self.drawn - self.others)

    def holds(self, now: float) -> bool:
        """Whether it has a period now."""
        self._look(now)
        return self.period is not None

    def offer(self, now: float, *, asks: bool = True) -> Offer | None:
        """What a request may draw; None outside of all periods. `asks`: it is yet to be sent, so the pace counts."""
        if not self._since <= now < self._until:
            self._look(now)
        if self.period is None:
            return None
        left = self.volume - self.drawn - self.others
        if asks:
            left -= self.pending
            if now >= self._pace_due:
                self._set_pace(now)
        return Offer(self.terms, max(0, left), self._volume, self.fee, self.pace if asks else 0)

    def asked(self, break_even: float, units: int, now: float) -> None:
        """A request would draw so many units while the shadow price is below its break-even."""
        self._demand.observe(break_even, units, now)

    def settled(self, expected: int, actual: int) -> None:
        """What a request was expected to draw, and what it would have drawn with its usage were there enough."""
        self._demand.settled(expected, actual)

    def draw(self, units: int, now: float) -> int:
        """Takes units from the period that now is; its start. None are taken outside of all periods."""
        self._look(now)
        if self.period is None:
            return 0
        self.drawn += units
        self.total_drawn += units
        return self.period.start

    def give_back(self, units: int, start: int) -> None:
        """Undoes a draw from the period that began then."""
        self.total_drawn -= units
        if self.period is not None and self.period.start == start:
            self.drawn -= units
        elif start in self.past:
            self.past[start] -= units

    def expected_unused(self, now: float) -> int:
        """Pico-dollars of this period's fee that nothing will have been got for, at the rate of what is asked for."""
        self._look(now)
        if self.period is None:
            return 0
        rate = sum(self._demand.rates(now)) if self._demand.count >= _ENOUGH else 0.0
        if self._demand.count < _ENOUGH:  # as until now
            rate = (self.drawn + self.others) / max(1.0, now - self.period.start) * self.share
        coming = rate / self.share * (self.period.end - now) if self.share else 0.0
        used = self._fleet_drawn() + int(min(coming, float(self._volume)))
        return unused(self.terms, self.period, used)

    def _fleet_drawn(self) -> int:
        return self.drawn + self.others if self.shared else int(self.drawn / self.share)

    def _set_pace(self, now: float) -> None:
        self._pace_due = now + _PACE_SECONDS
        if self.period is None or self._demand.count < _ENOUGH:
            self.pace = 0
            return
        left = self.left * self.share if self.shared else float(self.left)
        self.pace = shadow_price(self._demand.rates(now), left, self.period.end - now)

    def _look(self, now: float) -> None:
        """Finds the period, where another one may have begun."""
        if self._since <= now < self._until:
            return
        before, found = self.period, period_at(self.terms, now)
        if before is not None and (found is None or found.start != before.start):
            if before.seconds >= SHORTEST_SHARED_SECONDS:
                self.past[before.start] = self.drawn
                self.past = dict(sorted(self.past.items())[-2:])
            self.drawn = self.past.pop(found.start, 0) if found is not None else 0
        self.period = found
        self._volume = units_of(self.terms) if found is not None else 0
        self.refresh()
        self.fee = fee_of(self.terms, found) if found is not None else 0
        self._since, self._until = (now, found.end) if found is not None else (now, self._next_start(now))
        self._pace_due = -inf

    def _next_start(self, now: float) -> float:
        return self.terms.start if now < self.terms.start else inf


class Committed(NamedTuple):
    """What one request draws, and from where."""

    drawn: Drawn
    accounts: tuple[CommitmentAccount, ...]
    """By the place of each part."""


_by_end = attrgetter("period.end")


def offered(
    accounts: tuple[CommitmentAccount, ...], now: float, *, asks: bool = True
) -> tuple[tuple[CommitmentAccount, ...], list[Offer]]:
    """Those that have a period now, and what each offers; the one whose period ends first comes first."""
    if len(accounts) > 1:
        accounts = tuple(sorted((account for account in accounts if account.holds(now)), key=_by_end))
    offers = [offer for account in accounts if (offer := account.offer(now, asks=asks)) is not None]
    return (accounts, offers) if offers else ((), offers)


def _half_life(terms: Commitment) -> float:
    """A part of a period: days and nights are seen as one where it is a month, and it follows where it is short."""
    seconds = float(terms.seconds or 30 * 86_400)
    return min(_LONGEST_HALF_LIFE, max(_SHORTEST_HALF_LIFE, seconds / 8))
