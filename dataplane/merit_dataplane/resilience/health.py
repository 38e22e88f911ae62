"""Health of one endpoint of one provider.

    closed --5 failures in a row--> open (30 s, doubling to 300 s) --> half open: one probe --success--> closed
                                                                                     `--failure--> open

A rate limit is no failure: see `account`.
"""

_FAILURES_TO_OPEN = 5
_FIRST_OPEN_SECONDS = 30.0
_LONGEST_OPEN_SECONDS = 300.0
_PROBE_SECONDS = 30.0


class EndpointHealth:
    """Times are `loop.time()` seconds."""

    __slots__ = ("_failures", "_open_seconds", "closed_until_probe", "open_until")

    def __init__(self) -> None:
        self.open_until = 0.0
        self.closed_until_probe = 0.0
        self._failures = 0
        self._open_seconds = _FIRST_OPEN_SECONDS

    def unavailable(self, now: float) -> str:
        """Why it should not be tried now; empty when it may be."""
        if self.open_until:
            if now < self.open_until:
                return f"circuit open for {self.open_until - now:.0f} s more"
            if now < self.closed_until_probe:
                return "circuit half open, a probe is under way"
        return ""

    def started(self, now: float) -> None:
        """An attempt begins; with a half-open circuit it is the probe, and others wait for its outcome."""
        if self.open_until and now >= self.open_until:
            self.closed_until_probe = now + _PROBE_SECONDS

    def abandoned(self) -> None:
        """The attempt ended without saying anything of the endpoint: its client went away."""
        self.closed_until_probe = 0.0

    def succeeded(self) -> None:
        """The endpoint answered."""
        if self._failures or self.open_until:
            self._failures = 0
            self.open_until = self.closed_until_probe = 0.0
            self._open_seconds = _FIRST_OPEN_SECONDS

    def failed(self, now: float) -> None:
        """The endpoint erred or kept silent."""
        self._failures += 1
        if self.open_until:
            if now < self.open_until:
                return  # an attempt from before it opened says nothing new
            self._open_seconds = min(_LONGEST_OPEN_SECONDS, self._open_seconds * 2)
        elif self._failures < _FAILURES_TO_OPEN:
            return
        self.open_until = now + self._open_seconds
        self.closed_until_probe = 0.0
