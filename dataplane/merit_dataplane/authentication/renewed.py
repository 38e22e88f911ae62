"""A value that ends: fetched anew in the background before it does. While that fails the old one serves to its end."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from typing import Generic, NamedTuple, TypeVar

from merit_dataplane.authentication.contract import AuthenticationError

_FETCH_SECONDS = 10.0
_WAIT_SECONDS = 5.0
"""How long a request waits for the first value, or for one in the place of one that has ended."""
_SHARE_OF_LIFE = 0.75
"""Of a value's time, after which it is fetched anew: Google's and Entra's tokens hold for an hour."""
_SOONEST_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 60.0
_AS_GOOD_AS_OVER_SECONDS = 10.0
"""A value that ends within this may have ended when the request arrives."""
_YOUNG_SECONDS = 30.0
"""A value that is refused so soon after it was fetched would be refused again."""
log = logging.getLogger("merit.authentication")
_jitter = random.Random()  # noqa: S311 # spreads pods over time
V = TypeVar("V")


class Fetched(NamedTuple, Generic[V]):
    """A value, and for how long it holds."""

    value: V
    seconds: float


class Renewed(Generic[V]):
    """Belongs to one event loop. `name` says in logs and errors whose value it is: `Provider ns/name: Google token`."""

    def __init__(self, name: str, fetch: Callable[[], Awaitable[Fetched[V]]]):
        self._name, self._fetch = name, fetch
        self._value: V | None = None
        self._since = self._until = self._again_at = 0.0
        self._failures = 0
        self._why = "not fetched yet"
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    @property
    def last(self) -> V | None:
        """What was fetched last, whether it still holds or not."""
        return self._value

    async def current(self) -> V:
        """A value that holds. Raises AuthenticationError when there is none and none comes in time."""
        now = asyncio.get_running_loop().time()
        if self._value is not None and now < self._until:
            return self._value
        if self._task is None and now >= self._again_at:
            self.start()
        if self._task is not None:
            await asyncio.wait({self._task}, timeout=_WAIT_SECONDS)
        value, now = self._value, asyncio.get_running_loop().time()
        if value is None or now >= self._until:
            raise AuthenticationError(f"{self._name}: {self._why}")
        return value

    def start(self) -> None:
        """Fetches now, unless that is being done or the value is not due yet."""
        loop = asyncio.get_running_loop()
        if self._closed or self._task is not None or (self._timer is not None and loop.time() < self._until):
            return
        self._begin()

    def refused(self, why: str = "") -> None:
        """The vendor refused the value before its time: it is fetched anew, and used until there is another."""
        del why
        now = asyncio.get_running_loop().time()
        if not self._closed and self._task is None and now - self._since > _YOUNG_SECONDS and now >= self._again_at:
            self._begin()

    def close(self) -> None:
        """Fetches nothing more; what there is may be used to its end."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        if self._task is not None:
            self._task.cancel()

    def _begin(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._closed:
            self._task = asyncio.create_task(self._renew())

    async def _renew(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(_FETCH_SECONDS):
                fetched = await self._fetch()
        except Exception as error:
            # an unforeseen exception's text may hold anything: its type must do
            self._why = str(error) if isinstance(error, AuthenticationError) else _named(error)
            self._failures += 1
            pause = min(_LONGEST_PAUSE_SECONDS, 0.5 * 2.0 ** min(self._failures, 8)) * _jitter.uniform(0.75, 1.25)
            self._again_at = loop.time() + pause
            left = (
                f"the old one serves for {self._until - loop.time():.0f} s more" if self._holds(loop) else "none left"
            )
            log.warning("%s: %s; %s, tried again in %.1f s", self._name, self._why, left, pause)
        else:
            self._value, self._since, self._failures = fetched.value, loop.time(), 0
            self._until = self._since + max(0.0, fetched.seconds - _AS_GOOD_AS_OVER_SECONDS)
            pause = max(_SOONEST_SECONDS, fetched.seconds * _SHARE_OF_LIFE * _jitter.uniform(0.95, 1.05))
            self._again_at = 0.0
        finally:
            self._task = None
        if not self._closed:
            self._timer = loop.call_later(pause, self._begin)

    def _holds(self, loop: asyncio.AbstractEventLoop) -> bool:
        return self._value is not None and loop.time() < self._until


def _named(error: Exception) -> str:
    return f"not within {_FETCH_SECONDS:.0f} s" if isinstance(error, TimeoutError) else type(error).__name__
