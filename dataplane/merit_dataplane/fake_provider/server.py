"""The simulated vendor inside the current event loop, for tests."""

import socket
from types import TracebackType
from typing import Self

import uvicorn

from merit_dataplane.fake_provider.app import Vendor
from merit_dataplane.fake_provider.behaviour import Behaviour, Stats
from merit_dataplane.fake_provider.recordings import Replay, packaged
from merit_dataplane.servers import EmbeddedServer, bind, start
from merit_dataplane.settings import Address


def vendor_server(vendor: Vendor) -> EmbeddedServer:
    """A server for a vendor's application."""
    config = uvicorn.Config(
        vendor.app,
        http="httptools",
        access_log=False,
        log_config=None,
        lifespan="off",
        interface="asgi3",
        ws="none",
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=1,
    )
    return EmbeddedServer(config)


def listening(address: Address) -> socket.socket:
    """A listening socket whose connections send at once. Raises OSError that names the address.

    asyncio would leave Nagle's algorithm on for a socket made without its protocol number: 44 ms more for each answer.
    """
    made = bind(address)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return made


class FakeProvider:
    """`async with FakeProvider(Behaviour(latency=0.1), name="cheap") as provider:` … `provider.url`."""

    def __init__(
        self,
        behaviour: Behaviour | None = None,
        *,
        name: str = "fake",
        api_keys: frozenset[str] = frozenset(),
        models: tuple[str, ...] = (),
        port: int = 0,
        recordings: tuple[Replay, ...] | None = None,
        counted: bool = True,
        seed: int = 0,
    ):
        self.vendor = Vendor(
            name=name,
            behaviour=behaviour or Behaviour(),
            recordings=packaged() if recordings is None else recordings,
            api_keys=api_keys,
            models=models,
            counted=counted,
            seed=seed,
        )
        self._port = port
        self.url = ""

    async def __aenter__(self) -> Self:
        listener = listening(Address("127.0.0.1", self._port))
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        self._server = vendor_server(self.vendor)
        self._task = await start(self._server, listener)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.vendor.close()
        self._server.should_exit = True
        await self._task

    @property
    def behaviour(self) -> Behaviour:
        """How it behaves now; may be set."""
        return self.vendor.behaviour

    @behaviour.setter
    def behaviour(self, behaviour: Behaviour) -> None:
        self.vendor.behaviour = behaviour

    @property
    def stats(self) -> Stats:
        """What it was asked."""
        return self.vendor.stats
