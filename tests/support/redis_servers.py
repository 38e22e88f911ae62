"""Real Redis on ephemeral ports: one server, one with Sentinels, a Cluster. See tests/redis/install.sh."""

import asyncio
import contextlib
import os
import shutil
import signal
import tempfile
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from merit_dataplane.redis_settings import RedisAddress, RedisSettings
from merit_dataplane.shared_state import SharedState
from tests.support.gateway import eventually, free_port

PROGRAM = shutil.which("redis-server") or shutil.which("valkey-server")
needs_redis = pytest.mark.skipif(PROGRAM is None, reason="no redis-server here: run tests/redis/install.sh as root")
SECONDS = 20.0
"""Until something has happened, on a machine that is busy."""


@dataclass
class RedisServer:
    """One server process."""

    port: int
    folder: Path
    options: tuple[str, ...]
    process: Process | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Returns when it answers."""
        assert PROGRAM is not None
        fixed = ("--bind", "127.0.0.1", "--save", "", "--dir", str(self.folder), "--enable-debug-command", "yes")
        self.process = await asyncio.create_subprocess_exec(
            PROGRAM, *self._config(), "--port", str(self.port), *fixed, *self.options, stdout=DEVNULL, stderr=DEVNULL
        )
        await eventually(self._answers, f"{self.url} does not start", SECONDS)

    def _config(self) -> tuple[str, ...]:
        return ()

    async def _answers(self) -> bool:
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(1):
                reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
                with contextlib.closing(writer):
                    writer.write(b"PING\r\n")
                    return await reader.readline() == b"+PONG\r\n"
        return False

    async def __call__(self, *command: str | int | bytes, **options: Any) -> Any:
        """One command, by a connection of its own."""
        async with Redis(port=self.port, protocol=2, **options) as client:
            return await client.execute_command(*command)  # type: ignore[no-untyped-call]

    def send(self, number: int) -> None:
        """A signal."""
        assert self.process is not None
        os.kill(self.process.pid, number)

    async def kill(self) -> None:
        """SIGKILL."""
        if self.process is not None and self.process.returncode is None:
            self.process.kill()
            with contextlib.suppress(ProcessLookupError):
                self.send(signal.SIGCONT)
            await self.process.wait()


@contextlib.asynccontextmanager
async def redis_server(*options: str) -> AsyncIterator[RedisServer]:
    """A server with these options more."""
    with tempfile.TemporaryDirectory() as folder:
        server = RedisServer(free_port(), Path(folder), options)
        try:
            await server.start()
            yield server
        finally:
            await server.kill()


class SentinelServer(RedisServer):
    """A Sentinel that watches one master, `merit`."""

    master = 0

    def _config(self) -> tuple[str, ...]:
        config = self.folder / "sentinel.conf"
        config.write_text(
            f"sentinel monitor merit 127.0.0.1 {self.master} 2\n"
            "sentinel down-after-milliseconds merit 1500\nsentinel failover-timeout merit 5000\n",
            encoding="utf-8",
        )
        return (str(config), "--sentinel")


@contextlib.asynccontextmanager
async def sentinels() -> AsyncIterator[tuple[list[SentinelServer], RedisServer, RedisServer]]:
    """Three Sentinels, a master, its replica."""
    async with contextlib.AsyncExitStack() as stack:
        master = await stack.enter_async_context(redis_server())
        replica = await stack.enter_async_context(
            redis_server("--replicaof", f"127.0.0.1 {master.port}", "--repl-diskless-sync-delay", "0")
        )
        made = []
        for _ in range(3):
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            sentinel = SentinelServer(free_port(), Path(folder), ())
            sentinel.master = master.port
            stack.push_async_callback(sentinel.kill)
            await sentinel.start()
            made.append(sentinel)

        async def ready() -> bool:
            info = await made[0]("SENTINEL", "MASTER", "merit")
            known = dict(zip(info[::2], info[1::2], strict=True)) if isinstance(info, list) else info
            found = {_text(k): _text(v) for k, v in known.items()}
            return found["num-slaves"] == "1" and found["num-other-sentinels"] == "2"

        await eventually(ready, "the Sentinels do not find each other", SECONDS)
        yield made, master, replica


@contextlib.asynccontextmanager
async def cluster(masters: int = 3) -> AsyncIterator[list[RedisServer]]:
    """Masters that share all slots."""
    async with contextlib.AsyncExitStack() as stack:
        options = (
            "--cluster-enabled",
            "yes",
            "--cluster-node-timeout",
            "2000",
            "--cluster-require-full-coverage",
            "no",
        )
        servers = [
            await stack.enter_async_context(redis_server(*options, "--cluster-port", str(free_port())))
            for _ in range(masters)
        ]
        bounds = [16384 * i // masters for i in range(masters + 1)]
        for server, low, high in zip(servers, bounds, bounds[1:], strict=False):
            await server("CLUSTER", "ADDSLOTSRANGE", low, high - 1)
            bus = dict(zip(server.options[::2], server.options[1::2], strict=True))["--cluster-port"]
            await servers[0]("CLUSTER", "MEET", "127.0.0.1", server.port, bus)

        async def agree() -> bool:
            views = [await server("CLUSTER", "SLOTS") for server in servers]
            return all(len(view) == masters for view in views)

        await eventually(agree, "the Cluster does not come together", SECONDS)
        yield servers


class Distance:
    """A server far away: replies come `seconds` later."""

    def __init__(self, port: int, seconds: float):
        self.port, self.seconds = port, seconds
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        there, back = await asyncio.open_connection("127.0.0.1", self.port)
        with contextlib.suppress(OSError):
            await asyncio.gather(_pass(reader, back, lambda: 0.0), _pass(there, writer, lambda: self.seconds))


async def _pass(source: asyncio.StreamReader, sink: asyncio.StreamWriter, seconds: Callable[[], float]) -> None:
    with contextlib.suppress(OSError):
        while piece := await source.read(65536):
            await asyncio.sleep(seconds())
            sink.write(piece)
            await sink.drain()
    sink.close()


@contextlib.asynccontextmanager
async def distant(server: RedisServer, seconds: float) -> AsyncIterator[Distance]:
    """A server behind a proxy that delays."""
    distance = Distance(server.port, seconds)
    proxy = await asyncio.start_server(distance.serve, "127.0.0.1", 0)
    distance.url = f"redis://127.0.0.1:{proxy.sockets[0].getsockname()[1]}"
    try:
        yield distance
    finally:
        proxy.close()


@contextlib.asynccontextmanager
async def shared_state(
    url: str, *, budget_seconds: float = 1.0, on: bool = True, **more: Any
) -> AsyncIterator[SharedState]:
    """A link, once it is on. The budget is large: a busy machine is no fault of Redis."""
    state = SharedState(RedisSettings(RedisAddress.parse(url), budget_seconds=budget_seconds, **more))
    state.start()
    try:
        if on:
            await eventually(lambda: is_on(state), f"is not on: {state.describe()}", SECONDS)
        yield state
    finally:
        await state.close()


def is_on(state: SharedState) -> bool:
    """Whether everything is asked."""
    return state.describe() == "shared state: on"


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
