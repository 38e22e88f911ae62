"""Mixed traffic for minutes: resident memory has to become flat. `make soak`, `make soak ARGS='--minutes 60'`.

Hits and misses of the cache, streams, streams that are cut by either side, failing providers, a hundred consumers,
prompts that never come again, scores, and resources that change all the time: prices, models that come and go,
endpoints that move. README.md says what is asserted.
"""

import argparse
import asyncio
import contextlib
import itertools
import json
import os
import random
import signal
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import ExitStack
from pathlib import Path

import aiohttp
from aiohttp import web

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # modules are bench.something

from bench.local_http import get
from bench.places import ROOT
from bench.processes import BenchError, Process, free_port

_SAMPLE_SECONDS = 2.0
_WARM_UP_SHARE = 0.4
"""Of the time: tables and caches fill to their bounds."""
_LONG, _SHORT = 12_000, 600
"""Words of two tokens."""
_MAY_GROW = 0.03
"""From the first to the last third after the warm-up, as a share of all."""
_CHANGE_SECONDS = 3.0
_TURNS = 10
"""Then models and endpoints of long ago come again: what is gone for good is bounded by thousands, in unit tests."""
_CONSUMERS = 100
_VENDORS = ("alpha", "beta", "gamma")
_random = random.Random(1)  # the same traffic each time

_PROVIDER = """\
apiVersion: merit.dev/v1alpha1
kind: Provider
metadata: {{name: {name}, namespace: default}}
spec:
  protocol: OpenAI
  endpoints:
    - {{name: one, url: "http://127.0.0.1:{port}/{name}/{turn}/v1"}}
    - {{name: two, url: "http://127.0.0.1:{port}/{name}/v1"}}
  credentials: {{apiKey: {{name: vendor-key, key: apiKey}}}}
  timeouts: {{connect: 2s, firstByte: 3s, idle: 3s, total: 20s}}
  limits: {{requestsPerMinute: 100000}}
---
apiVersion: merit.dev/v1alpha1
kind: ProviderPricing
metadata: {{name: {name}, namespace: default}}
spec:
  providerRef: {{name: {name}}}
  models:
    - model: m
      prices: {{input: "{price}", output: "1"}}
      contextWindow: 128000
      capabilities: [Streaming]
    - model: m-{turn}
      prices: {{input: "{price}", output: "1"}}
      contextWindow: 128000
      capabilities: [Streaming]
"""
_ROUTE = """\
apiVersion: merit.dev/v1alpha1
kind: ModelRoute
metadata: {{name: {name}, namespace: default}}
spec:
  models: [{name}]
  {more}
  tiers:
    - name: default
      candidates: [{candidates}]
"""
_SECRET = """\
apiVersion: v1
kind: Secret
metadata: {{name: {name}, namespace: default}}
stringData: {{apiKey: {key}}}
"""
_CONSUMER = """\
apiVersion: merit.dev/v1alpha1
kind: Consumer
metadata: {{name: {name}, namespace: default}}
spec:
  apiKeys: [{{name: {name}-key, key: apiKey}}]
  limits: {{requestsPerMinute: 100000}}
"""


def _key(number: int) -> str:
    return f"sk-soak-{number:03}-0123456789abcdef"


def write(folder: Path, port: int, turn: int) -> None:
    """The resources of one turn: other prices, other models, and one endpoint of each provider somewhere else."""
    turn %= _TURNS
    for name in _VENDORS:
        price = f"{_random.randint(10, 99)}e-2"
        _put(folder / f"{name}.yaml", _PROVIDER.format(name=name, port=port, turn=turn, price=float(price)))
    candidates = ", ".join(
        f"{{provider: {{name: {name}}}, model: {model}}}" for name in _VENDORS for model in ("m", f"m-{turn}")
    )
    for name, more in (
        ("plain", "retry: {midStream: Restart}"),
        ("cached", "cache: {exact: {ttl: 1m}}"),
        (f"turn-{turn}", ""),
    ):
        file = "turn" if name.startswith("turn") else name
        _put(folder / f"route-{file}.yaml", _ROUTE.format(name=name, more=more, candidates=candidates))
    if not (folder / "consumers.yaml").exists():
        keys = [_SECRET.format(name="vendor-key", key="sk-vendor-0123456789")]
        for number in range(_CONSUMERS):
            keys += [_SECRET.format(name=f"c{number}-key", key=_key(number)), _CONSUMER.format(name=f"c{number}")]
        _put(folder / "consumers.yaml", "---\n".join(keys))


