"""Which candidate a request with a shared prefix goes to: who has the prefix depends on where the ones before it went.

All candidates are priced twice by columns, without their cache and with the whole prefix in it. Where no cache could
change the order, columns decide. What is left is decided request by request, in the order of time.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from merit_crds.pricing import Usage, charge_of, in_force, price_details
from merit_crds.snapshot import ModelPrice
from merit_dataplane.replay.names import Ints
from merit_dataplane.replay.prefixes import WARM_SECONDS, Blocks
from merit_dataplane.replay.shapes import Shapes
from merit_dataplane.warmth.prefix import LEAST_TOKENS

_ROWS = 100_000
"""Requests whose costs are Python's integers at a time."""


class Offer(NamedTuple):
    """What one candidate asks of each of some requests, in pico-dollars."""

    place: int
    cold: Ints
    """All of the prefix written to the cache, where that has a price."""
    warm: Ints
    """All of the prefix read from the cache."""
    output: Ints
    """Expected tokens."""
    able: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Contest:
    """Requests of one tier whose candidates of one standing compete by price; one row per candidate, by name."""

    rows: Ints
    places: tuple[int, ...]
    cold: Ints
    warm: Ints
    output: Ints
    able: NDArray[np.bool_]
    """As in `Offer`."""

    def open(self, chosen: Ints) -> NDArray[np.bool_]:
        """Which of them a warm candidate could take from the cheapest; `chosen` is its position."""
        everywhere = np.arange(len(self.rows))
        best = self.cold[chosen, everywhere]
        made = np.zeros(len(self.rows), np.bool_)
        for position in range(len(self.places)):
            wins = (self.warm[position] < best) | ((self.warm[position] == best) & (position < chosen))
            made |= self.able[position] & wins & (position != chosen)
        return made


@dataclass(slots=True)
class Contests:
    """All of them, and who answers for which place."""

    blocks: Blocks
    found: list[Contest] = field(default_factory=list)

    def add(self, rows: Ints, offers: Sequence[Offer], served: NDArray[np.bool_]) -> None:
        """Requests with blocks and what candidates of one standing ask of them; those that one of these serves."""
        places, *columns = zip(*offers, strict=True)
        cold, warm, output, able = (np.stack(column)[:, served] for column in columns)
        self.found.append(Contest(rows[served], places, cold, warm, output, able))

    def settle(self, chosen: Ints, accounts: Sequence[int], prices: Sequence[ModelPrice], shapes: Shapes) -> None:
        """Writes into `chosen`, which has everyone's choice without caches. `accounts`: of each place."""
        which = np.full(len(chosen), -1, np.int64)
        column = np.zeros(len(chosen), np.int64)
        contested = np.zeros(len(chosen), np.bool_)
        for number, contest in enumerate(self.found):
            which[contest.rows], column[contest.rows] = number, np.arange(len(contest.rows))
            position = np.argmax(np.array(contest.places)[:, None] == chosen[contest.rows][None, :], axis=0)
            contested[contest.rows] = contest.open(position)
        roots = self.blocks.roots
        in_play = np.zeros(int(roots.max(initial=-1)) + 2, np.bool_)
        in_play[roots[contested]] = True
        in_play[-1] = False  # of those without blocks
        rows = np.flatnonzero(in_play[roots] & (roots >= 0))
        rows = rows[np.argsort(shapes.time[rows], kind="stable")]
        scan = _Scan(self, accounts, prices, shapes)
        for first in range(0, len(rows), _ROWS):
            scan.go(rows[first : first + _ROWS], which, column, contested, chosen)


class _Scan:
    """Goes through requests in the order of time, and knows when each account was last sent each block."""

    def __init__(
        self, contests: Contests, accounts: Sequence[int], prices: Sequence[ModelPrice], shapes: Shapes
    ) -> None:
        self._contests, self._prices, self._shapes = contests.found, prices, shapes
        self._blocks, self._accounts = contests.blocks, accounts
        self._used: list[dict[int, float]] = [{} for _ in range(max(accounts, default=-1) + 1)]
        self._starts = np.searchsorted(self._blocks.rows, np.arange(len(shapes) + 1))

    def go(self, rows: Ints, which: Ints, column: Ints, contested: NDArray[np.bool_], chosen: Ints) -> None:
        """`which` contest each row is of, and its column there."""
        starts, ends = self._starts[rows].tolist(), self._starts[rows + 1].tolist()
        codes = self._blocks.codes
        offers = self._offers(rows, which, column, contested)
        times = self._shapes.time[rows].tolist()
        lengths, inputs = self._blocks.tokens[rows].tolist(), self._shapes.input[rows].tolist()
        places = chosen[rows].tolist()
        pods_know = (which[rows] >= 0).tolist()
        for at, (row, now) in enumerate(zip(rows.tolist(), times, strict=True)):
            if not pods_know[at]:
                continue
            chain = codes[starts[at] : ends[at]].tolist() if ends[at] - starts[at] > 1 else (int(codes[starts[at]]),)
            since = now - WARM_SECONDS
            if offers[at]:
                best, cheapest = -1, 0
                for place, cold, warm, output in offers[at]:
                    known = _known(chain, self._used[self._accounts[place]], since)
                    if known == len(chain):
                        cost = warm
                    elif (tokens := min(known * lengths[at], inputs[at])) < LEAST_TOKENS:
                        cost = cold
                    else:
                        cost = self._cost(place, row, tokens, output)
                    if best < 0 or cost < cheapest:
                        best, cheapest = place, cost
                places[at] = best
            used = self._used[self._accounts[places[at]]]
            for code in chain:
                used[code] = now
        chosen[rows] = places

    def _offers(
        self, rows: Ints, which: Ints, column: Ints, contested: NDArray[np.bool_]
    ) -> list[list[tuple[int, int, int, int]]]:
        """Of each row its candidates: place, cost without a cache and with all in it, expected output."""
        made: list[list[tuple[int, int, int, int]]] = [[] for _ in range(len(rows))]
        for number in np.unique(which[rows[contested[rows]]]).tolist():
            contest = self._contests[number]
            here = np.flatnonzero(contested[rows] & (which[rows] == number))
            columns = column[rows[here]]
            for position, place in enumerate(contest.places):
                able = contest.able[position, columns]
                cold, warm = contest.cold[position, columns[able]], contest.warm[position, columns[able]]
                output = contest.output[position, columns[able]]
                offers = zip(cold.tolist(), warm.tolist(), output.tolist(), strict=True)
                for at, offer in zip(here[able].tolist(), offers, strict=True):
                    made[at].append((place, *offer))
        return made

    def _cost(self, place: int, row: int, cached: int, output: int) -> int:
        """With a part of the prefix in the cache: as one request is priced."""
        blocks, shapes = self._blocks, self._shapes
        price, tiers = self._prices[place], shapes.tokens.service_tiers
        tariff = in_force(price, float(shapes.time[row])).tariff
        charge = charge_of(tariff, tiers.names[tiers.codes[row]]) if tiers else tariff
        everything = int(shapes.input[row])
        chain = int(self._starts[row + 1] - self._starts[row])
        shared = min(chain * int(blocks.tokens[row]), everything)
        usage = Usage(everything - shared, output, cached, shared - cached)
        return price_details(charge or tariff, usage).total


def _known(chain: Sequence[int], used: dict[int, float], since: float) -> int:
    """How many blocks from the first on were sent after then: all before a known one are known."""
    low, high = 0, len(chain)
    while low < high:
        middle = (low + high) // 2
        if used.get(chain[middle], since) > since:
            low = middle + 1
        else:
            high = middle
    return low
