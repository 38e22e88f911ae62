"""What a provider's headers say of its rate limits, for clients of either protocol.

    OpenAI      x-ratelimit-{limit,remaining,reset}-{requests,tokens}; reset is a duration: 6m0s, 20ms
    Anthropic   anthropic-ratelimit-{requests,tokens,input-tokens,output-tokens}-{limit,remaining,reset}; reset is an
                instant: 2026-01-01T00:00:00Z

A client of the same protocol gets them as they came. For another one requests and tokens are put into its names.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from operator import itemgetter
from typing import Final

from merit_dataplane.resilience.allowance import seconds_of

Headers = tuple[tuple[bytes, bytes], ...]
_WHAT, _KINDS = ("limit", "remaining", "reset"), ("requests", "tokens")
OPENAIS: Final = tuple(f"x-ratelimit-{what}-{kind}".encode() for kind in _KINDS for what in _WHAT)
ANTHROPICS: Final = tuple(
    f"anthropic-ratelimit-{kind}-{what}".encode()
    for kind in (*_KINDS, "input-tokens", "output-tokens")
    for what in _WHAT
)
_MOST_BYTES = 64
_all_of_openai = itemgetter(*OPENAIS)
_OF_OPENAI, _OF_ANTHROPIC = b"x-ratelimit-", b"anthropic-ratelimit-"


def told(headers: Mapping[bytes, bytes]) -> Headers:
    """Those of an answer, by lower-case name, as they came."""
    try:
        values = _all_of_openai(headers)
    except KeyError:
        pass
    else:
        together = b"".join(values)
        if len(together) <= _MOST_BYTES and together.isascii():  # as nearly always: no look at each
            return tuple(zip(OPENAIS, values, strict=True))
    names = ANTHROPICS if ANTHROPICS[1] in headers else OPENAIS
    given = [(name, headers[name]) for name in names if name in headers]
    return tuple([one for one in given if len(one[1]) <= _MOST_BYTES and one[1].isascii()])


def for_openais(given: Headers, wall: float) -> Headers:
    """In OpenAI's names. `wall`: seconds since 1970."""
    if not given or not given[-1][0].startswith(_OF_ANTHROPIC):  # all have the names of one
        return given
    return tuple(_renamed(given, "anthropic-ratelimit-{1}-{0}", "x-ratelimit-{0}-{1}", wall, _duration))


def for_anthropics(headers: Iterable[tuple[bytes, bytes]], given: Headers, wall: float) -> list[tuple[bytes, bytes]]:
    """An answer's headers with Anthropic's names in place of OpenAI's. `given`: as the provider told them."""
    headers = list(headers)
    own = tuple(header for header in given if header[0].startswith(_OF_ANTHROPIC))
    ours = tuple(header for header in headers if header[0].startswith(_OF_OPENAI))
    rest = [header for header in headers if not header[0].startswith(_OF_OPENAI)]
    return [*rest, *(own or _renamed(ours, "x-ratelimit-{0}-{1}", "anthropic-ratelimit-{1}-{0}", wall, _instant))]


def _renamed(
    given: Headers, there: str, here: str, wall: float, reset: Callable[[float, float], str]
) -> Iterator[tuple[bytes, bytes]]:
    values = dict(given)
    for kind in _KINDS:
        for what in _WHAT:
            value = values.get(there.format(what, kind).encode())
            if value is None:
                continue
            if what == "reset":
                seconds = seconds_of(value.decode(), wall)
                if seconds is None:
                    continue
                value = reset(seconds, wall).encode()
            yield here.format(what, kind).encode(), value


def _duration(seconds: float, _: float) -> str:
    minutes, rest = divmod(math.ceil(seconds), 60)
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"


def _instant(seconds: float, wall: float) -> str:
    return datetime.fromtimestamp(math.ceil(wall + seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