def _put(path: Path, text: str) -> None:
    partial = path.with_suffix(".tmp")
    partial.write_text(text)
    partial.rename(path)


async def _vendor(request: web.Request) -> web.StreamResponse:
    """Fails a tenth of the time, in different ways."""
    asked = await request.json()
    lot = _random.random()
    if lot < 0.03:
        return web.json_response({"error": {"message": "no"}}, status=_random.choice([500, 503, 429, 404]))
    words = _random.randint(1, 60)
    usage = {"prompt_tokens": 500, "completion_tokens": words, "total_tokens": 500 + words}
    if not asked.get("stream"):
        await asyncio.sleep(0.01)
        choice = {"index": 0, "message": {"role": "assistant", "content": "word " * words}, "finish_reason": "stop"}
        return web.json_response({"id": "c", "object": "chat.completion", "choices": [choice], "usage": usage})
    answer = web.StreamResponse(headers={"content-type": "text/event-stream"})
    await answer.prepare(request)
    with contextlib.suppress(ConnectionError):
        for place in range(words):
            if lot > 0.97 and place > words // 2:
                if request.transport is not None:
                    request.transport.abort()  # in the middle
                return answer
            await answer.write(_event({"index": 0, "delta": {"content": f"word{place} "}, "finish_reason": None}))
            await asyncio.sleep(0.002)
        await answer.write(_event({"index": 0, "delta": {}, "finish_reason": "stop"}))
        await answer.write(b"data: " + json.dumps({"id": "c", "choices": [], "usage": usage}).encode() + b"\n\n")
        await answer.write(b"data: [DONE]\n\n")
    return answer


def _event(choice: dict[str, object]) -> bytes:
    return (
        b"data: " + json.dumps({"id": "c", "object": "chat.completion.chunk", "choices": [choice]}).encode() + b"\n\n"
    )


class Traffic:
    """Of one client after the other."""

    def __init__(self, http: aiohttp.ClientSession, url: str) -> None:
        self._http, self._url = http, url
        self.statuses: Counter[str] = Counter()
        self.words = _LONG
        """Most words of a prompt: many at first, so that what remembers prompts is soon full."""
        self._number = itertools.count()

    async def one(self) -> None:
        """A request of some kind."""
        lot, number = _random.random(), next(self._number)
        cached = lot < 0.4
        same = f"question {int(_random.expovariate(0.01))}"  # a few often, many seldom
        prompt = (
            same
            if cached and lot < 0.3
            else f"{number} " + f"{number * 7919 % 10007} words " * _random.randint(5, self.words)
        )
        stream = _random.random() < 0.5
        body = {
            "model": "cached" if cached else "plain",
            "messages": [{"role": "user", "content": prompt}],
            "stream": stream,
        }
        headers = {"authorization": f"Bearer {_key(_random.randrange(_CONSUMERS))}"}
        try:
            async with self._http.post(f"{self._url}/v1/chat/completions", json=body, headers=headers) as answer:
                if stream and _random.random() < 0.1:
                    await answer.content.read(100)
                    answer.close()
                    self.statuses["left"] += 1
                    return
                text = await answer.read()
                broken = b'"stream_interrupted"' in text
                self.statuses[f"{answer.status}{' broken' if broken else ''}"] += 1
                if answer.status == 200 and _random.random() < 0.1:
                    score = {"id": answer.headers["x-merit-request-id"], "score": _random.random()}
                    async with self._http.post(f"{self._url}/v1/feedback", json=score, headers=headers) as told:
                        await told.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            self.statuses[type(error).__name__] += 1


@contextlib.asynccontextmanager
async def _vendors() -> AsyncIterator[int]:
    app = web.Application(client_max_size=1 << 24)
    app.router.add_post("/{rest:.*}", _vendor)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield port
    finally:
        await runner.cleanup()


