"""Prices that change by the clock, as requests meet them: no push, no restart, at the second."""

import json
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from merit_dataplane.cli import main
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


HOURS = {
    "over midnight": (
        "Europe/Berlin",
        '{from: "22:00", to: "06:00"}',
        [("2026-07-01T19:59:59.999Z", "2"), ("2026-07-01T20:00:00Z", "1"), ("2026-07-01T22:00:00Z", "1"),
         ("2026-07-02T03:59:59.999Z", "1"), ("2026-07-02T04:00:00Z", "2")],
    ),
    "over midnight, from Fridays only": (
        "UTC",
        '{days: [Friday], from: "22:00", to: "06:00"}',
        [("2026-11-06T21:59:59Z", "2"), ("2026-11-06T22:00:00Z", "1"), ("2026-11-07T05:59:59Z", "1"),
         ("2026-11-07T06:00:00Z", "2"), ("2026-11-07T22:00:00Z", "2"), ("2026-11-06T05:00:00Z", "2")],
    ),
    "an hour that is skipped: from 01:59:59 EST to 03:00 EDT": (
        "America/New_York",
        '{from: "02:00", to: "03:00"}',
        [("2026-03-08T06:59:59Z", "2"), ("2026-03-08T07:00:00Z", "2"), ("2026-03-08T07:59:59Z", "2"),
         ("2026-03-09T06:00:00Z", "1")],
    ),
    "an hour that is shown twice: from 01:59:59 EDT back to 01:00 EST": (
        "America/New_York",
        '{from: "01:00", to: "02:00"}',
        [("2026-11-01T04:59:59Z", "2"), ("2026-11-01T05:00:00Z", "1"), ("2026-11-01T05:59:59Z", "1"),
         ("2026-11-01T06:00:00Z", "1"), ("2026-11-01T06:59:59Z", "1"), ("2026-11-01T07:00:00Z", "2")],
    ),
    "Friday 23:00 UTC is Saturday in Beijing": (
        "Asia/Shanghai",
        '{days: [Saturday], from: "00:00", to: "24:00"}',
        [("2026-11-06T15:59:59Z", "2"), ("2026-11-06T23:00:00Z", "1"), ("2026-11-07T15:59:59Z", "1"),
         ("2026-11-07T16:00:00Z", "2")],
    ),
    "a holiday is no Thursday": (
        "Asia/Shanghai",
        '{days: [Holiday], from: "00:00", to: "24:00"}',
        [("2026-09-30T15:59:59Z", "2"), ("2026-09-30T16:00:00Z", "1"), ("2026-10-01T15:59:59Z", "1"),
         ("2026-10-01T16:00:00Z", "2"), ("2026-10-08T02:00:00Z", "2")],
    ),
    "nor does what Thursdays cost hold on it": (
        "Asia/Shanghai",
        '{days: [Thursday], from: "00:00", to: "24:00"}',
        [("2026-09-30T16:00:00Z", "2"), ("2026-10-01T15:59:59Z", "2"), ("2026-10-08T02:00:00Z", "1")],
    ),
}  # fmt: skip


@pytest.mark.parametrize("hours", HOURS)
async def test_bills_by_the_clock_of_a_zone(hours: str, clock: Clock) -> None:
    zone, window, expected = HOURS[hours]
    schedule = f'{{name: hours, timeZone: {zone}, windows: [{window}], holidays: ["2026-10-01"]}}'
    priced = prices("a", "2", "2", extra='schedules: [{name: hours, percentOff: "50"}]').replace(
        "  models:", f"  schedules: [{schedule}]\n  models:"
    )
    async with scripted(says(BODY)) as url, gateway(provider("a", url), priced, route("a"), CONSUMER) as merit:
        bills = []
        for instant, _ in expected:
            clock.set(instant)
            bills.append((instant, (await merit.post(REQUEST)).headers["x-merit-cost"]))
        lines = [json.loads(line) for line in merit.log_text().splitlines()]
    assert bills == expected
    assert [(line["billed_at"], line["cost"]) for line in lines] == [
        (datetime.fromisoformat(instant).timestamp(), bill) for instant, bill in expected
    ]


@pytest.mark.parametrize(
    ("billed_by", "at_end", "bill", "billed_at"),
    [
        ("Start", "2026-12-01T00:00:00Z", "3", "2026-11-30T23:59:59.999Z"),
        ("Completion", "2026-12-01T00:00:00Z", "1", "2026-12-01T00:00:00Z"),
        ("Completion", "2026-11-30T23:59:59.999Z", "3", "2026-11-30T23:59:59.999Z"),
    ],
)
async def test_a_stream_across_the_second_is_billed_as_the_price_list_says(  # a case
    clock: Clock,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    billed_by: str,
    at_end: str,
    bill: str,
    billed_at: str,
) -> None:
    """Begun a millisecond before it; the log says by which instant, so that the same lists recompute it."""
    clock.set("2026-11-30T23:59:59.999Z")
    event = {"choices": [{"index": 0, "delta": {"content": "Hi"}, "finish_reason": None}]}

    async def script(reader: Any, writer: Any) -> None:
        first, last = (b"data: " + text + b"\n\n" for text in (json.dumps(event).encode(), BODY))
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n" + first)
        await writer.drain()
        clock.set(at_end)
        writer.write(last + b"data: [DONE]\n\n")
        await writer.drain()
        writer.close()

    extra = f"billedBy: {billed_by}\n      {PERIOD}"
    priced = prices("a", "3", "3", extra=extra, capabilities="Streaming")
    async with scripted(script) as url, gateway(provider("a", url), priced, route("a"), CONSUMER) as merit:
        asked = REQUEST | {"stream": True, "stream_options": {"include_usage": True}}
        text = (await merit.post(asked)).text
        assert f'"cost":{bill},' in text
        line = json.loads(merit.log_text())
        assert (line["cost"], line["billed_at"]) == (bill, datetime.fromisoformat(billed_at).timestamp())
        (tmp_path / "usage.jsonl").write_text(merit.log_text())
    (tmp_path / "prices").mkdir()
    documents = [provider("a", "https://a.example.com/v1"), priced, route("a"), CONSUMER]
    (tmp_path / "prices/all.yaml").write_text("\n---\n".join(documents))
    assert main(["recost", str(tmp_path / "usage.jsonl"), "--prices", str(tmp_path / "prices"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["models"][0]["requestsThatDiffer"] == 0


async def test_what_the_clock_does_not_change_has_no_instant(clock: Clock) -> None:
    clock.set("2026-11-30T23:59:59Z")
    timed = prices("b", "3", "3", extra=PERIOD, capabilities="Streaming")
    async with scripted(says(BODY)) as url:
        documents = [provider("a", url), provider("b", url), prices("a", "2", "2"), timed]
        async with gateway(*documents, route("a", "b"), CONSUMER) as merit:
            await merit.post(REQUEST)
            line = json.loads(merit.log_text())
    assert (line["provider"], line["cost"]) == ("default/a", "2")
    assert "billed_at" not in line
