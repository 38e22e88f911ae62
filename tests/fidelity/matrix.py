"""Every exchange through a real gateway, at several chunkings, by each client that it can be asked by."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import anthropic

from tests.fidelity.compare import differences, said_by
from tests.fidelity.exchanges import Exchange
from tests.fidelity.python_clients import Clients, Heard
from tests.fidelity.replay import Replay, mark, replaying
from tests.fidelity.requests import clients_of, made_request, recorded_request
from tests.fidelity.shop import documents
from tests.support.gateway import Running, gateway
from tests.support.resources import CONSUMER_KEY
from tests.support.said.answer import Said

_AT_ONCE = 6
STREAMED = ("whole", "events", "random", "bytes", "gzip")
WHOLE = ("whole", "random", "gzip", "deflate")


@dataclass(frozen=True)
class Case:
    """One request."""

    place: int
    exchange: Exchange
    endpoint: str
    chunking: str

    @property
    def mark(self) -> str:
        return mark(self.place, self.chunking, f"{self.place}x{self.endpoint.replace('_', '')}x{self.chunking}")


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
async def shop(served: list[Exchange]) -> AsyncIterator[tuple[Running, Replay]]:
    """A gateway in front of the replaying vendor."""
    async with replaying(served) as (vendor, url), gateway(*documents(served, url), max_body_bytes=2**26) as running:
        yield running, vendor


async def outcomes(served: list[Exchange], wanted: list[Case]) -> list[Outcome]:
    """Those of all cases: errors each with a gateway of its own, for an account that has failed is left alone."""
    calm = [case for case in wanted if not _troubles(case.exchange)]
    found: list[Outcome] = []
    async with shop(served) as (running, _):
        found += await _all(running, calm)
    for case in wanted:
        if _troubles(case.exchange):
            alone = [case.exchange]
            async with shop(alone) as (running, _):
                found += await _all(running, [Case(0, case.exchange, case.endpoint, case.chunking)])
    return found


def _troubles(exchange: Exchange) -> bool:
    return exchange.fails or b'"error"' in exchange.body or b"exception-type" in exchange.body


async def _all(running: Running, wanted: list[Case]) -> list[Outcome]:
    free = asyncio.Semaphore(_AT_ONCE)
    async with anthropic.AsyncAnthropic(base_url=running.url, api_key=CONSUMER_KEY, max_retries=0) as anthropics:
        clients = Clients(running.client(), anthropics)

        async def one(case: Case) -> Outcome:
            async with free:
                return await outcome(clients, case)

        return list(await asyncio.gather(*map(one, wanted)))


async def outcome(clients: Clients, case: Case) -> Outcome:
    """Of one case."""
    said = said_by(case.exchange)
    own = recorded_request(case.exchange, case.endpoint, case.mark)
    body = own or made_request(case.exchange, case.endpoint, said, case.mark)
    try:
        heard = await clients.ask(case.endpoint, body, stream=case.exchange.streamed)
        found = differences(case.exchange, case.endpoint, said, heard)
    except Exception as error:  # whatever it is, it is what the client's program would get
        heard, found = Heard(), [f"{type(error).__name__}: {str(error)[:300]}"]
    return Outcome(case, heard, tuple(found), own is not None)


def expectation(said: Said) -> Said:
    """As it is."""
    return said