async def _soak(options: "_Options") -> int:
    with ExitStack() as up:
        folder = Path(up.enter_context(tempfile.TemporaryDirectory(prefix="merit-soak-")))
        resources, logs, state = (folder / name for name in ("resources", "usage", "state"))
        for made in (resources, logs, state):
            made.mkdir()
        async with _vendors() as vendor:
            write(resources, vendor, 0)
            port, admin = free_port(), free_port()
            command = [
                *(sys.executable, "-m", "merit_dataplane", "serve", str(resources)),
                *("--listen", f"127.0.0.1:{port}", "--admin-listen", f"127.0.0.1:{admin}", "--state-dir", str(state)),
                *("--usage-log", str(logs), "--usage-log-keep", "64", "--usage-log-file", "8", "--cache", "8"),
            ]
            packages = os.pathsep.join(str(ROOT / plane) for plane in ("crds", "dataplane"))
            merit = up.enter_context(Process("merit", command, core=None, cwd=folder, env={"PYTHONPATH": packages}))
            await asyncio.to_thread(merit.wait_until, lambda: get(admin, "/readyz")[0] == 200)
            samples, statuses = await _run(options, merit, f"http://127.0.0.1:{port}", resources, vendor)
            lines = get(admin, "/metrics")[1].decode().count("\n")
            log = merit.log()
    return _told(samples, statuses, lines, log)


async def _run(
    options: "_Options", merit: Process, url: str, resources: Path, vendor: int
) -> tuple[list[tuple[float, float]], Counter[str]]:
    began = time.monotonic()
    ends = began + options.minutes * 60
    samples: list[tuple[float, float]] = []
    connector, limit = aiohttp.TCPConnector(limit=0), aiohttp.ClientTimeout(total=60)
    async with aiohttp.ClientSession(connector=connector, timeout=limit) as http:
        traffic = Traffic(http, url)

        async def client() -> None:
            while time.monotonic() < ends:
                await traffic.one()

        async def change() -> None:
            for turn in itertools.count(1):
                await asyncio.sleep(_CHANGE_SECONDS)
                await asyncio.to_thread(write, resources, vendor, turn)

        clients = [asyncio.create_task(client()) for _ in range(options.clients)]
        changing = asyncio.create_task(change())
        while time.monotonic() < ends:
            await asyncio.sleep(_SAMPLE_SECONDS)
            samples.append((time.monotonic() - began, merit.resident_mib()))
            if time.monotonic() - began > options.minutes * 60 * _WARM_UP_SHARE * 0.8:
                traffic.words = _SHORT
        changing.cancel()
        await asyncio.gather(*clients)
    return samples, traffic.statuses


def _told(samples: list[tuple[float, float]], statuses: Counter[str], lines: int, log: str) -> int:
    length = samples[-1][0]
    warm = [sample for sample in samples if sample[0] > length * _WARM_UP_SHARE]
    third = max(1, len(warm) // 3)
    first, last = (statistics.median(mib for _, mib in part) for part in (warm[:third], warm[-third:]))
    print(f"load average {', '.join(f'{one:.1f}' for one in os.getloadavg())}; {length / 60:.1f} minutes")
    print("| minutes | MiB |\n| --- | --- |")
    for at in range(0, len(samples), max(1, len(samples) // 12)):
        print(f"| {samples[at][0] / 60:.1f} | {samples[at][1]:.1f} |")
    print(f"\n{sum(statuses.values())} requests: {dict(statuses.most_common())}; {lines} lines of metrics")
    growth = last / first - 1
    print(f"after the warm-up {first:.1f} MiB, in the end {last:.1f} MiB: {100 * growth:+.1f} %")
    if "Traceback" in log:
        print(f"soak: the gateway has failed:\n{log}", file=sys.stderr)
        return 1
    return 1 if growth > _MAY_GROW else 0


class _Options(argparse.Namespace):
    minutes: float
    clients: int


def main() -> int:
    """0: flat; 1: it grows, or something failed inside; 2: could not be measured."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the gateway is stopped then, too
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0, metavar="M", help="default: %(default)s")
    parser.add_argument("--clients", type=int, default=40, metavar="N", help="at once; default: %(default)s")
    try:
        return asyncio.run(_soak(parser.parse_args(namespace=_Options())))
    except (BenchError, OSError) as problem:
        print(f"soak: {problem}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
