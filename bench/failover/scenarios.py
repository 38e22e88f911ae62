"""Outages of several kinds under load: what failed, what it added, what it cost, and when all was as before.

`.venv/bin/python bench/failover/scenarios.py`, or `make bench-outages`. Open loop: a request is sent when it is due.
Three accounts: the cheap one in two regions at 1 USD per million tokens, a middle one at 2, a dear one at 10.
"""

import argparse
import asyncio
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # modules are bench.something

from bench.processes import accepts, free_port

_MERIT = str(Path(sys.executable).with_name("merit"))
_KEY = "sk-bench-outages-0123456789"
_QUESTION = [{"role": "user", "content": "Tell me a joke about opentelemetry"}]
_NAMES = ("east", "west", "middle", "dear")
_LATENCY = 0.05
_READY_SECONDS = 60.0
_STEADY_SECONDS = 1.0
"""For so long all requests must be as before."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One request. Times are seconds since the run's start."""

    at: float
    seconds: float
    status: int
    """0: the connection failed, or the answer was not whole."""
    provider: str
    cost: float
    """USD."""

    @property
    def good(self) -> bool:
        """Whether it has its whole answer."""
        return self.status == 200


@dataclass(frozen=True, slots=True)
class Scenario:
    """What goes wrong for a while."""

    name: str
    words: str
    strikes: dict[str, dict[str, Any] | None]
    """The vendors' behaviour; None: the process is killed, and started again when it is over."""
    seconds: float | None = None
    """Of the outage; None: as asked for."""


_DOWN = {"status": 503}
SCENARIOS = (
    Scenario("region", "a region is lost: its process is killed", {"east": None}),
    Scenario("rate limit", "half of the cheap account's requests get 429, without Retry-After",
             {name: {"failure_rate": 0.5, "failure_status": 429} for name in ("east", "west")}),
    Scenario("brown-out", "the cheap account's p99 is 20 times as long: one request in fifty takes 1 s, not 50 ms",
             {name: {"slow_rate": 0.02, "slow_latency": 20 * _LATENCY} for name in ("east", "west")}),
    Scenario("all but the dearest", "the cheap and the middle account answer 503",
             dict.fromkeys(("east", "west", "middle"), _DOWN)),
    Scenario("everything", "everybody answers 503 for 5 s", dict.fromkeys(_NAMES, _DOWN), seconds=5.0),
)  # fmt: skip


class Vendors:
    """Four simulated ones, each its own process."""

    def __init__(self, folder: Path):
        self._folder = folder
        self.ports = {name: free_port() for name in _NAMES}
        self._children: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str) -> None:
        """Starts a vendor; returns when it listens."""
        command = [_MERIT, "fake-provider", "--listen", f"127.0.0.1:{self.ports[name]}", "--latency", str(_LATENCY)]
        with (self._folder / f"{name}.log").open("ab") as log:
            self._children[name] = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        until = time.monotonic() + _READY_SECONDS
        while not accepts(self.ports[name]):
            if time.monotonic() > until:
                raise TimeoutError(f"{name} does not start")
            time.sleep(0.05)

    def kill(self, name: str) -> None:
        """As when its region is lost."""
        child = self._children.pop(name)
        child.kill()
        child.wait()

    async def behave(self, session: aiohttp.ClientSession, name: str, behaviour: dict[str, Any]) -> None:
        """From now on."""
        url = f"http://127.0.0.1:{self.ports[name]}/_fake/behaviour"
        async with session.put(url, data=json.dumps(behaviour)) as answer:
            answer.raise_for_status()

    def stop(self) -> None:
        """All of them."""
        for name in list(self._children):
            self.kill(name)


def main() -> int:
    """0: no request failed while anybody could answer."""
    options = _options()
    print(f"{options.rate:g} requests/s, half of them streams; load average {os.getloadavg()[0]:.1f}\n", flush=True)
    print(_HEAD, flush=True)
    failed = 0
    for scenario in SCENARIOS:
        if options.only in (None, scenario.name):
            with tempfile.TemporaryDirectory(prefix="merit-outages-") as folder:
                asked, outage = asyncio.run(_run(scenario, Path(folder), options))
            row, lost = _row(scenario, asked, options.before, outage)
            print(row, flush=True)
            failed += lost if scenario.name != "everything" else 0
    print(f"\nload average {os.getloadavg()[0]:.1f}")
    return 1 if failed else 0


