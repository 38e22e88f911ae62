"""How many bytes of request bodies are held at once: beyond that a request may come again, and the pod lives."""

from merit_dataplane.observability.ledger import Ledger
from merit_dataplane.overload.turns import overloaded


class Bodies:
    """Of one process."""

    __slots__ = ("_ledger", "_most", "held")

    def __init__(self, most_bytes: int, ledger: Ledger):
        self._most, self._ledger = most_bytes, ledger
        self.held = 0

    def take(self, size: int) -> None:
        """So many bytes more. Raises RequestError (503) where there is no room for them."""
        if self.held + size > self._most:
            self._ledger.shed["bodies"] += 1
            raise overloaded()
        self.held += size

    def give(self, size: int) -> None:
        """They are no longer held."""
        self.held -= size
