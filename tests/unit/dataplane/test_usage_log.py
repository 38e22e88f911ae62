"""The usage log: lines, files, and what happens when nobody takes them."""

import fcntl
import json
import os
import threading
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from merit_crds.pricing import Usage, cost, price_version, stamped
from merit_crds.snapshot import PricingEntry, Rates
from merit_crds.snapshot.model import ModelPrice
from merit_crds.usage_line import UsageLine
from merit_dataplane.observability.log_files import FolderSink
from merit_dataplane.observability.usage_log import StreamSink, UsageLog
from tests.support.gateway import over, says
from tests.support.merit_process import merit_serve
from tests.support.resources import CONSUMER, prices, provider, route

pytestmark = pytest.mark.slow

CHAT = {"model": "chat", "messages": [{"role": "user", "content": "Hello"}]}


def line(number: int = 0) -> UsageLine:
    return UsageLine(format=1, time=1.0, request=f"req_{number}", status=200, duration=0.5)


def answer(**usage: object) -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}
    return json.dumps({"id": "x", "object": "chat.completion", "choices": [choice], "usage": usage}).encode()


async def test_a_line_has_the_shape_the_decision_and_all_that_makes_the_cost() -> None:
    usage = {"prompt_tokens": 1000, "completion_tokens": 100, "prompt_tokens_details": {"cached_tokens": 400}}
    async with over(says(answer(**usage))) as merit:
        await merit.post({**CHAT, "max_tokens": 200, "tools": [{"type": "function", "function": {"name": "f"}}]})
        found = msgspec.json.decode(merit.log_text(), type=UsageLine)
        metrics = await merit.metrics()
        assert merit.compiled is not None
        pricing = merit.compiled.snapshot.pricings["default/a"]
    assert (found.format, found.operation, found.features, found.output_limit) == (
        1,
        "chat/completions",
        ["Tools"],
        200,
    )
    assert (found.consumer, found.route, found.tier) == ("default/tests", "default/chat", "all")
    assert (found.provider, found.model, found.price_list) == ("default/a", "a-model", "default/a")
    assert found.price_version == price_version(pricing)
    assert (found.input_tokens, found.cached_input_tokens, found.output_tokens) == (1000, 400, 100)
    rates = found.rates
    assert rates is not None
    recomputed = 600 * Decimal(rates.input) + 400 * Decimal(rates.cached_input) + 100 * Decimal(rates.output)
    assert recomputed / 1_000_000 == Decimal(found.cost)
    assert "merit_usage_log_lines_total 1.0" in metrics
    assert "merit_usage_log_dropped_total 0.0" in metrics


async def test_a_refused_request_has_a_line_too() -> None:
    async with over(says(answer())) as merit:
        await merit.post({**CHAT, "model": "unknown"})
        found = json.loads(merit.log_text())
    assert (found["status"], found["error"]) == (404, "model_not_found")
    assert not {"cost", "rates", "provider"} & found.keys()


async def test_lines_reach_files_and_the_end_of_the_process_completes_them(tmp_path: Path) -> None:
    folder, log = tmp_path / "resources", tmp_path / "log"
    folder.mkdir()
    documents = [CONSUMER, provider("a", "http://127.0.0.1:9/v1"), prices("a", "1", "1"), route("a")]
    (folder / "all.yaml").write_text("---".join(documents))
    async with merit_serve(folder, "--usage-log", str(log), "--drain-seconds", "0", env={"POD_NAME": "pod/1"}) as merit:
        for _ in range(3):
            await merit.post()
        merit.process.terminate()
        await merit.process.wait()
        assert merit.log == []
    (file,) = log.iterdir()
    assert file.name.startswith("usage-pod_1-")
    assert file.suffix == ".jsonl"
    assert [json.loads(text)["status"] for text in file.read_text().splitlines()] == [502, 502, 502]


class Stuck:
    """Takes nothing until it is let go."""

    def __init__(self) -> None:
        self.let_go = threading.Event()
        self.taken: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.let_go.wait()
        self.taken.append(data)

    def idle(self) -> None: ...

    def close(self) -> None: ...


def test_a_reader_that_stands_still_costs_lines_and_never_waits() -> None:
    sink = Stuck()
    log = UsageLog(sink, most_pending=10)
    for number in range(10_000):
        log.write(line(number))
    assert log.dropped >= 10_000 - 10 - 200 * 2
    sink.let_go.set()
    log.close()
    assert log.written + log.dropped == 10_000
    assert b"".join(sink.taken).count(b"\n") == log.written


def test_what_cannot_be_written_is_counted_and_told_once(caplog: pytest.LogCaptureFixture) -> None:
    with Path(os.devnull).open("rb") as unwritable:
        log = UsageLog(StreamSink(unwritable))
        for _ in range(3):
            log.write(line())
            log.flush()
        log.close()
    assert (log.written, log.dropped) == (0, 3)
    assert len([r for r in caplog.records if "being lost" in r.message]) == 1


def sink(folder: Path, **settings: float) -> FolderSink:
    given = {"file_bytes": 100, "file_seconds": 3600, "keep_bytes": 10_000, **settings}
    return FolderSink(folder, pod="p", **given)  # type: ignore[arg-type]


def test_files_are_complete_at_their_size_and_the_oldest_go(tmp_path: Path) -> None:
    files = sink(tmp_path, keep_bytes=250)
    for number in range(6):
        files.write(f"{number}".encode() * 99 + b"\n")
    files.write(b"last\n")
    assert len(list(tmp_path.glob("*.open"))) == 1
    files.close()
    assert [path.read_text()[0] for path in sorted(tmp_path.iterdir())] == ["4", "5", "l"]


def test_files_are_complete_after_their_time(tmp_path: Path) -> None:
    files = sink(tmp_path, file_seconds=0.0)
    files.write(b"a\n")
    assert not list(tmp_path.glob("*.jsonl"))
    files.idle()
    assert len(list(tmp_path.glob("*.jsonl"))) == 1


def test_what_a_killed_process_left_is_completed_without_its_half_line(tmp_path: Path) -> None:
    (tmp_path / "usage-p-20260101T000000Z-0001.jsonl.open").write_bytes(b'{"a":1}\n{"a":')
    alive = tmp_path / "usage-p-20260101T000000Z-0002.jsonl.open"
    with alive.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        files = sink(tmp_path)
        files.write(b"x\n")
        files.close()
        assert alive.exists()
    assert (tmp_path / "usage-p-20260101T000000Z-0001.jsonl").read_bytes() == b'{"a":1}\n'


def test_equal_prices_have_equal_versions_whatever_their_generation() -> None:
    def entry(generation: int, rate: int) -> PricingEntry:
        rates = Rates(input=rate, output=2, cached_input=1, cache_write=1)
        return PricingEntry(generation=generation, provider="a/b", models={"m": ModelPrice(rates=rates)})

    assert price_version(entry(1, 5)) == price_version(entry(2, 5))
    assert price_version(entry(1, 5)) != price_version(entry(1, 6))


def test_stamped_rates_are_exact_in_usd() -> None:
    rates = Rates(input=2_500_000, output=1, cached_input=300_000, cache_write=3_125_000, request=5_000_000_000)
    shown = stamped(rates)
    assert (shown.input, shown.output, shown.cached_input) == ("2.5", "0.000001", "0.3")
    assert (shown.cache_write, shown.request) == ("3.125", "0.005")
    assert cost(rates, Usage(uncached_input=1_000_000, output=0)) == 2_505_000_000_000
