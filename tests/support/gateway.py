"""A whole gateway in the test's event loop: the real applications on the real HTTP server, on ephemeral ports."""

import asyncio
import contextlib
import io
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import openai
import uvicorn
from uvicorn.server import ServerState

from merit_crds.compile import Compiled
from merit_dataplane.admin.api import create_admin
from merit_dataplane.app import create_app
from merit_dataplane.observability.metrics import registry
from merit_dataplane.observability.usage_log import StreamSink, UsageLog
from merit_dataplane.redis_settings import RedisSettings
from merit_dataplane.serve import Gateway, wire
from merit_dataplane.servers import data_server
from merit_dataplane.settings import Address, Settings
from merit_dataplane.snapshots.last_good import LastGoodDisk
from merit_dataplane.snapshots.receiver import Receiver
from tests.support.resources import CONSUMER, CONSUMER_KEY, compiled, prices, provider, route

PUSH_TOKEN = "push-token-canary-0123456789"  # a test's


@contextlib.asynccontextmanager
async def serving(config: uvicorn.Config, at: tuple[str, int] = ("127.0.0.1", 0)) -> AsyncIterator[int]:
    """Serves with uvicorn's own protocol but without its ticking main loop, so that the end takes no time."""
    config.load()
    state, loop = ServerState(), asyncio.get_running_loop()

    def protocol() -> asyncio.Protocol:
        made: asyncio.Protocol = config.http_protocol_class(  # type: ignore[call-arg, operator, assignment, unused-ignore]
            config=config, server_state=state, app_state={}, _loop=loop
        )
        return made

    listener = socket.socket()
    listener.bind(at)
    server = await loop.create_server(protocol, sock=listener, backlog=512)
    try:
        yield int(listener.getsockname()[1])
    finally:
        server.close()
        for connection in list(state.connections):
            connection.transport.abort()  # type: ignore[union-attr, unused-ignore]
        await eventually(lambda: not state.tasks and not state.connections, "the server does not end")


@dataclass
class Running:
    """A gateway that serves."""

    parts: Gateway
    url: str
    admin_url: str
    http: httpx.AsyncClient
    sdk_http: openai.DefaultAsyncHttpxClient
    log: io.BytesIO
    receiver: Receiver
    compiled: Compiled | None = None
    documents: tuple[str, ...] = ()
    """What it was given, where a test wants it again."""
    _clients: list[openai.AsyncOpenAI] = field(default_factory=list)

    def client(self, key: str = CONSUMER_KEY, **options: Any) -> openai.AsyncOpenAI:
        """The official SDK, without retries of its own."""
        made = openai.AsyncOpenAI(
            base_url=f"{self.url}/v1",
            api_key=key,
            max_retries=0,
            http_client=self.sdk_http,
            **{"timeout": 20, **options},
        )
        self._clients.append(made)
        return made

    async def apply(self, *documents: str, complete: bool = True) -> Compiled:
        """Compiles and swaps in, as the folder source does."""
        self.compiled = compiled(*documents, complete=complete)
        await self.parts.holder.apply(self.compiled.version, self.compiled.snapshot, self.compiled.credentials)
        return self.compiled

    async def post(
        self, body: object, *, path: str = "/v1/chat/completions", key: str = CONSUMER_KEY, **headers: str
    ) -> httpx.Response:
        """A request without the SDK."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.http.post(self.url + path, json=body, headers={"authorization": f"Bearer {key}", **named})

    async def metrics(self) -> str:
        """What Prometheus sees."""
        return (await self.http.get(f"{self.admin_url}/metrics")).text

    def log_text(self) -> str:
        """The usage log so far."""
        if self.parts.usage_log is not None:
            self.parts.usage_log.flush()
        return self.log.getvalue().decode()


@contextlib.asynccontextmanager
async def gateway(  # settings
    *documents: str,
    complete: bool = True,
    state_dir: Path | None = None,
    max_body_bytes: int = 1024 * 1024,
    standalone: bool = False,
    token: Callable[[], str] = lambda: PUSH_TOKEN,
    redis: RedisSettings | None = None,
    traces_url: str = "",
    admin_at: tuple[str, int] = ("127.0.0.1", 0),
    alone: bool = True,
    cache_key_file: Path | None = None,
    body_memory_bytes: int = 256 * 1024 * 1024,
) -> AsyncIterator[Running]:
    """A gateway with these resources (none: no snapshot yet). At its end nothing may be in flight, and no task left.

    `alone`: no other one runs in this loop, whose tasks would be taken for its own.
    """
    before = asyncio.all_tasks()
    here = Address("127.0.0.1", 0)
    settings = Settings(
        listen=here,
        admin_listen=here,
        max_body_bytes=max_body_bytes,
        pod="pod-under-test",
        body_memory_bytes=body_memory_bytes,
        state_dir=state_dir,
        redis=redis,
        traces_url=traces_url,
        cache_key_file=cache_key_file,
    )
    log = io.BytesIO()
    parts = wire(settings, UsageLog(StreamSink(log)))
    disk = LastGoodDisk(state_dir) if state_dir else None
    receiver = Receiver(parts.holder, pod=settings.pod, disk=disk)
    admin = create_admin(
        holder=parts.holder,
        receiver=None if standalone else receiver,
        token=token,
        registry=registry(parts.ledger, parts.holder, parts.usage_log, parts.state, parts.turns, parts.path.stems),
        draining=lambda: parts.path.draining,
        state=parts.state,
        fleet=parts.fleet,
        purge=parts.purger.purge,
    )
    async with contextlib.AsyncExitStack() as stack:
        http = await stack.enter_async_context(
            httpx.AsyncClient(verify=False, timeout=20, limits=httpx.Limits(max_connections=None))
        )
        sdk_http = openai.DefaultAsyncHttpxClient(verify=False)
        stack.push_async_callback(sdk_http.aclose)
        stack.push_async_callback(parts.client.close)
        stack.callback(parts.holder.live.authentications.close)
        if parts.tracing is not None:
            stack.push_async_callback(asyncio.to_thread, parts.tracing.close)
        if parts.state is not None:
            parts.state.start()
            stack.push_async_callback(parts.state.close)
            assert parts.health is not None
            warm = [parts.warm_feed.follow()] if parts.warm_feed is not None else []
            for follows in (parts.purger.follow(), parts.health.follow(), *warm):
                following = asyncio.create_task(follows)
                stack.push_async_callback(asyncio.wait, [following])
                stack.callback(following.cancel)
        stack.push_async_callback(parts.path.close)
        stack.callback(parts.decisions.close)
        stack.callback(parts.turns.close)
        stack.push_async_callback(parts.desk.watch.close)
        app = create_app(parts.path, parts.holder, parts.recorder, parts.client, parts.desk)
        data_config = data_server(app, settings).config
        port = await stack.enter_async_context(serving(data_config))
        admin_config = uvicorn.Config(
            admin, access_log=False, log_config=None, lifespan="off", interface="asgi3", ws="none"
        )
        admin_port = await stack.enter_async_context(serving(admin_config, admin_at))
        running = Running(
            parts, f"http://127.0.0.1:{port}", f"http://{admin_at[0]}:{admin_port}", http, sdk_http, log, receiver
        )
        if documents:
            await running.apply(*documents, complete=complete)
        yield running
        if disk is not None:
            await disk.flush()
        await eventually(lambda: parts.ledger.in_flight == 0, "requests are still in flight")
        if parts.holder.tables is not None:
            for plan in parts.holder.tables.routes.values():
                for tier in plan.tiers:
                    for target in tier.targets:
                        if target.provider.account.in_flight:
                            raise AssertionError(f"{target.provider} still has requests in flight")
    if parts.usage_log is not None:
        await asyncio.to_thread(parts.usage_log.close)
    if not alone:
        return
    here_and_now = {asyncio.current_task()}
    await eventually(lambda: not (asyncio.all_tasks() - before - here_and_now - _servers_own()), "tasks are left")


def _servers_own() -> set[asyncio.Task[Any]]:
    """Tasks of others in this loop: simulated providers, and a second gateway's link to Redis. They come and go."""
    others = ("RequestResponseCycle", "_cancel_on_disconnect", "scripted.<locals>", "Lane._", ".follow()")
    return {t for t in asyncio.all_tasks() if any(name in repr(t) for name in others)}


