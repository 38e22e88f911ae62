"""All traffic with one server: what waits, what is sent, what failed, and whether to ask at all."""

import asyncio
import contextlib
import logging
import random
from collections import deque
from collections.abc import Sequence
from typing import Any

from redis.exceptions import NoScriptError, RedisError

from merit_dataplane.shared_state.breaker import Breaker
from merit_dataplane.shared_state.counts import Counts
from merit_dataplane.shared_state.errors import SharedStateUnavailableError
from merit_dataplane.shared_state.reasons import concerns, reason_of
from merit_dataplane.shared_state.script import Script
from merit_dataplane.shared_state.servers import Arguments, Server

log = logging.getLogger("merit.shared_state")
_WORKERS = 4
"""Pipelines of waiting requests on their way at once."""
_BATCH = 128
_MOST_WAITING = 4096
_MOST_LATER = 8192
_MOST_LATER_BYTES = 8 * 1024 * 1024
_LATER_BATCH_BYTES = 1024 * 1024
_LAG_SECONDS = 0.002
"""A timer that fires so late was held up by our own event loop: the reply may lie there unread."""
_HEARTBEAT_SECONDS = 2.0
_FIRST_PROBE_SECONDS = 0.1
_LONGEST_PROBE_SECONDS = 2.0
_STEADY_SECONDS = 10.0
"""Off again sooner than this, and the pause goes on growing: who flaps is not asked at each turn."""
_PROBE_LIMIT_SECONDS = 2.0
_PROBES = 3
_jitter = random.Random()  # noqa: S311 # spreads the probes of many pods
_LOST = (RedisError, OSError, TimeoutError)


class Command:
    """One command on its way."""

    __slots__ = ("arguments", "bytes", "excused", "future", "good_until", "script", "writes")

    def __init__(self, arguments: Arguments, *, script: Script | None = None, writes: bool):
        self.arguments, self.script, self.writes = arguments, script, writes
        self.future: asyncio.Future[Any] | None = None
        self.excused = False
        """Our own event loop was late once already."""
        self.bytes = 0
        self.good_until = 0.0