async def _run(scenario: Scenario, folder: Path, options: "_Options") -> tuple[list[Asked], float]:
    outage = scenario.seconds or options.seconds
    vendors = Vendors(folder)
    try:
        for name in _NAMES:
            vendors.start(name)
        with _merit(folder, vendors) as url:
            connector = aiohttp.TCPConnector(limit=0)
            async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=60)) as session:
                return await _load(session, url, scenario, vendors, outage, options), outage
    finally:
        vendors.stop()


async def _load(  # noqa: PLR0917 # whom, what, and for how long
    session: aiohttp.ClientSession,
    url: str,
    scenario: Scenario,
    vendors: Vendors,
    outage: float,
    options: "_Options",
) -> list[Asked]:
    for number in range(20):  # nobody's first request counts
        await _ask(session, url, time.monotonic(), 0.0, stream=number % 2 == 0)
    started = time.monotonic()
    control = asyncio.create_task(_strike(session, scenario, vendors, started + options.before, outage))
    tasks = []
    for number in range(int(options.rate * (options.before + outage + options.after))):
        due = started + number / options.rate
        if (wait := due - time.monotonic()) > 0:
            await asyncio.sleep(wait)
        tasks.append(asyncio.create_task(_ask(session, url, due, started, stream=number % 2 == 0)))
    await control
    return list(await asyncio.gather(*tasks))


async def _strike(
    session: aiohttp.ClientSession, scenario: Scenario, vendors: Vendors, at: float, outage: float
) -> None:
    await asyncio.sleep(at - time.monotonic())
    for name, behaviour in scenario.strikes.items():
        if behaviour is None:
            vendors.kill(name)
        else:
            await vendors.behave(session, name, behaviour)
    await asyncio.sleep(at + outage - time.monotonic())
    for name, behaviour in scenario.strikes.items():
        if behaviour is None:
            await asyncio.to_thread(vendors.start, name)
        else:
            await vendors.behave(session, name, {"status": 200, "failure_rate": 0, "slow_rate": 0})


async def _ask(session: aiohttp.ClientSession, url: str, due: float, started: float, *, stream: bool) -> Asked:
    body: dict[str, Any] = {"model": "chat", "messages": _QUESTION, "stream": stream}
    if stream:
        body["stream_options"] = {"include_usage": True}
    status, provider, cost = 0, "", 0.0
    try:
        async with session.post(url, headers={"authorization": f"Bearer {_KEY}"}, json=body) as answer:
            data = await answer.read()
            provider, status = answer.headers.get("x-merit-provider", ""), answer.status
            if status == 200:
                whole = data.rstrip().endswith(b"data: [DONE]") if stream else data.endswith(b"}")
                status = 200 if whole and b'"error"' not in data else 0
                cost = _cost(data, stream=stream)
            elif b'"error"' not in data:
                status = 0
    except (aiohttp.ClientError, OSError, TimeoutError):
        pass
    return Asked(due - started, time.monotonic() - due, status, provider, cost)


def _cost(data: bytes, *, stream: bool) -> float:
    with contextlib.suppress(ValueError, KeyError, IndexError):
        if not stream:
            return float(json.loads(data)["usage"]["cost"])
        told = [line for line in data.splitlines() if b'"cost"' in line]
        return float(json.loads(told[-1][5:])["usage"]["cost"])
    return 0.0


_COLUMNS = ("outage", "failed", "p50, p99 before", "during it", "added to p99", "answered by, during it",
            "USD per 1,000, before", "during it", "as before after")  # fmt: skip
_HEAD = f"| {' | '.join(_COLUMNS)} |\n{'| --- ' * len(_COLUMNS)}|"


def _row(scenario: Scenario, asked: list[Asked], before: float, outage: float) -> tuple[str, int]:
    end = before + outage
    calm = [a for a in asked if a.at < before]
    struck = [a for a in asked if before <= a.at < end]
    after = [a for a in asked if a.at >= end]
    failed = Counter(a.status or "cut" for a in asked if not a.good)
    lost = sum(failed.values())
    words = f"{lost} of {len(asked)}" + (f" ({', '.join(f'{s}: {n}' for s, n in failed.items())})" if failed else "")
    by = Counter(a.provider for a in struck if a.good)
    shares = ", ".join(f"{name} {count / len(struck):.0%}" for name, count in by.most_common()) or "nobody"
    cells = [
        f"{scenario.name}: {scenario.words}",
        words,
        _times(calm),
        _times(struck),
        f"{_p99(struck) - _p99(calm):+.0f} ms",
        shares,
        f"{_spend(calm):.4f}",
        f"{_spend(struck):.4f}",
        _back(after, end),
    ]
    return "| " + " | ".join(cells) + " |", lost