async def eventually(condition: Callable[[], bool | Awaitable[bool]], otherwise: str, seconds: float = 5.0) -> float:
    """Waits until it holds; how long that took. Raises AssertionError."""
    loop = asyncio.get_running_loop()
    started = loop.time()
    while True:
        holds = condition()
        if not isinstance(holds, bool):
            holds = await holds
        if holds:
            return loop.time() - started
        if loop.time() - started > seconds:
            raise AssertionError(otherwise)
        await asyncio.sleep(0.001)


def free_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def scripted(script: Script) -> AsyncIterator[str]:
    """A vendor that answers each request with bytes of the test's choice; yields its base URL."""

    serving: set[asyncio.Task[Any]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        serving.add(task)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(
                    (int(li.split(b":")[1]) for li in head.split(b"\r\n") if li.lower().startswith(b"content-length")),
                    0,
                )
                await reader.readexactly(length)
                await script(reader, writer)
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # whoever asked has gone, or the test has ended
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
            serving.discard(task)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    finally:
        server.close()
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving)


@contextlib.asynccontextmanager
async def over(*scripts: Script, extra: str = "", route_extra: str = "") -> AsyncIterator[Running]:
    """A gateway over scripted vendors `a`, `b`, … in order of price; `extra` goes into each Provider's spec."""
    async with contextlib.AsyncExitStack() as stack:
        documents = [CONSUMER]
        names = "abcdefgh"[: len(scripts)]
        for place, (name, script) in enumerate(zip(names, scripts, strict=True), 1):
            url = await stack.enter_async_context(scripted(script))
            documents += [provider(name, url, extra=extra), prices(name, str(place), str(place))]
        yield await stack.enter_async_context(gateway(*documents, route(*names, extra=route_extra)))


def says(body: bytes, *, status: str = "200 OK", kind: str = "application/json", extra: str = "") -> Script:
    """A script that gives one whole answer."""

    async def script(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = f"HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n{extra}\r\n"
        writer.write(head.encode("latin-1") + body)

    return script


def streams(*pieces: bytes, seconds_between: float = 0.0, ends: bool = True) -> Script:
    """A script that streams pieces, then ends the body properly (or, with ends=False, keeps silent)."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
        for piece in pieces:
            writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            await writer.drain()
            await asyncio.sleep(seconds_between)
        if ends:
            writer.write(b"0\r\n\r\n")
        else:
            await reader.read()

    return script
