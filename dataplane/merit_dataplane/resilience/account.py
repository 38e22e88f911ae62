"""One account at one vendor, as this pod sees it: its limits, and how long it asked to be left alone."""

from email.utils import parsedate_to_datetime

_LONGEST_COOLDOWN_SECONDS = 60.0
_DEFAULT_COOLDOWN_SECONDS = 1.0
_REFUSED_SECONDS = 60.0
_LONGEST_SENSIBLE_SECONDS = 86_400.0


class AccountLimits:
    """Counts what this pod sends to one Provider. Times are `loop.time()` seconds; a limit of 0 is none."""

    __slots__ = ("_count", "_why", "_window", "concurrent", "cooling_until", "credential", "in_flight", "per_minute")

    def __init__(self) -> None:
        self.concurrent = 0
        self.per_minute = 0
        self.in_flight = 0
        self.cooling_until = 0.0
        self._window = 0
        self._count = 0
        self._why = ""
        self.credential = ""
        """Fingerprint of the key: with another one, what was said of the old one no longer counts."""

    def unavailable(self, now: float) -> str:
        """Why nothing should be sent now; empty when there is room."""
        if now < self.cooling_until:
            return f"{self._why} for {self.cooling_until - now:.1f} s more"
        return self.full(now)

    def full(self, now: float) -> str:
        """Which of our own limits is reached; empty when none is. Nothing is ever sent over these."""
        if self.concurrent and self.in_flight >= self.concurrent:
            return f"limits.concurrentRequests ({self.concurrent} per pod) reached"
        if self.per_minute and self._window == int(now // 60) and self._count >= self.per_minute:
            return f"limits.requestsPerMinute ({self.per_minute} per pod) reached"
        return ""

    def started(self, now: float) -> None:
        """A request goes out."""
        self.in_flight += 1
        window = int(now // 60)
        if window != self._window:
            self._window, self._count = window, 0
        self._count += 1

    def ended(self) -> None:
        """A request is over."""
        self.in_flight -= 1

    def rate_limited(self, now: float, retry_after: float | None) -> None:
        """The provider asked to wait. `retry_after` in seconds; None where it didn't say."""
        seconds = _DEFAULT_COOLDOWN_SECONDS if retry_after is None else min(retry_after, _LONGEST_COOLDOWN_SECONDS)
        if now + seconds > self.cooling_until:
            self.cooling_until, self._why = now + seconds, "rate limited"

    def refused(self, now: float, reason: str) -> None:
        """The provider doesn't accept our key, or wants to be paid: another try won't change that soon."""
        self.cooling_until, self._why = now + _REFUSED_SECONDS, f"left alone ({reason})"

    def uses(self, credential: str) -> None:
        """The key's fingerprint, in the snapshot that comes into force."""
        if credential != self.credential:
            self.credential, self.cooling_until = credential, 0.0


def retry_after_seconds(value: str | None, epoch: float) -> float | None:
    """Seconds from a Retry-After header (a number or an HTTP date); None where it is missing or makes no sense.

    `epoch` is the wall clock in seconds.
    """
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(value).timestamp() - epoch
        except (ValueError, TypeError):
            return None
    return seconds if 0 <= seconds < _LONGEST_SENSIBLE_SECONDS else None