def _p99(part: list[Asked]) -> float:
    taken = sorted(1000 * a.seconds for a in part)
    return taken[int(0.99 * len(taken))]


def _times(part: list[Asked]) -> str:
    return f"{statistics.median(1000 * a.seconds for a in part):.0f}, {_p99(part):.0f} ms"


def _spend(part: list[Asked]) -> float:
    good = [a.cost for a in part if a.good]
    return 1000 * sum(good) / len(good) if good else 0.0


def _back(after: list[Asked], end: float) -> str:
    """From when on all requests were answered, and by the cheapest, for a while."""
    wrong = [a.at for a in after if not a.good or a.provider != "cheap"]
    if not wrong:
        return "0.0 s"
    last = max(wrong)
    if last > after[-1].at - _STEADY_SECONDS:
        return "not yet"
    return f"{last - end:.1f} s"


@contextlib.contextmanager
def _merit(folder: Path, vendors: Vendors) -> Iterator[str]:
    port, admin = free_port(), free_port()
    resources = folder / "resources"
    resources.mkdir()
    (resources / "all.yaml").write_text(_resources(vendors.ports), encoding="utf-8")
    command = [_MERIT, "serve", str(resources), "--no-watch", "--listen", f"127.0.0.1:{port}"]
    command += ["--admin-listen", f"127.0.0.1:{admin}", "--usage-log", str(folder / "usage.jsonl")]
    with (folder / "merit.log").open("wb") as log:
        child = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    try:
        until = time.monotonic() + _READY_SECONDS
        while not accepts(port):
            if child.poll() is not None or time.monotonic() > until:
                raise RuntimeError((folder / "merit.log").read_text(errors="replace")[-2000:])
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}/v1/chat/completions"
    finally:
        child.terminate()
        child.wait(30)


def _resources(ports: dict[str, int]) -> str:
    def endpoint(name: str) -> str:
        return f'{{name: {name}, url: "http://127.0.0.1:{ports[name]}/v1"}}'

    documents = [
        f"""apiVersion: v1
kind: Secret
metadata: {{name: keys}}
stringData: {{consumer: {_KEY}, provider: sk-vendor}}""",
        """apiVersion: merit.dev/v1alpha1
kind: Consumer
metadata: {name: bench}
spec: {apiKeys: [{name: keys, key: consumer}]}""",
        """apiVersion: merit.dev/v1alpha1
kind: ModelRoute
metadata: {name: chat}
spec:
  models: [chat]
  tiers:
    - name: all
      candidates:
        - {provider: {name: cheap}, model: cheap-model}
        - {provider: {name: middle}, model: middle-model}
        - {provider: {name: dear}, model: dear-model}""",
    ]
    accounts = {"cheap": (("east", "west"), 1), "middle": (("middle",), 2), "dear": (("dear",), 10)}
    for name, (endpoints, price) in accounts.items():
        documents.append(f"""apiVersion: merit.dev/v1alpha1
kind: Provider
metadata: {{name: {name}}}
spec:
  protocol: OpenAI
  endpoints: [{", ".join(map(endpoint, endpoints))}]
  credentials: {{apiKey: {{name: keys, key: provider}}}}
---
apiVersion: merit.dev/v1alpha1
kind: ProviderPricing
metadata: {{name: {name}}}
spec:
  providerRef: {{name: {name}}}
  models:
    - model: {name}-model
      prices: {{input: "{price}", output: "{price}"}}
      capabilities: [Streaming, AssistantPrefix]""")
    return "\n---\n".join(documents)


class _Options(argparse.Namespace):
    rate: float
    before: float
    seconds: float
    after: float
    only: str | None


def _options() -> _Options:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=float, default=100.0, help="requests per second")
    parser.add_argument("--before", type=float, default=10.0, help="seconds of calm")
    parser.add_argument("--seconds", type=float, default=20.0, help="of an outage; that of everything takes 5")
    parser.add_argument("--after", type=float, default=30.0, help="seconds after it")
    parser.add_argument("--only", choices=[scenario.name for scenario in SCENARIOS], help="one of them")
    return parser.parse_args(namespace=_Options())


if __name__ == "__main__":
    sys.exit(main())
