"""A price cut of 40 % on a real cluster, under load: how long until no pod prices a request by the old list.

.venv/bin/python bench/price_cut.py [--changes 20] [--pods 6] [--rate 200]        writes docs/price-cut.md

Brings up the lab of tests/cluster (about two minutes), installs the chart, and cuts the price of the dearer of two
vendors by 40 % again and again: each cut makes it the cheaper one. Half-way the leading operator is killed just before
a cut. Requests go to each pod in turn, so that none is missed.
"""

import argparse
import asyncio
import itertools
import math
import signal
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import aiohttp

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # modules are bench.something

from bench.machine import describe  # noqa: E402
from tests.cluster.e2e import manifests  # noqa: E402
from tests.cluster.e2e.installation import Installation  # noqa: E402
from tests.cluster.e2e.manifests import CONSUMER_KEY, MODEL  # noqa: E402
from tests.cluster.e2e.shop import shop  # noqa: E402

PORT = 8080
CUT = Decimal("0.6")
BODY = {"model": MODEL, "messages": [{"role": "user", "content": "Where is my parcel?"}]}
PATIENCE = 60.0
"""Seconds for a change to arrive everywhere."""
SETTLING = 20.0
QUIET = 1.5
"""Seconds of nothing but the new price after which a change has arrived."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One request. Times are seconds of the monotonic clock."""

    started: float
    ended: float
    pod: int
    provider: str
    snapshot: str
    price_version: str
    cost: Decimal
    input: int
    output: int


@dataclass(frozen=True, slots=True)
class Cut:
    """One cut as it was applied. `began`: when kubectl started, seconds of the monotonic clock."""

    name: str
    began: float
    returned: float
    """Seconds from then."""
    killed: bool


@dataclass(frozen=True, slots=True)
class Change:
    """What came of a cut. Seconds from kubectl's start."""

    returned: float
    last_old: float
    """When the last request started that was sent to the dearer vendor."""
    first_new: float
    killed: bool


class Load:
    """Requests at a fixed rate to all pods in turn."""

    def __init__(self, session: aiohttp.ClientSession, pods: list[str], rate: float):
        self._session, self._pods, self._rate = session, pods, rate
        self.answers: list[Answer] = []
        self.failures: list[str] = []
        self._running: set[asyncio.Task[None]] = set()
        self._stop = asyncio.Event()
        self.late = 0.0
        """Most seconds by which a request left later than it should have."""

    async def run(self) -> None:
        """Until `stop`."""
        begun = time.monotonic()
        for number in itertools.count():
            due = begun + number / self._rate
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            if self._stop.is_set():
                break
            self.late = max(self.late, time.monotonic() - due)
            task = asyncio.create_task(self._one(number % len(self._pods)))
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        await asyncio.gather(*self._running)

    def stop(self) -> None:
        """No further requests."""
        self._stop.set()

    async def _one(self, pod: int) -> None:
        started = time.monotonic()
        try:
            async with self._session.post(
                f"http://{self._pods[pod]}:{PORT}/v1/chat/completions", json=BODY
            ) as response:
                answer = await response.json()
                headers = response.headers
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            self.failures.append(f"{type(error).__name__}: {error}")
            return
        if response.status != 200:
            self.failures.append(f"{response.status}: {str(answer)[:200]}")
            return
        usage = answer["usage"]
        self.answers.append(
            Answer(
                started,
                time.monotonic(),
                pod,
                headers["x-merit-provider"],
                headers["x-merit-snapshot"],
                headers["x-merit-price-version"],
                Decimal(headers["x-merit-cost"]),
                usage["prompt_tokens"],
                usage["completion_tokens"],
            )
        )


def cuts(count: int) -> Iterator[tuple[str, dict[str, tuple[str, str]]]]:
    """Who is cut, and all prices after it: each time the dearer of alpha and beta by 40 %."""
    prices = {name: (Decimal(a), Decimal(b)) for name, (a, b) in manifests.PRICES.items()}
    for number in range(count):
        name = ("beta", "alpha")[number % 2]
        given, written = prices[name]
        prices[name] = (round(given * CUT, 6), round(written * CUT, 6))
        yield name, {who: (f"{a:f}", f"{b:f}") for who, (a, b) in prices.items()}


async def measure(merit: Installation, pods: list[str], count: int, rate: float) -> tuple[list[Change], Load]:
    """Makes the changes under load. Raises AssertionError where an answer mixes two lists."""
    lists = [manifests.PRICES]
    made: list[Cut] = []
    timeout = aiohttp.ClientTimeout(total=30)
    headers = {"Authorization": f"Bearer {CONSUMER_KEY}"}
    async with aiohttp.ClientSession(
        timeout=timeout, headers=headers, connector=aiohttp.TCPConnector(limit=0)
    ) as session:
        load = Load(session, pods, rate)
        running = asyncio.create_task(load.run())
        await asyncio.sleep(3)
        for number, (name, prices) in enumerate(cuts(count), 1):
            killed = number == count // 2
            if killed:
                leader = await asyncio.to_thread(merit.leader)
                await asyncio.to_thread(merit.signal, leader, signal.SIGKILL)
            began = time.monotonic()
            lists.append(prices)
            await asyncio.to_thread(merit.apply, manifests.pricing(name, prices[name]))
            made.append(Cut(name, began, time.monotonic() - began, killed))
            await arrived(load, name, began)
            print(f"{number:3} {name}: kubectl {made[-1].returned:.3f} s", flush=True)
        load.stop()
        await running
    check(load.answers, lists)
    return changes(made, load.answers), load


