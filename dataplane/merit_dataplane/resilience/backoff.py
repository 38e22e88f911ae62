"""How long to wait before an account is asked again: capped, exponential, with full jitter."""

import random
from collections.abc import Callable

_FIRST_SECONDS = 0.2
_LONGEST_SECONDS = 2.0
_AFTER_RETRY_AFTER = 0.1


def backoff(retries: int, draw: Callable[[], float] = random.random) -> float:
    """Seconds before retry number `retries` of one request, from 0: anything up to 0.2 s, twice that each time."""
    ceiling: float = min(_LONGEST_SECONDS, _FIRST_SECONDS * 2**retries)
    return ceiling * draw()


def after(retry_after: float, draw: Callable[[], float] = random.random) -> float:
    """Seconds for an account that asked for `retry_after`: never less, a little more, so that not all come at once."""
    return retry_after + _AFTER_RETRY_AFTER * draw()
