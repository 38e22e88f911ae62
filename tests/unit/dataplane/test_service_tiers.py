"""Service tiers, as requests meet them: what is asked for is priced, what the answer says is billed."""

import json
from typing import Any

import pytest

from tests.support.gateway import gateway, says, scripted, streams
from tests.support.resources import CONSUMER, prices, provider, route

pytestmark = pytest.mark.asyncio(loop_scope="session")

REQUEST = {"model": "chat", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 10}
USAGE = {"prompt_tokens": 1_000_000, "completion_tokens": 0}
TIERS = 'serviceTiers: [{name: flex, percentOff: "50"}, {name: priority, prices: {input: "4", output: "4"}}]'


def answer(**more: Any) -> bytes:
    return json.dumps({"choices": [], "usage": USAGE, **more}).encode()


@pytest.mark.parametrize(
    ("asked", "served", "bill", "estimated"),
    [
        ({}, {}, "2", False),
        ({"service_tier": "auto"}, {"service_tier": "default"}, "2", False),
        ({"service_tier": "flex"}, {"service_tier": "flex"}, "1", False),
        ({"service_tier": "flex"}, {}, "1", False),
        ({"service_tier": "flex"}, {"service_tier": "default"}, "2", False),  # no room in flex: served as standard
        ({"service_tier": "auto"}, {"service_tier": "priority"}, "4", False),  # the account's own setting
        ({"service_tier": None}, {"service_tier": None}, "2", False),
        ({}, {"service_tier": "scale"}, "2", True),  # a tier that the price list doesn't know
        ({}, {"service_tier": {"odd": 1}}, "2", False),
    ],
)
async def test_the_answers_tier_is_billed(asked: Any, served: Any, bill: str, estimated: bool) -> None:
    async with (
        scripted(says(answer(**served))) as url,
        gateway(provider("a", url), prices("a", "2", "2", extra=TIERS), route("a"), CONSUMER) as merit,
    ):
        got = await merit.post(REQUEST | asked)
        line = json.loads(merit.log_text())
    assert got.headers["x-merit-cost"] == line["cost"] == bill
    assert line.get("estimated", False) == estimated


async def test_a_stream_is_billed_by_its_tier_too() -> None:
    event = b"data: " + answer(service_tier="priority") + b"\n\ndata: [DONE]\n\n"
    async with (
        scripted(streams(event)) as url,
        gateway(provider("a", url), prices("a", "2", "2", extra=TIERS), route("a"), CONSUMER) as merit,
    ):
        got = await merit.post(REQUEST | {"stream": True, "service_tier": "priority"})
        assert got.status_code == 200
        line = json.loads(merit.log_text())
    assert (line["cost"], line["service_tier"]) == ("4", "priority")


async def test_candidates_without_a_price_for_the_tier_are_left_out() -> None:
    async with scripted(says(answer(service_tier="flex"))) as url:
        documents = [provider("a", url), provider("b", url), prices("a", "1", "1"), prices("b", "9", "9", extra=TIERS)]
        async with gateway(*documents, route("a", "b"), CONSUMER) as merit:
            assert (await merit.post(REQUEST)).headers["x-merit-provider"] == "a"
            assert (await merit.post(REQUEST | {"service_tier": "flex"})).headers["x-merit-provider"] == "b"
            refused = await merit.post(REQUEST | {"service_tier": "scale"})
            wrong = await merit.post(REQUEST | {"service_tier": 5})
    assert refused.status_code == 400
    assert "scale" in refused.text
    assert (wrong.status_code, wrong.json()["error"]["param"]) == (400, "service_tier")


async def test_another_currency_and_a_discount() -> None:
    priced = prices("a", "2", "2").replace(
        "  models:",
        '  currency: {code: CNY, usdPerUnit: "0.14", asOf: "2026-11-01"}\n  discountPercent: "25"\n  models:',
    )
    async with scripted(says(answer())) as url, gateway(provider("a", url), priced, route("a"), CONSUMER) as merit:
        assert (await merit.post(REQUEST)).headers["x-merit-cost"] == "0.21"
