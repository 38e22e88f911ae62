"""The two servers of one process: data port and admin port, on one event loop."""

import asyncio
import contextlib
import resource
import socket
from collections.abc import Iterator

import uvicorn

from merit_dataplane.client_connection import ClientConnection
from merit_dataplane.settings import Address, Settings

_BACKLOG = 2048
_MOST_DESCRIPTORS = 1 << 20
"""Asked for where there is no limit at all."""
_SPARE_DESCRIPTORS = 256
"""For files, Redis, the admin port, and connections on their way."""


class EmbeddedServer(uvicorn.Server):
    """A uvicorn server that leaves signals to the process."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Nothing to capture: `serve.run` handles signals for both servers."""
        yield


def raise_descriptors() -> None:
    """As many as the process may have: the usual 1,024 are for programs that use select(2)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST_DESCRIPTORS if hard == resource.RLIM_INFINITY else hard
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def most_connections() -> int | None:
    """Of clients: each may need one to a provider, and who can connect to none would take that for their failure."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if soft == resource.RLIM_INFINITY else max(64, (soft - _SPARE_DESCRIPTORS) // 2)


def data_server(app: object, settings: Settings) -> EmbeddedServer:
    """The server of the data port."""
    connection = type("BoundedConnection", (ClientConnection,), {"most_connections": most_connections()})
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
        http=connection,
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
