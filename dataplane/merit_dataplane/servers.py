"""The two servers of one process: data port and admin port, on one event loop."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from merit_dataplane.settings import Address, Settings

_BACKLOG = 2048


class EmbeddedServer(uvicorn.Server):
    """A uvicorn server that leaves signals to the process."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Nothing to capture: `serve.run` handles signals for both servers."""
        yield


class BoundedHead(HttpToolsProtocol):
    """uvicorn's protocol, with bounds that it lacks: on a request's head, in bytes and time, up to its body's start."""

    longest_head = 64 * 1024
    head_seconds = 20.0
    _timer: asyncio.TimerHandle | None = None
    _in_head = False
    _head_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn has it
        """Gives the first head its time."""
        super().connection_made(transport)
        self._timer = self.loop.call_later(self.head_seconds, self._too_slow)

    def connection_lost(self, exc: Exception | None) -> None:
        """Ends the timer with the connection."""
        self._stop_timer()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """A head begins."""
        self._in_head, self._head_bytes = True, 0
        super().on_message_begin()

    def on_body(self, body: bytes) -> None:
        """The body has begun: from here on whoever reads it has a limit."""
        if self._in_head:
            self._begun()
        super().on_body(body)

    def on_message_complete(self) -> None:
        """A request without a body is complete."""
        if self._in_head:
            self._begun()
        super().on_message_complete()

    def data_received(self, data: bytes) -> None:
        """Counts what belongs to an unfinished head."""
        super().data_received(data)
        if self._in_head:  # most heads come in one piece and are never counted
            self._head_bytes += len(data)
            if self._head_bytes > self.longest_head:
                self.transport.abort()
            elif self._timer is None:
                self._timer = self.loop.call_later(self.head_seconds, self._too_slow)

    def _begun(self) -> None:
        self._in_head = False
        self._stop_timer()

    def _too_slow(self) -> None:
        self._timer = None
        self.transport.abort()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def data_server(app: object, settings: Settings) -> EmbeddedServer:
    """The server of the data port."""
    config = uvicorn.Config(
        app,  # type: ignore[arg-type] # uvicorn's own ASGI types are narrower than a plain callable's
        access_log=False,
        log_config=None,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        lifespan="off",
        interface="asgi3",
        ws="none",
        backlog=_BACKLOG,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=max(1, int(settings.grace_seconds)),
        http=BoundedHead,
    )
    return EmbeddedServer(config)


def admin_server(app: object, settings: Settings) -> EmbeddedServer:
    """The server of the admin port, with TLS where a certificate is given."""
    config = uvicorn.Config(
        app,  # type: ignore[arg-type] # as above
        access_log=False,
        log_config=None,
        server_header=False,
        lifespan="off",
        interface="asgi3",
        ws="none",
        timeout_graceful_shutdown=1,
        ssl_certfile=settings.tls_cert,
        ssl_keyfile=settings.tls_key,
    )
    return EmbeddedServer(config)


def bind(address: Address) -> socket.socket:
    """A listening socket. Raises OSError that names the address."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((address.host, address.port))
    except OSError as error:
        made.close()
        raise OSError(error.errno, f"can't listen on {address}: {error.strerror}") from error
    made.set_inheritable(True)
    return made


async def start(server: EmbeddedServer, listener: socket.socket) -> asyncio.Task[None]:
    """Starts a server; returns when it accepts connections."""
    task = asyncio.create_task(server.serve(sockets=[listener]))
    while not server.started:
        if task.done():
            await task
            raise RuntimeError("the server ended before it started")
        await asyncio.sleep(0.005)
    return task
