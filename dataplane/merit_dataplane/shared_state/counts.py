"""What became of commands: integers that metrics are made of."""

from collections import defaultdict


class Counts:
    """Of one process, all servers together."""

    __slots__ = ("outcomes", "seconds")

    def __init__(self) -> None:
        self.outcomes: defaultdict[tuple[str, str], int] = defaultdict(int)
        """By kind (`read`, `write`, `later`) and outcome: both are words of this package, so they are few."""
        self.seconds: defaultdict[str, float] = defaultdict(float)
        """Waited for answers, by kind."""

    def add(self, kind: str, outcome: str) -> None:
        """One more."""
        self.outcomes[kind, outcome] += 1

    def answered(self, kind: str, seconds: float) -> None:
        """One more that was answered."""
        self.outcomes[kind, "answered"] += 1
        self.seconds[kind] += seconds
