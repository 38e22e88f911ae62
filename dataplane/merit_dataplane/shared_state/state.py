"""The link as its callers see it."""

import asyncio
import contextlib
import hashlib
import logging
from collections.abc import Sequence
from typing import Any, Protocol

from merit_dataplane.redis_settings import RedisSettings
from merit_dataplane.shared_state.breaker import Breaker
from merit_dataplane.shared_state.counts import Counts
from merit_dataplane.shared_state.errors import SharedStateUnavailableError
from merit_dataplane.shared_state.lane import Command, Lane
from merit_dataplane.shared_state.reasons import reason_of
from merit_dataplane.shared_state.script import Script
from merit_dataplane.shared_state.servers import Cluster, OneServer

log = logging.getLogger("merit.shared_state")
_LATER_SECONDS = 5.0
_MOST_BYTES = 1024 * 1024
_REFRESH_SECONDS = 10.0
_REFRESH_AGAIN_SECONDS = 0.5
_REFRESH_LIMIT_SECONDS = 5.0
Argument = bytes | str | int


class Budget:
    """Seconds that one request may still wait for Redis."""

    __slots__ = ("left",)

    def __init__(self, seconds: float):
        self.left = seconds


class SharedState:
    """Redis, while there is one that answers in time. Needs a running loop; `start`, then `close`."""

    def __init__(self, settings: RedisSettings):
        self._settings = settings
        self._loop = asyncio.get_running_loop()
        self._prefix = settings.prefix
        self.counts = Counts()
        self._lanes: _Lanes
        if settings.address.mode == "Cluster":
            self._lanes = _Many(settings, self.counts)
        else:
            self._lanes = _One(settings, self.counts)

    def start(self) -> None:
        """Connects, in the background."""
        log.info("shared state: %s", self._settings.address)
        self._lanes.start()

    async def close(self) -> None:
        """Sends what was put off while that is quick, then closes."""
        await self._lanes.close()

    def budget(self) -> Budget:
        """For one request: hand it to each of its calls."""
        return Budget(self._settings.budget_seconds)

    def key(self, purpose: str, owner: str | bytes, *rest: str) -> bytes:
        """`merit:purpose:{hash of owner}:rest`: keys of one owner are in one slot, and nobody reads a name in them."""
        name = owner.encode() if isinstance(owner, str) else owner
        tag = hashlib.blake2b(name, digest_size=16).hexdigest()
        return ":".join((self._prefix, purpose, f"{{{tag}}}", *rest)).encode()

    async def read(self, key: bytes, *, budget: Budget, most_bytes: int = _MOST_BYTES) -> bytes | None:
        """The value of a key, cut after `most_bytes`; None where there is none or it is empty.

        Raises SharedStateUnavailableError.
        """
        reply = await self._ask(key, Command(("GETRANGE", key, 0, most_bytes - 1), writes=False), budget)
        return reply if isinstance(reply, bytes) and reply else None

    async def run(self, script: Script, keys: Sequence[bytes], args: Sequence[Argument] = (), *, budget: Budget) -> Any:
        """A script's reply: bytes, int, None or a list of these. Raises SharedStateUnavailableError."""
        return await self._ask(keys[0], _call(script, keys, args), budget)

    async def _ask(self, key: bytes, command: Command, budget: Budget) -> Any:
        lane, started = self._lanes.of(key), self._loop.time()
        try:
            return await lane.ask(command, budget.left)
        finally:
            budget.left -= self._loop.time() - started

    def later(
        self, script: Script, keys: Sequence[bytes], args: Sequence[Argument] = (), *, good_for: float = _LATER_SECONDS
    ) -> bool:
        """Runs a script soon, at most once; nobody waits. False, or never: Redis is away for `good_for` seconds."""
        return self._later(keys[0], _call(script, keys, args), good_for)

    def keep(self, key: bytes, value: bytes, *, seconds: float) -> bool:
        """Stores a value that expires; nobody waits. False when it was dropped."""
        expiry = max(1, int(seconds * 1000))
        return self._later(key, Command(("SET", key, value, "PX", expiry), writes=True), min(seconds, _LATER_SECONDS))

    def forget(self, key: bytes) -> bool:
        """Removes a key; nobody waits."""
        return self._later(key, Command(("UNLINK", key), writes=True), _LATER_SECONDS)

    def _later(self, key: bytes, command: Command, good_for: float) -> bool:
        try:
            lane = self._lanes.of(key)
        except SharedStateUnavailableError as error:
            self.counts.add("later", error.reason)
            return False
        return lane.later(command, good_for)

    # ---- for metrics and /readyz

    def breakers(self) -> list[tuple[str, Breaker]]:
        """`reads` and `writes` of every server that is known."""
        return [(kind, b) for lane in self._lanes.all() for kind, b in (("reads", lane.reads), ("writes", lane.writes))]

    @property
    def queued_later(self) -> int:
        """Writes for which nobody waits."""
        return sum(lane.queued_later for lane in self._lanes.all())

    def describe(self) -> str:
        """One line for people."""
        breakers = self.breakers()
        off = sorted({f"{kind} off ({b.reason})" for kind, b in breakers if b.open})
        if not breakers:
            return f"shared state: off ({self._lanes.trouble})"
        return "shared state: " + (", ".join(off) if off else "on")