async def arrived(load: Load, name: str, began: float) -> None:
    """Waits until every pod sends its requests to the vendor that was cut, and for a while nothing else."""
    deadline = began + PATIENCE
    while time.monotonic() < deadline:
        await asyncio.sleep(0.2)
        since = [a for a in load.answers if a.started > began]
        old = max((a.started for a in since if a.provider != name), default=began)
        if since and max(a.started for a in since) - old > QUIET:
            return
    raise AssertionError(f"{name} does not get all requests within {PATIENCE} s")


def changes(made: list[Cut], answers: list[Answer]) -> list[Change]:
    """Of all requests from a cut to the next one: an answer that came late counts by when it was asked for."""
    found = []
    for cut, end in zip(made, [cut.began for cut in made[1:]] + [math.inf], strict=True):
        window = [a for a in answers if cut.began < a.started <= end]
        old = max((a.started for a in window if a.provider != cut.name), default=cut.began)
        new = min(a.started for a in window if a.provider == cut.name)
        found.append(Change(cut.returned, old - cut.began, new - cut.began, cut.killed))
    return found


def check(answers: list[Answer], lists: list[dict[str, tuple[str, str]]]) -> None:
    """Every answer is of one list: its cost exact, its snapshot's order and prices those of all who name it."""
    by_snapshot: dict[str, set[tuple[str, str]]] = defaultdict(set)
    by_version: dict[tuple[str, str], set[tuple[str, str]]] = defaultdict(set)
    for answer in answers:
        fitting = {
            prices[answer.provider]
            for prices in lists
            if (
                answer.input * Decimal(prices[answer.provider][0]) + answer.output * Decimal(prices[answer.provider][1])
            ) / 10**6 == answer.cost
        }  # fmt: skip
        if len(fitting) != 1:
            raise AssertionError(f"{answer} fits {len(fitting)} lists")
        by_snapshot[answer.snapshot].add((answer.provider, answer.price_version))
        by_version[answer.provider, answer.price_version] |= fitting
    for name, found in (("snapshot", by_snapshot.values()), ("price version", by_version.values())):
        if any(len(one) != 1 for one in found):
            raise AssertionError(f"a {name} has more than one price")


_PAGE = """# A price cut under load

Written by `make price-cut`: {count} cuts of 40 %, each of which makes the dearer of two vendors the cheaper one, with
`kubectl apply` on a real Kubernetes (API server, kubelet, containerd), {pods} data-plane pods at {rate:.0f} requests/s
together. One run.

| | p50 | p99 | most |
| --- | ---: | ---: | ---: |
| from kubectl's start to the last request by the old list | {since_start} |
| from kubectl's return to it | {since_return} |

{usual} changes; of so few the p99 is the most. A request is by the old list when it was sent to the vendor that was the
cheapest before; it counts from when its client sent it. Each pod gets a request every {every:.0f} ms: times are that
coarse. kubectl itself is a process that starts, reads the API's discovery and sends a patch.
{killed}
{answers:,} answers, {failures} failures. The cost of every answer is exactly that of one list; no snapshot and no price
version was seen with two prices. The latest request left {late:.0f} ms after its time.

Machine: {machine.cpu}, {machine.cores} cores for cluster, pods, vendors and load together, load average
{load} at the end, Python {machine.python}, {machine.date}, commit {machine.commit}.

| change | kubectl returned, s | first request by the new list | last by the old | |
| ---: | ---: | ---: | ---: | --- |
{rows}
"""
_KILLED = """
The leading operator was killed (SIGKILL) just before change {number}: there the last request by the old list started
{seconds:.1f} s after kubectl did, once the restarted operator or the other one led again.
"""


def page(measured: list[Change], load: Load, pods: int, rate: float) -> str:
    """Markdown."""
    machine = describe()
    usual = [change for change in measured if not change.killed]
    rows = [
        f"| {i} | {c.returned:.3f} | {c.first_new:.3f} | {c.last_old:.3f} | {'leader killed' if c.killed else ''} |"
        for i, c in enumerate(measured, 1)
    ]
    return _PAGE.format(
        count=len(measured),
        pods=pods,
        rate=rate,
        since_start=_spread([c.last_old for c in usual]),
        since_return=_spread([max(0.0, c.last_old - c.returned) for c in usual]),
        usual=len(usual),
        every=1000 * pods / rate,
        killed="".join(_KILLED.format(number=i, seconds=c.last_old) for i, c in enumerate(measured, 1) if c.killed),
        answers=len(load.answers),
        failures=len(load.failures),
        late=1000 * load.late,
        machine=machine,
        load=", ".join(str(average) for average in machine.load_average),
        rows="\n".join(rows),
    )


def _spread(seconds: list[float]) -> str:
    ordered = sorted(seconds)
    p99 = ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
    return f"{statistics.median(ordered):.3f} s | {p99:.3f} s | {ordered[-1]:.3f} s"


def main() -> int:
    """Measures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--changes", type=int, default=20)
    parser.add_argument("--pods", type=int, default=6)
    parser.add_argument("--rate", type=float, default=200.0, help="requests per second, of all pods together")
    parser.add_argument("--output", type=Path, default=ROOT / "docs/price-cut.md")
    options = parser.parse_args()
    with shop("--set", f"dataplane.replicas={options.pods}") as merit:
        time.sleep(SETTLING)  # starting pods takes both cores
        pods: list[str] = [pod["status"]["podIP"] for pod in merit.pods("dataplane")]
        measured, load = asyncio.run(measure(merit, pods, options.changes, options.rate))
    text = page(measured, load, options.pods, options.rate)
    options.output.write_text(text, encoding="utf-8")
    print(text)
    return 1 if load.failures else 0


if __name__ == "__main__":
    sys.exit(main())
