"""One simulated vendor for all tests here: starting and ending one takes longer than most tests."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import httpx
import openai
import pytest
import pytest_asyncio

from merit_dataplane.fake_provider.behaviour import Behaviour, Stats
from merit_dataplane.fake_provider.server import FakeProvider

KEY = "sk-fake-vendor-0123456789"


@dataclass(frozen=True)
class Desk:
    """The vendor and two clients that have its key."""

    provider: FakeProvider
    sdk: openai.AsyncOpenAI
    http: httpx.AsyncClient
    """Its base is the vendor's root."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The tests run in the loop that the vendor lives in."""
    for item in items:
        if "/dataplane/fake_provider/" in item.path.as_posix() and pytest_asyncio.is_async_test(item):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def _desk() -> AsyncIterator[Desk]:
    async with (
        FakeProvider(name="acme", api_keys=frozenset({KEY})) as provider,
        httpx.AsyncClient(
            base_url=provider.url.removesuffix("/v1"), headers={"authorization": f"Bearer {KEY}"}, timeout=10
        ) as http,
        openai.AsyncOpenAI(base_url=provider.url, api_key=KEY, max_retries=0, timeout=10) as sdk,
    ):
        yield Desk(provider, sdk, http)


@pytest.fixture
def desk(_desk: Desk) -> Desk:
    _desk.provider.behaviour = Behaviour()
    _desk.provider.vendor.stats = Stats()
    return _desk
