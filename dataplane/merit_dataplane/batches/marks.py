"""What has been booked, so that nothing is booked twice.

    with Redis      a key per batch, 40 days: all pods together book it once. While Redis is away nothing is booked
    without         each pod for the batches that it created: in memory, and in the state folder where it has one.
                    One without such a folder books nothing that had ended before it began: its forerunner may have

The mark is set before the accounts change: a process that is killed in between loses a batch's cost, none doubles it.
"""

import asyncio
import logging
import os
import secrets
import time
from pathlib import Path
from typing import TYPE_CHECKING

from merit_dataplane.shared_state.errors import SharedStateUnavailableError
from merit_dataplane.shared_state.script import Script

if TYPE_CHECKING:
    from merit_dataplane.shared_state import SharedState

log = logging.getLogger("merit.batches")
FIRST = Script("""
local had = redis.call('GET', KEYS[1])
if had then return had == ARGV[1] and 1 or 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
""")
"""1 where nobody had the key, or who asks has had it: a reply may be lost."""
_KEPT_SECONDS = 40 * 86_400
_WAIT_SECONDS = 1.0
_MOST_BYTES = 64 * 1024 * 1024


class NotNowError(Exception):
    """It can't be said now whether it was booked."""


class Marks:
    """Of one process. `state` is None where pods share nothing, `folder` where it keeps nothing."""

    def __init__(self, state: "SharedState | None", folder: Path | None, pod: str):
        self._state, self._pod = state, pod
        self._path = folder / "batches.txt" if folder is not None and state is None else None
        self._token = secrets.token_hex(8)
        self._known: dict[str, int] = {}
        self.since = float(int(time.time()))  # providers tell whole seconds
        """What had ended by then may have been booked by a forerunner; 0 where that is known."""
        if self._path is not None:
            self._load(self._path)

    def known(self, name: str) -> bool:
        """Whether it surely has been booked."""
        return name in self._known

    def is_ours(self, pod: str, ended_at: float) -> bool:
        """Whether this process may book a batch that a pod created."""
        return self._state is not None or (pod == self._pod and ended_at >= self.since)

    async def taken(self, name: str) -> bool:
        """Whether another process has marked it: then nobody has to read what it has used. Raises NotNowError."""
        if self._state is None:
            return name in self._known
        budget = self._state.budget()
        budget.left = _WAIT_SECONDS
        try:
            token = await self._state.read(self._state.key("batches", name), budget=budget)
        except SharedStateUnavailableError as error:
            raise NotNowError(str(error)) from None
        if token is None or token == self._token.encode():
            return False
        self._known[name] = int(time.time())
        return True

    async def first(self, name: str) -> bool:
        """Marks it. False: others have. Raises NotNowError."""
        if name in self._known:
            return False
        if self._state is not None:
            mine = await self._shared(self._state, name, _KEPT_SECONDS)
        else:
            mine = True
            await self._write(name)
        self._known[name] = now = int(time.time())
        while (oldest := next(iter(self._known))) and self._known[oldest] < now - _KEPT_SECONDS:
            del self._known[oldest]
        return mine

    async def lease(self, name: str, seconds: float) -> bool:
        """Whether this pod does something that one is enough for. Raises NotNowError."""
        if self._state is None:
            return True
        return await self._shared(self._state, name, seconds, token=secrets.token_hex(8))

    async def _shared(self, state: "SharedState", name: str, seconds: float, *, token: str = "") -> bool:
        budget = state.budget()
        budget.left = _WAIT_SECONDS  # nobody waits for it
        try:
            key = state.key("batches", name)
            return bool(await state.run(FIRST, [key], [token or self._token, int(seconds * 1000)], budget=budget))
        except SharedStateUnavailableError as error:
            raise NotNowError(str(error)) from None

    # ---- the state folder

    def _load(self, path: Path) -> None:
        old = int(time.time()) - _KEPT_SECONDS
        try:
            with path.open("rb") as file:
                text = file.read(_MOST_BYTES).decode("ascii", "replace")
            for line in text.splitlines():
                name, _, when = line.partition(" ")
                if when.isdecimal() and int(when) > old:
                    self._known[name] = int(when)
            partial = path.with_suffix(".partial")
            partial.write_text("".join(f"{name} {when}\n" for name, when in self._known.items()), encoding="ascii")
            partial.replace(path)
        except FileNotFoundError:
            return
        except OSError as error:
            log.warning("what has been booked of batches can't be read from %s: %s", path, error)
            return
        self.since = 0.0

    async def _write(self, name: str) -> None:
        path = self._path
        if path is None:
            return

        def write() -> None:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("a", encoding="ascii") as file:
                file.write(f"{name} {int(time.time())}\n")
                file.flush()
                os.fsync(file.fileno())

        try:
            await asyncio.to_thread(write)
        except OSError as error:
            raise NotNowError(f"{path} can't be written: {error.strerror}") from None