class Lane:
    """One server. Needs `start`, then `close`."""

    def __init__(self, server: Server, *, name: str, budget_seconds: float, counts: Counts):
        self._server, self._name, self._budget, self._counts = server, name, budget_seconds, counts
        self._loop = asyncio.get_running_loop()
        now = self._loop.time()
        self.reads, self.writes = Breaker(now), Breaker(now)
        self._waiting: deque[Command] = deque()
        self._later: deque[Command] = deque()
        self._later_bytes = 0
        self._workers: set[asyncio.Task[None]] = set()
        self._starting = False
        """A worker begins in the loop's next turn, and takes what has come until then."""
        self._later_worker: asyncio.Task[None] | None = None
        self._watch: asyncio.Task[None] | None = None
        self._look, self._never = asyncio.Event(), asyncio.Event()

    def start(self) -> None:
        """Probes from now on."""
        self._watch = self._loop.create_task(self._watching())

    async def close(self) -> None:
        """Sends what was put off while that is quick, then stops all tasks."""
        if self._later_worker is not None:
            await asyncio.wait({self._later_worker}, timeout=1.0)
        tasks = [t for t in (self._watch, self._later_worker, *self._workers) if t is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for command in self._waiting:
            _fail(command, "closed")
        self._waiting.clear()

    @property
    def queued_later(self) -> int:
        """Writes for which nobody waits."""
        return len(self._later)

    # ---- what requests wait for

    async def ask(self, command: Command, seconds: float) -> Any:
        """The reply. Raises SharedStateUnavailableError, after `seconds` at the latest."""
        breaker, kind = (self.writes, "write") if command.writes else (self.reads, "read")
        if breaker.open:
            self._counts.add(kind, "refused")
            raise SharedStateUnavailableError(breaker.reason)
        if seconds <= 0:
            self._counts.add(kind, "no_time")
            raise SharedStateUnavailableError("no_time")
        if len(self._waiting) >= _MOST_WAITING:
            self._counts.add(kind, "queue_full")
            raise SharedStateUnavailableError("queue_full")
        loop, future = self._loop, self._loop.create_future()
        command.future = future
        started = loop.time()
        timer = loop.call_at(started + seconds, self._expire, command, started + seconds)
        self._waiting.append(command)
        if not self._starting and len(self._workers) < _WORKERS:
            self._spawn()
        try:
            reply = await future
        except SharedStateUnavailableError as error:
            self._counts.add(kind, error.reason)
            raise
        finally:
            timer.cancel()
        self._counts.answered(kind, loop.time() - started)
        return reply

    def _expire(self, command: Command, due: float) -> None:
        if command.future is None or command.future.done():
            return
        now = self._loop.time()
        if not command.excused and now - due > _LAG_SECONDS:
            command.excused = True
            self._loop.call_later(_LAG_SECONDS, self._expire, command, now + _LAG_SECONDS)
            return
        _fail(command, "timeout")
        if not command.excused:
            self._failed("timeout", reads=not command.writes, writes=command.writes)

    def _spawn(self) -> None:
        self._starting = True
        task = self._loop.create_task(self._drain())
        self._workers.add(task)
        task.add_done_callback(self._workers.discard)

    async def _drain(self) -> None:
        self._starting = False
        while self._waiting:
            batch: list[Command] = []
            while self._waiting and len(batch) < _BATCH:
                command = self._waiting.popleft()
                if command.future is not None and not command.future.done():
                    batch.append(command)
            if not batch:
                return
            if self._waiting and not self._starting and len(self._workers) < _WORKERS:
                self._spawn()
            for command, reply in zip(batch, await self._send(batch), strict=True):
                if command.future is None or command.future.done():
                    continue
                if isinstance(reply, SharedStateUnavailableError):
                    command.future.set_exception(reply)
                else:
                    command.future.set_result(reply)

    # ---- what nobody waits for

    def later(self, command: Command, seconds: float) -> bool:
        """Puts a command off. False when it was dropped: the queue is full, or Redis has been away for too long."""
        size = sum(len(a) if isinstance(a, bytes | str) else 8 for a in command.arguments) + 200
        if len(self._later) >= _MOST_LATER or self._later_bytes + size > _MOST_LATER_BYTES:
            self._counts.add("later", "queue_full")
            return False
        command.bytes, command.good_until = size, self._loop.time() + seconds
        self._later.append(command)
        self._later_bytes += size
        self._flush()
        return True

    def _flush(self) -> None:
        if self._later and not self.writes.open and (self._later_worker is None or self._later_worker.done()):
            self._later_worker = self._loop.create_task(self._drain_later())

    async def _drain_later(self) -> None:
        while self._later and not self.writes.open:
            batch: list[Command] = []
            size, now = 0, self._loop.time()
            while self._later and len(batch) < _BATCH and size < _LATER_BATCH_BYTES:
                command = self._later.popleft()
                self._later_bytes -= command.bytes
                if command.good_until < now:
                    self._counts.add("later", "too_old")
                    continue
                batch.append(command)
                size += command.bytes
            for reply in await self._send(batch) if batch else ():
                self._counts.add(
                    "later", reply.reason if isinstance(reply, SharedStateUnavailableError) else "answered"
                )

    # ---- the wire

    async def _send(self, batch: Sequence[Command]) -> list[Any]:
        """A reply, or a SharedStateUnavailableError, for each. Raises nothing."""
        try:
            replies = await self._server.pipeline([command.arguments for command in batch])
            unknown = [place for place, reply in enumerate(replies) if isinstance(reply, NoScriptError)]
            if unknown:  # Redis was restarted, or has never seen it: EVAL loads it
                again = await self._server.pipeline([_in_full(batch[place]) for place in unknown])
                for place, reply in zip(unknown, again, strict=True):
                    replies[place] = reply
        except asyncio.CancelledError:
            for command in batch:
                _fail(command, "closed")
            raise
        except Exception as error:  # whatever it is, callers wait for an answer
            reason = reason_of(error)
            if not isinstance(error, _LOST):
                log.warning("an error of our own in talking to Redis", exc_info=True)
            reads, writes = concerns(reason)
            self._failed(reason, reads=reads, writes=writes)
            return [SharedStateUnavailableError(reason)] * len(batch)
        return [self._judged(command, reply) for command, reply in zip(batch, replies, strict=True)]

    def _judged(self, command: Command, reply: Any) -> Any:
        if not isinstance(reply, Exception):
            if command.future is None or not command.future.done():  # else it came too late
                (self.writes if command.writes else self.reads).succeeded()
            return reply
        reason = reason_of(reply)
        reads, writes = concerns(reason)
        self._failed(reason, reads=reads, writes=writes)
        if reason == "wrong_type":
            self._remove(command)
        return SharedStateUnavailableError(reason)

    def _remove(self, command: Command) -> None:
        """Keys with our prefix are ours: one that holds something else would be in the way for ever."""
        keys = command.arguments[3 : 3 + int(command.arguments[2])] if command.script else command.arguments[1:2]
        log.warning("a key of ours holds another type in Redis, it is removed")
        for key in keys:  # one by one, though they are in one slot: the others are not worth keeping without it
            self.later(Command(("UNLINK", key), writes=True), 5.0)

    def _failed(self, reason: str, *, reads: bool, writes: bool) -> None:
        now = self._loop.time()
        opened = [
            breaker
            for breaker, hit in ((self.reads, reads), (self.writes, writes))
            if hit and breaker.failed(reason, now)
        ]
        if opened:
            self._opened(opened)

    def _opened(self, opened: list[Breaker]) -> None:
        what = (
            "reads and writes are" if len(opened) == 2 else ("reads are" if opened[0] is self.reads else "writes are")
        )
        log.warning("Redis %s: %s off (%s); requests go on without", self._name, what, opened[0].reason)
        self._look.set()

    # ---- whether to ask

    async def _watching(self) -> None:
        """Probes: while all is well so that nobody has to find out, else until it is well again."""
        pause = 0.0
        while True:
            off = self.reads.open or self.writes.open
            self._look.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout((pause if off else _HEARTBEAT_SECONDS) * _jitter.uniform(0.8, 1.2)):
                    await (self._never if off else self._look).wait()
            if not off and (self.reads.open or self.writes.open):
                continue  # requests have found out: the pause begins
            try:
                async with asyncio.timeout(_PROBE_LIMIT_SECONDS):
                    reads, writes = await self._probe(strict=off)
            except Exception as error:  # any error at all is the answer
                reads = writes = reason_of(error)
            self._settle(reads, writes)
            if reads or writes:
                pause = min(max(2 * pause, _FIRST_PROBE_SECONDS), _LONGEST_PROBE_SECONDS)
                continue
            if not off and self._loop.time() - max(self.reads.since, self.writes.since) > _STEADY_SECONDS:
                pause = _FIRST_PROBE_SECONDS
            self._flush()

    async def _probe(self, *, strict: bool) -> tuple[str, str]:
        """Why reads and why writes are not to be had; empty where they are. Strict: within a request's budget, too."""
        key, took, replies = self._server.probe_key(), [], []
        for _ in range(_PROBES if strict else 1):
            started = self._loop.time()
            replies = await self._server.pipeline([("GET", key), ("SET", key, b"1", "PX", 60_000)])
            took.append(self._loop.time() - started)
        late = "timeout" if strict and sorted(took)[_PROBES // 2] > self._budget else ""
        reads, writes = (reason_of(r) if isinstance(r, Exception) else late for r in replies)
        return reads, writes

    def _settle(self, reads: str, writes: str) -> None:
        now = self._loop.time()
        for breaker, reason, what in ((self.reads, reads, "reads"), (self.writes, writes, "writes")):
            if not reason:
                if breaker.close(now):
                    log.info("Redis %s: %s are on", self._name, what)
            elif breaker.trip(reason, now):
                log.warning("Redis %s: %s are off (%s); requests go on without", self._name, what, reason)
            elif breaker.reason != reason:
                breaker.reason = reason
                log.warning("Redis %s: %s are still off (%s)", self._name, what, reason)


def _in_full(command: Command) -> Arguments:
    if command.script is None:
        return command.arguments
    return ("EVAL", command.script.source, *command.arguments[2:])


def _fail(command: Command, reason: str) -> None:
    if command.future is not None and not command.future.done():
        command.future.set_exception(SharedStateUnavailableError(reason))
