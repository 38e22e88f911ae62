"""What a provider's own headers say is left of its limits, so that nothing is sent only to be refused.

OpenAI and those like it:  x-ratelimit-{limit,remaining,reset}-{requests,tokens}; reset is `6m0s`, `20ms` or seconds
Anthropic:                 anthropic-ratelimit-{requests,tokens}-{limit,remaining,reset}; reset is an instant

`reset` is when all of it will be back. It comes back evenly, so what is missing and how long that takes give the rate.
"""

import re
from collections.abc import Callable, Mapping
from datetime import datetime

_LONGEST_SECONDS = 60.0
_SHORTEST_SECONDS = 0.01
_DURATION = re.compile(
    r"(?:(\d{1,4})h)?(?:(\d{1,5})m(?!s))?(?:(\d{1,6}(?:\.\d{1,9})?)s)?(?:(\d{1,9}(?:\.\d{1,9})?)ms)?"
)
_SIGNIFICANT = 10
"""Of more than a tenth of a limit nothing has to be remembered."""
_MOST_DIGITS = 15
_ZERO = ord("0")

Header = Callable[[str], str | None]
_WORDS = (
    (
        (b"x-ratelimit-remaining-requests", b"x-ratelimit-limit-requests", b"x-ratelimit-reset-requests"),
        (b"x-ratelimit-remaining-tokens", b"x-ratelimit-limit-tokens", b"x-ratelimit-reset-tokens"),
    ),
    (
        (
            b"anthropic-ratelimit-requests-remaining",
            b"anthropic-ratelimit-requests-limit",
            b"anthropic-ratelimit-requests-reset",
        ),
        (
            b"anthropic-ratelimit-tokens-remaining",
            b"anthropic-ratelimit-tokens-limit",
            b"anthropic-ratelimit-tokens-reset",
        ),
    ),
)
"""What is left, of what, and when all of it is back: of requests, and of tokens; OpenAI's words, and Anthropic's."""


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

    def read(self, headers: Mapping[bytes, bytes], now: float, epoch: float) -> bool:
        """A response's headers, by lower-case name; those that make no sense are passed over. False: none.

        `epoch` is the wall clock in seconds.
        """
        for requests, tokens in _WORDS:
            if (left := headers.get(requests[0])) is None:
                continue
            _read(self.requests, left, requests, headers, now, epoch)
            if (left := headers.get(tokens[0])) is not None:
                _read(self.tokens, left, tokens, headers, now, epoch)
            return True
        return False

    def started(self) -> None:
        """A request goes out."""
        if self.requests.until:  # else nothing is known that it could take from
            self.requests.take(1)
        if self.tokens.until:
            self.tokens.take(self._usual_tokens)

    def used(self, tokens: int) -> None:
        """A request took so many tokens."""
        self._usual_tokens += (tokens - self._usual_tokens) / 10

    def wait(self, now: float) -> float:
        """Seconds until the provider would take another request; 0 where nothing speaks against it."""
        return max(self.requests.wait(1, now), self.tokens.wait(max(1.0, self._usual_tokens), now))


def _read(  # noqa: PLR0917 # a header and its two others, two clocks
    allowance: Allowance,
    left: bytes,
    names: tuple[bytes, bytes, bytes],
    headers: Mapping[bytes, bytes],
    now: float,
    epoch: float,
) -> None:
    limit = headers.get(names[1])
    if limit is None or not (left.isdigit() and limit.isdigit()) or max(len(left), len(limit)) > _MOST_DIGITS:
        return
    # nearly always, and nearly always to be seen at a glance: then the third header isn't even looked for
    if (len(left) == len(limit) and left[0] != _ZERO) or int(left) * _SIGNIFICANT > int(limit):
        allowance.until = 0.0
        return
    reset = headers.get(names[2])
    seconds = None if reset is None else seconds_of(reset.decode("latin-1"), epoch)
    if seconds is not None and int(limit):
        allowance.said(int(left), int(limit), seconds, now)


def seconds_of(text: str, epoch: float) -> float | None:
    """Seconds until a reset, however it is said; None where it makes no sense. `epoch` is the wall clock."""
    if len(text) > 40:
        return None
    if text.isdigit() and text.isascii() and len(text) <= _MOST_DIGITS:
        return float(text)
    if text and (found := _DURATION.fullmatch(text)):
        hours, minutes, seconds, milliseconds = (float(part or 0) for part in found.groups())
        return hours * 3600 + minutes * 60 + seconds + milliseconds / 1000
    try:
        return max(0.0, datetime.fromisoformat(text).timestamp() - epoch)
    except (ValueError, OverflowError):
        return None
