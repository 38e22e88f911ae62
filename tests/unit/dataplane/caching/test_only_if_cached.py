"""`Cache-Control: only-if-cached`: what is kept, or 504; nobody is asked, not even behind the client's back."""

import asyncio
from typing import Any

import pytest

from merit_dataplane.fake_provider.behaviour import Behaviour
from tests.support.gateway import eventually, gateway
from tests.support.resources import route
from tests.unit.dataplane.conftest import Vendors

pytestmark = pytest.mark.asyncio(loop_scope="session")

BODY: dict[str, Any] = {"model": "chat", "messages": [{"role": "user", "content": "When does the branch open?"}]}
ONLY = {"cache_control": "only-if-cached"}


def documents(vendors: Vendors, exact: str = "ttl: 60s") -> tuple[str, ...]:
    return vendors.resources(route("cheap", "middle", "dear", extra=f"cache: {{exact: {{{exact}}}}}"))


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages"])
async def test_nothing_is_kept_and_nobody_is_asked(vendors: Vendors, stream: bool, path: str) -> None:
    async with gateway(*documents(vendors)) as merit:
        answer = await merit.post({**BODY, "stream": stream, "max_tokens": 9}, path=path, **ONLY)
        lines = merit.log_text()
    assert answer.status_code == 504
    assert answer.headers["x-should-retry"] == "false"
    assert "No answer is kept" in answer.json()["error"]["message"]
    assert vendors.cheap.stats.requests == 0
    assert '"error":"not_cached"' in lines


@pytest.mark.parametrize("stream", [False, True])
async def test_what_is_kept_is_served(vendors: Vendors, stream: bool) -> None:
    async with gateway(*documents(vendors)) as merit:
        await merit.post(BODY)
        answer = await merit.post({**BODY, "stream": stream}, **ONLY)
    assert (answer.status_code, answer.headers["x-merit-cache"]) == (200, "hit")
    assert vendors.cheap.stats.requests == 1


async def test_what_is_too_old_for_the_client_is_not_kept_for_it(vendors: Vendors) -> None:
    async with gateway(*documents(vendors)) as merit:
        await merit.post(BODY)
        await asyncio.sleep(0.01)
        answer = await merit.post(BODY, cache_control="only-if-cached, max-age=0")
    assert answer.status_code == 504
    assert vendors.cheap.stats.requests == 1


async def test_an_answer_under_way_is_not_waited_for(vendors: Vendors) -> None:
    vendors.cheap.behaviour = Behaviour(latency=30.0)
    async with gateway(*documents(vendors)) as merit:
        call = asyncio.create_task(merit.post(BODY))
        await eventually(lambda: merit.parts.ledger.in_flight > 0, "nobody asks", 20)
        answer = await merit.post(BODY, **ONLY)
        call.cancel()
        await asyncio.wait([call])
    assert answer.status_code == 504


async def test_a_stale_answer_is_served_without_fetching_it_anew(vendors: Vendors) -> None:
    async with gateway(*documents(vendors, "ttl: 1h, staleWhileRevalidate: 1h")) as merit:
        await merit.post({**BODY, "cache": {"ttl": 0.01}})
        await asyncio.sleep(0.05)
        answer = await merit.post(BODY, **ONLY)
        assert (answer.status_code, answer.headers["x-merit-cache"]) == (200, "stale")
        await asyncio.sleep(0.1)
        assert vendors.cheap.stats.requests == 1, "nobody was to be asked"
        assert (await merit.post(BODY)).headers["x-merit-cache"] == "stale"
        await eventually(lambda: vendors.cheap.stats.requests == 2, "who doesn't mind has it fetched anew", 20)
