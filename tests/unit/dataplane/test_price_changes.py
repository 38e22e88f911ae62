"""Prices that change by the clock, as requests meet them: no push, no restart, at the second."""

import json
from decimal import Decimal
from typing import Any

import pytest

from tests.support.clock import Clock
from tests.support.gateway import gateway, says, scripted
from tests.support.resources import CONSUMER, prices, provider, route

pytestmark = pytest.mark.asyncio(loop_scope="session")

REQUEST = {"model": "chat", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 10}
BODY = json.dumps({"choices": [], "usage": {"prompt_tokens": 1_000_000, "completion_tokens": 0}}).encode()


PERIOD = 'periods: [{validFrom: "2026-12-01T00:00:00Z", prices: {input: "1", output: "1"}}]'


async def test_a_period_moves_traffic_at_its_second(clock: Clock) -> None:
    async with scripted(says(BODY)) as url:
        documents = [
            provider("a", url),
            provider("b", url),
            prices("a", "2", "2"),
            prices("b", "3", "3", extra=PERIOD, capabilities="Streaming"),
        ]
        async with gateway(*documents, route("a", "b"), CONSUMER) as merit:
            seen = []
            for instant in ("2026-11-30T23:59:59.999Z", "2026-12-01T00:00:00Z", "2026-11-30T23:59:59Z"):
                clock.set(instant)
                answer = await merit.post(REQUEST)
                seen.append((answer.headers["x-merit-provider"], answer.headers["x-merit-cost"]))
    assert seen == [("a", "2"), ("b", "1"), ("a", "2")]  # also when a clock is set back


@pytest.mark.parametrize(("billed_by", "bill"), [("Start", "3"), ("Completion", "1")])
async def test_a_request_across_the_change_is_billed_as_the_price_list_says(
    clock: Clock, billed_by: str, bill: str
) -> None:
    clock.set("2026-11-30T23:59:59Z")

    async def script(reader: Any, writer: Any) -> None:
        clock.set("2026-12-01T00:00:01Z")
        await says(BODY)(reader, writer)

    async with scripted(script) as url:
        priced = prices("a", "3", "3", extra=f"billedBy: {billed_by}\n      {PERIOD}", capabilities="Streaming")
        async with gateway(provider("a", url), priced, route("a"), CONSUMER) as merit:
            answer = await merit.post(REQUEST)
            line = json.loads(merit.log_text())
    assert Decimal(answer.headers["x-merit-cost"]) == Decimal(bill)
    assert Decimal(json.loads(answer.content, parse_float=Decimal)["usage"]["cost"]) == Decimal(bill)
    assert line["cost"] == bill


async def test_off_peak_hours(clock: Clock) -> None:
    priced = prices("a", "2", "2", extra='schedules: [{name: night, percentOff: "50"}]').replace(
        "  models:",
        "  schedules: [{name: night, timeZone: Asia/Shanghai, windows: "
        '[{days: [Saturday], from: "00:00", to: "24:00"}]}]\n  models:',
    )
    async with scripted(says(BODY)) as url, gateway(provider("a", url), priced, route("a"), CONSUMER) as merit:
        bills = []
        for instant in ("2026-11-06T15:59:59Z", "2026-11-06T16:00:00Z", "2026-11-07T15:59:59Z", "2026-11-07T16:00:00Z"):
            clock.set(instant)
            bills.append((await merit.post(REQUEST)).headers["x-merit-cost"])
    assert bills == ["2", "1", "1", "2"]
