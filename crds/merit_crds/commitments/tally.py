"""Who has drawn how much of which commitment, so that nothing is ever counted twice.

Each process counts by itself, from 0, and only ever upwards. Whoever adds up keeps the highest count that it has heard
of each process: a report that comes twice, late or out of order changes nothing, and a process that has ended keeps
what it drew. On the wire and on disk units are decimal strings: they exceed what JSON readers take for integers.
"""

from collections.abc import Iterable, Mapping

import msgspec

Key = tuple[str, int]
"""A commitment, and the epoch second at which a period of it begins."""


class Used(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one process has drawn of one commitment in one period."""

    commitment: str
    period: int
    process: str
    units: str


class Tally:
    """Counts by commitment, period and process."""

    def __init__(self, counts: Iterable[Used] = ()):
        self._counts: dict[Key, dict[str, int]] = {}
        self.merge(counts)

    def merge(self, counts: Iterable[Used]) -> bool:
        """The higher of what is known and what is told, of each. True when that changed anything.

        Raises ValueError for units that are no whole number.
        """
        changed = False
        for used in counts:
            units = int(used.units)
            processes = self._counts.setdefault((used.commitment, used.period), {})
            if units > processes.get(used.process, 0):
                processes[used.process], changed = units, True
        return changed

    def total(self, commitment: str, period: int, *, but: str = "") -> int:
        """Units that all processes have drawn, or all but one."""
        processes = self._counts.get((commitment, period), {})
        return sum(processes.values()) - processes.get(but, 0)

    def of(self, commitment: str, period: int, process: str) -> int:
        """Units that one process has drawn, as far as it has told."""
        return self._counts.get((commitment, period), {}).get(process, 0)

    def counts(self) -> tuple[Used, ...]:
        """All of them, in a fixed order."""
        return tuple(
            Used(commitment, period, process, str(units))
            for (commitment, period), processes in sorted(self._counts.items())
            for process, units in sorted(processes.items())
        )

    def totals(self) -> Mapping[Key, int]:
        """Units that all processes have drawn, by commitment and period."""
        return {key: sum(processes.values()) for key, processes in self._counts.items()}

    def forget(self, most: int) -> None:
        """Drops the oldest periods of each commitment beyond this number."""
        periods: dict[str, list[int]] = {}
        for commitment, period in sorted(self._counts):
            periods.setdefault(commitment, []).append(period)
        for commitment, known in periods.items():
            for period in known[:-most]:
                del self._counts[commitment, period]
