"""One account at one vendor: its limits, what its own headers say of them, and how long it asked to be left alone."""

from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from math import inf

from merit_dataplane.limits.account import Limit, Limits, UsageAccount
from merit_dataplane.resilience.allowance import Allowances, Header

_LONGEST_COOLDOWN_SECONDS = 60.0
_DEFAULT_COOLDOWN_SECONDS = 1.0
_REFUSED_SECONDS = 60.0
_LONGEST_SENSIBLE_SECONDS = 86_400.0
RATE_LIMITED = "rate limited"
_FIELDS = {
    Limit.REQUESTS: "requestsPerMinute",
    Limit.TOKENS: "tokensPerMinute",
    Limit.CONCURRENT: "concurrentRequests",
    Limit.BUDGET: "",
}


class AccountLimits:
    """One Provider: what is sent to it, and what speaks against sending more. Times are `loop.time()` seconds."""

    __slots__ = (
        "_news", "allowances", "cooling_until", "credential", "in_flight", "key", "usage", "watched_until", "why",
    )  # fmt: skip

    def __init__(self, key: str = "", news: "Callable[[AccountLimits], None] | None" = None) -> None:
        self.key, self._news = key, news
        """Whose it is, `namespace/name`, and who is told when it asks to be left alone."""
        self.in_flight = 0
        self.cooling_until = 0.0
        self.why = ""
        """The reason why it is left alone."""
        self.credential = ""
        """Fingerprint of the key: with another one, what was said of the old one no longer counts."""
        self.usage: UsageAccount | None = None
        """What all pods together send, where the Provider has limits."""
        self.allowances = Allowances()
        self.watched_until = 0.0
        """Until then `full` may have something to say; `inf` where the Provider has limits."""

    def unavailable(self, now: float) -> str:
        """Why nothing should be sent now; empty when there is room."""
        if now < self.cooling_until:
            return f"{self.why} for {self.cooling_until - now:.1f} s more"
        return self.full(now)

    def full(self, now: float) -> str:
        """Which limit is surely reached, ours or one that the provider's headers told; empty when none is."""
        if self.usage is not None and (refusal := self.usage.closed(now)) is not None:
            return f"limits.{_FIELDS[refusal.limit]} reached"
        if (wait := self.allowances.wait(now)) > 0:
            return f"the provider says that its rate limit is reached, for {wait:.1f} s more"
        return ""

    def limit(self, key: str, limits: Limits | None) -> None:
        """A snapshot with these limits is in force; what was used stays used."""
        self.watched_until = inf if limits is not None else self.allowances.until
        if limits is None:
            self.usage = None
        elif self.usage is None:
            self.usage = UsageAccount(key, limits)
        else:
            self.usage.renew(limits)

    def heard(self, headers: Mapping[bytes, bytes], now: float, epoch: float) -> bool:
        """The headers of a response, by lower-case name; whether they say something of limits. `epoch`: wall clock."""
        said = self.allowances.read(headers, now, epoch)
        if said and self.usage is None:
            self.watched_until = self.allowances.until
        return said

    def started(self) -> None:
        """A request goes out."""
        self.in_flight += 1
        if self.watched_until:  # else nothing is known that it could take from
            self.allowances.started()

    def ended(self) -> None:
        """A request is over."""
        self.in_flight -= 1
        if self.usage is not None:
            self.usage.leave()

    def used(self, tokens: int, expected: int, now: float) -> None:
        """An answer took so many tokens, where so many were expected."""
        self.allowances.used(tokens)
        if self.usage is not None:
            self.usage.correct(tokens - expected, now)

    def rate_limited(self, now: float, retry_after: float | None) -> None:
        """The provider asked to wait. `retry_after` in seconds; None where it didn't say."""
        seconds = _DEFAULT_COOLDOWN_SECONDS if retry_after is None else min(retry_after, _LONGEST_COOLDOWN_SECONDS)
        if now + seconds > self.cooling_until:
            self.cooling_until, self.why = now + seconds, RATE_LIMITED
            self._tell()

    def refused(self, now: float, reason: str) -> None:
        """The provider doesn't accept our key, or wants to be paid: another try won't change that soon."""
        self.cooling_until, self.why = now + _REFUSED_SECONDS, f"left alone ({reason})"
        self._tell()

    def heard_elsewhere(self, now: float, seconds: float, *, refused: bool) -> bool:
        """Another pod was told to leave it alone for `seconds` more. Whether that is longer than was known."""
        until = now + min(seconds, _LONGEST_COOLDOWN_SECONDS)
        if until <= self.cooling_until:
            return False
        self.cooling_until, self.why = until, "left alone (as another pod was told)" if refused else RATE_LIMITED
        return True

    def _tell(self) -> None:
        if self._news is not None:
            self._news(self)

    def uses(self, credential: str) -> None:
        """The key's fingerprint, in the snapshot that comes into force."""
        if credential != self.credential:
            self.credential, self.cooling_until = credential, 0.0


def asked_to_wait(header: Header, epoch: float) -> float | None:
    """Seconds that an answer's headers ask to wait: `retry-after-ms` (Azure, OpenAI), or `Retry-After`."""
    exact = header("retry-after-ms")
    if exact is not None and (milliseconds := retry_after_seconds(exact, epoch)) is not None:
        return milliseconds / 1000
    return retry_after_seconds(header("retry-after"), epoch)


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
