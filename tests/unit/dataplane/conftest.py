"""Three simulated providers that live as long as the session, in one event loop for all tests that talk HTTP."""

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass

import pytest
import pytest_asyncio

from merit_dataplane.fake_provider.behaviour import Behaviour, Stats
from merit_dataplane.fake_provider.server import FakeProvider
from tests.support.clock import Clock
from tests.support.resources import CONSUMER, prices, provider, route


@dataclass(frozen=True)
class Vendors:
    """In order of price."""

    cheap: FakeProvider
    middle: FakeProvider
    dear: FakeProvider

    @property
    def all(self) -> tuple[FakeProvider, ...]:
        return (self.cheap, self.middle, self.dear)

    def resources(self, route_yaml: str = "", *, extra: str = "") -> tuple[str, ...]:
        """Providers, prices, a route `chat` over all three, a consumer. `extra` goes into each Provider's spec."""
        return (
            provider("cheap", self.cheap.url, extra=extra),
            provider("middle", self.middle.url, extra=extra),
            provider("dear", self.dear.url, extra=extra),
            prices("cheap", "0.10", "0.40"),
            prices("middle", "0.50", "1.50"),
            prices("dear", "2.50", "10"),
            route_yaml or route("cheap", "middle", "dear"),
            CONSUMER,
        )


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def _vendors() -> AsyncIterator[Vendors]:
    async with AsyncExitStack() as stack:
        made = [await stack.enter_async_context(FakeProvider(name=name)) for name in ("cheap", "middle", "dear")]
        yield Vendors(*made)


@pytest.fixture
def vendors(_vendors: Vendors) -> Iterator[Vendors]:
    for vendor in _vendors.all:
        vendor.behaviour = Behaviour()
        vendor.vendor.stats = Stats()
    yield _vendors
    for vendor in _vendors.all:
        vendor.behaviour = Behaviour()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """At 1970 until it is set."""
    return Clock(monkeypatch)
