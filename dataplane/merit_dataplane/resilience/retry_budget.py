"""How often who has failed may be asked again, as a share of traffic: retries must not make an outage worse.

The first attempt at an account is never a retry: going on to the next candidate is what failover is for, and sends no
account more than one attempt of each request.
"""

_WINDOW_SECONDS = 10.0
_FLOOR = 10
"""Retries per window that are always allowed: with little traffic a share is less than one."""


class RetryBudget:
    """Of one route in one pod, over the last 10 to 20 s. Times are `loop.time()` seconds."""

    __slots__ = ("_before", "_floor", "_requests", "_retries", "_until")

    def __init__(self, floor: int = _FLOOR) -> None:
        self._floor = floor
        self._until = 0.0
        self._requests = self._retries = 0
        self._before = (0, 0)

    def request(self, now: float) -> None:
        """A request began."""
        if now >= self._until:
            self._next_window(now)
        self._requests += 1

    def take(self, now: float, share: float) -> bool:
        """Whether one more retry is within `share` of the requests; it counts when it is."""
        if not self.room(now, share):
            return False
        self._retries += 1
        return True

    def room(self, now: float, share: float) -> bool:
        """Whether `take` would say yes."""
        if now >= self._until:
            self._next_window(now)
        requests, retries = self._before
        return self._retries + retries < self._floor + share * (self._requests + requests)

    def _next_window(self, now: float) -> None:
        fresh = now < self._until + _WINDOW_SECONDS
        self._before = (self._requests, self._retries) if fresh else (0, 0)
        self._requests = self._retries = 0
        self._until = now + _WINDOW_SECONDS
