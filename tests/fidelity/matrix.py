"""Every exchange through a real gateway, at several chunkings, by each client that it can be asked by."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import anthropic

from tests.fidelity.compare import differences, said_by
from tests.fidelity.exchanges import Exchange
from tests.fidelity.heard import Clients, Heard
from tests.fidelity.python_clients import PythonClients
from tests.fidelity.replay import mark, replaying
from tests.fidelity.requests import clients_of, made_request, recorded_request
from tests.fidelity.shop import Stock, documents
from tests.support.gateway import Running, gateway
from tests.support.resources import CONSUMER_KEY

_AT_ONCE = 6
STREAMED = ("whole", "events", "random", "bytes", "gzip")
WHOLE = ("whole", "gzip")
Connect = Callable[[Running], AbstractAsyncContextManager[Clients]]
"""SDKs in front of a gateway."""


@dataclass(frozen=True)
class Case:
    """One request. `place` is that of its exchange at the vendor."""

    place: int
    exchange: Exchange
    endpoint: str
    chunking: str

    @property
    def stock(self) -> Stock:
        """Whom it goes to: an account that has failed is left alone, so each error has one of its own."""
        exchange = self.exchange
        troubles = exchange.fails or b'"error":{' in exchange.body or b"exception-type" in exchange.body
        alone = f"{self.place}-{self.endpoint}-{self.chunking}".replace("_", "-")
        return Stock(exchange, alone if troubles else "")


@dataclass(frozen=True)
class Outcome:
    """What came of it."""

    case: Case
    heard: Heard
    differences: tuple[str, ...]
    own_request: bool
    """Whether the request of then was sent."""


def cases(served: list[Exchange], *, chunkings: Iterable[str] = ()) -> list[Case]:
    """All: `chunkings` limits them."""
    made = []
    for place, exchange in enumerate(served):
        for chunking in STREAMED if exchange.streamed else WHOLE:
            if not chunkings or chunking in chunkings:
                made += [Case(place, exchange, endpoint, chunking) for endpoint in clients_of(exchange)]
    return made


@asynccontextmanager
async def python_clients(running: Running) -> AsyncIterator[Clients]:
    """Those of Python."""
    async with anthropic.AsyncAnthropic(base_url=running.url, api_key=CONSUMER_KEY, max_retries=0) as anthropics:
        yield PythonClients(running.client(timeout=60), anthropics)


async def outcomes(served: list[Exchange], wanted: list[Case], connect: Connect = python_clients) -> list[Outcome]:
    """Those of all cases."""
    free = asyncio.Semaphore(_AT_ONCE)
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(replaying(served))
        resources = documents([case.stock for case in wanted], url)
        running = await stack.enter_async_context(gateway(*resources, max_body_bytes=2**26))
        clients = await stack.enter_async_context(connect(running))

        async def one(case: Case) -> Outcome:
            async with free:
                return await outcome(clients, case)

        return list(await asyncio.gather(*map(one, wanted)))


async def outcome(clients: Clients, case: Case) -> Outcome:
    """Of one case."""
    model, marked = case.stock.asked_as, mark(case.place, case.chunking)
    own = recorded_request(case.exchange, case.endpoint, model, marked)
    try:
        said = said_by(case.exchange)
        body = own or made_request(case.exchange, case.endpoint, model, said, marked)
        heard = await clients.ask(case.endpoint, body, stream=case.exchange.streamed)
        found = differences(case.exchange, case.endpoint, said, heard)
    except Exception as error:  # what the client's program would get
        heard, found = Heard(), [f"{type(error).__name__}: {str(error)[:300]}"]
    return Outcome(case, heard, tuple(found), own is not None)
