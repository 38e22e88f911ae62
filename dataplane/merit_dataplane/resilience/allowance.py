"""What a provider's own headers say is left of its limits, so that nothing is sent only to be refused.

OpenAI and those like it:  x-ratelimit-{limit,remaining,reset}-{requests,tokens}; reset is `6m0s`, `20ms` or seconds
Anthropic:                 anthropic-ratelimit-{requests,tokens}-{limit,remaining,reset}; reset is an instant

`reset` is when all of it will be back. It comes back evenly, so what is missing and how long that takes give the rate.
"""

import re
from collections.abc import Callable
from datetime import datetime

_LONGEST_SECONDS = 60.0
_SHORTEST_SECONDS = 0.01
_DURATION = re.compile(
    r"(?:(\d{1,4})h)?(?:(\d{1,5})m(?!s))?(?:(\d{1,6}(?:\.\d{1,9})?)s)?(?:(\d{1,9}(?:\.\d{1,9})?)ms)?"
)
_SIGNIFICANT = 10
"""Of more than a tenth of a limit nothing has to be remembered."""

Header = Callable[[str], str | None]


class Allowance:
    """Of one account and one kind: requests, or tokens. Times are `loop.time()` seconds."""

    __slots__ = ("_at", "_left", "_rate", "until")

    def __init__(self) -> None:
        self._left = 0.0
        self._rate = 0.0
        self._at = 0.0
        self.until = 0.0
        """Then what was said is old."""

    def said(self, remaining: int, limit: int, reset: float, now: float) -> None:
        """A response says what is left of how much, and in how many seconds all of it is back."""
        reset = min(max(reset, _SHORTEST_SECONDS), _LONGEST_SECONDS)
        self._left, self._rate = float(remaining), max(1, limit - remaining) / reset
        self._at, self.until = now, now + reset

    def take(self, number: float) -> None:
        """This pod sends so much."""
        self._left -= number

    def wait(self, number: float, now: float) -> float:
        """Seconds until so much is left, as far as is known; 0 where nothing speaks against it."""
        if now >= self.until:
            return 0.0
        left = self._left + self._rate * (now - self._at)
        return 0.0 if left >= number else min((number - left) / self._rate, self.until - now)


class Allowances:
    """Of one account."""

    __slots__ = ("_usual_tokens", "requests", "tokens")

    def __init__(self) -> None:
        self.requests, self.tokens = Allowance(), Allowance()
        self._usual_tokens = 0.0

    @property
    def until(self) -> float:
        """When all that was said is old."""
        return max(self.requests.until, self.tokens.until)

    def read(self, header: Header, now: float, epoch: float) -> bool:
        """A response's headers; those that make no sense are passed over. `epoch` is the wall clock. False: none."""
        if (left := header("x-ratelimit-remaining-requests")) is not None:
            limit, reset = header("x-ratelimit-limit-requests"), header("x-ratelimit-reset-requests")
            _read(self.requests, left, limit, reset, now, epoch)
            if (left := header("x-ratelimit-remaining-tokens")) is not None:
                limit, reset = header("x-ratelimit-limit-tokens"), header("x-ratelimit-reset-tokens")
                _read(self.tokens, left, limit, reset, now, epoch)
        elif (left := header("anthropic-ratelimit-requests-remaining")) is not None:
            limit, reset = header("anthropic-ratelimit-requests-limit"), header("anthropic-ratelimit-requests-reset")
            _read(self.requests, left, limit, reset, now, epoch)
            if (left := header("anthropic-ratelimit-tokens-remaining")) is not None:
                limit, reset = header("anthropic-ratelimit-tokens-limit"), header("anthropic-ratelimit-tokens-reset")
                _read(self.tokens, left, limit, reset, now, epoch)
        else:
            return False
        return True

    def started(self) -> None:
        """A request goes out."""
        self.requests.take(1)
        self.tokens.take(self._usual_tokens)

    def used(self, tokens: int) -> None:
        """A request took so many tokens."""
        self._usual_tokens += (tokens - self._usual_tokens) / 10

    def wait(self, now: float) -> float:
        """Seconds until the provider would take another request; 0 where nothing speaks against it."""
        return max(self.requests.wait(1, now), self.tokens.wait(max(1.0, self._usual_tokens), now))


def _read(  # noqa: PLR0917 # three headers, two clocks
    allowance: Allowance, left: str, limit: str | None, reset: str | None, now: float, epoch: float
) -> None:
    if not _number(left) or limit is None or not _number(limit) or reset is None:
        return
    if int(left) * _SIGNIFICANT > int(limit):  # nearly always: the third header isn't even read
        allowance.until = 0.0
        return
    seconds = seconds_of(reset, epoch)
    if seconds is not None and int(limit):
        allowance.said(int(left), int(limit), seconds, now)


def _number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 15


def seconds_of(text: str, epoch: float) -> float | None:
    """Seconds until a reset, however it is said; None where it makes no sense. `epoch` is the wall clock."""
    if len(text) > 40:
        return None
    if _number(text):
        return float(text)
    if text and (found := _DURATION.fullmatch(text)):
        hours, minutes, seconds, milliseconds = (float(part or 0) for part in found.groups())
        return hours * 3600 + minutes * 60 + seconds + milliseconds / 1000
    try:
        return max(0.0, datetime.fromisoformat(text).timestamp() - epoch)
    except (ValueError, OverflowError):
        return None