class _Lanes(Protocol):
    trouble: str

    def start(self) -> None: ...

    async def close(self) -> None: ...

    def of(self, key: bytes) -> Lane:
        """Raises SharedStateUnavailableError."""

    def all(self) -> list[Lane]: ...


class _One:
    trouble = ""

    def __init__(self, settings: RedisSettings, counts: Counts):
        self._server = OneServer(settings)
        name = str(settings.address)
        self._lane = Lane(self._server, name=name, budget_seconds=settings.budget_seconds, counts=counts)

    def start(self) -> None:
        self._lane.start()

    async def close(self) -> None:
        await self._lane.close()
        await self._server.close()

    def of(self, key: bytes) -> Lane:  # noqa: ARG002 # as the others'
        return self._lane

    def all(self) -> list[Lane]:
        return [self._lane]


class _Many:
    """A lane per master, so that one that is lost takes nothing of the others'."""

    def __init__(self, settings: RedisSettings, counts: Counts):
        self._cluster, self._settings, self._counts = Cluster(settings), settings, counts
        self._lanes: dict[str, Lane] = {}
        self._task: asyncio.Task[None] | None = None
        self.trouble = "starting"

    def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._follow())

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await asyncio.gather(*(lane.close() for lane in self._lanes.values()))
        await self._cluster.close()

    def of(self, key: bytes) -> Lane:
        if not self._cluster.known:
            raise SharedStateUnavailableError(self.trouble)
        try:
            return self._lanes[self._cluster.master_of(key)]
        except Exception:  # a slot that nobody holds, or a master that is new
            raise SharedStateUnavailableError("no_master") from None

    def all(self) -> list[Lane]:
        return list(self._lanes.values())

    async def _follow(self) -> None:
        while True:
            try:
                async with asyncio.timeout(_REFRESH_LIMIT_SECONDS):
                    masters = await self._cluster.refresh()
            except Exception as error:  # it is tried again
                reason = reason_of(error)
                if reason != self.trouble:
                    log.warning("Redis %s: its slots can't be read (%s)", self._settings.address, reason)
                self.trouble = reason
            else:
                self.trouble = ""
                await self._have(masters)
            off = bool(self.trouble) or any(lane.reads.open or lane.writes.open for lane in self._lanes.values())
            with contextlib.suppress(TimeoutError):
                await asyncio.sleep(_REFRESH_AGAIN_SECONDS if off else _REFRESH_SECONDS)

    async def _have(self, masters: set[str]) -> None:
        for name in masters - set(self._lanes):
            lane = self._lanes[name] = Lane(
                self._cluster.node(name),
                name=name,
                budget_seconds=self._settings.budget_seconds,
                counts=self._counts,
            )
            lane.start()
        for name in set(self._lanes) - masters:
            await self._lanes.pop(name).close()


def _call(script: Script, keys: Sequence[bytes], args: Sequence[Argument]) -> Command:
    return Command(("EVALSHA", script.sha, len(keys), *keys, *args), script=script, writes=script.writes)
