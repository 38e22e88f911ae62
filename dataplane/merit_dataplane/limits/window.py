"""What happened in the last 60 seconds, by slots of 2: never counts less than that, and at most 2 seconds more."""

SLOT_SECONDS = 2
SLOTS = 31
"""Of 60 seconds, and the one that has begun."""


class Window:
    """Times are seconds of any clock that doesn't go back."""

    __slots__ = ("_counts", "_slot", "total")

    def __init__(self) -> None:
        self._counts = [0] * SLOTS
        self._slot = 0
        self.total = 0
        """As of the last look."""

    def look(self, now: float) -> int:
        """What counts now."""
        slot = int(now // SLOT_SECONDS)
        if slot > self._slot:
            for passed in range(max(self._slot + 1, slot - SLOTS + 1), slot + 1):
                self.total -= self._counts[passed % SLOTS]
                self._counts[passed % SLOTS] = 0
            self._slot = slot
        return self.total

    def add(self, number: int, now: float) -> None:
        """Counts it; a correction may be negative."""
        self.look(now)
        self._counts[self._slot % SLOTS] += number
        self.total += number

    def wait(self, excess: int, now: float) -> float:
        """Seconds until so many no longer count."""
        self.look(now)
        for slot in range(self._slot - SLOTS + 1, self._slot + 1):
            excess -= self._counts[slot % SLOTS]
            if excess <= 0:
                return max(0.0, (slot + SLOTS) * SLOT_SECONDS - now)
        return float(SLOTS * SLOT_SECONDS)
