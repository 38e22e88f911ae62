"""What the exact cache saves at a support desk, over HTTP: Merit beside LiteLLM's Redis cache. Writes docs/cache.md.

.venv/bin/python bench/cache_replay.py [--requests 8000] [--compress 15] [--litellm VENV/bin/litellm]

All times are divided by `--compress`: arrivals, the ttl, the vendor's latency. `support_workload.py` says what is
asked, `cache_vendor.py` how a wrong answer is noticed. Needs redis-server. Without `--litellm` that row is left out; a
virtual environment of its own with `pip install 'litellm[proxy]'` has it.
"""

import argparse
import asyncio
import contextlib
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import msgspec

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # modules are bench.something

from bench import cache_vendor, resources
from bench.cache_page import Hour, Law, Row, page
from bench.local_http import get, post
from bench.machine import cores, describe
from bench.places import CHAT, ROOT
from bench.processes import BenchError, Process, accepts, free_port
from bench.support_workload import Asked, Pair, arrivals, pairs, repeated, requests
from merit_dataplane.fake_provider.recordings import Replay

TTL_SECONDS, STALE_SECONDS, LATENCY_SECONDS = 1800.0, 3600.0, 1.0
"""Of the trace's own time."""
PAIRS_AT_ONCE = 20
LITELLM_KEY = "sk-litellm-bench-0123"
SYSTEM = msgspec.json.decode(CHAT.read_bytes())["messages"][0]["content"]
TTL_MINUTES = (5, 10, 30, 60)
EXPONENTS, OWN_SHARES = (0.64, 0.75, 0.83, 1.0), (0.0, 0.5, 0.8)


@dataclass(frozen=True)
class Setup:
    """One way to serve the workload."""

    name: str
    pods: int = 1
    redis: bool = False
    stale: bool = False
    litellm: str = ""


@dataclass
class Seen:
    """What the clients got."""

    how: Counter[str] = field(default_factory=Counter)
    wrong: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)


class Server(Process):
    """A child that is ready when it listens."""

    def __init__(self, name: str, command: Sequence[str], port: int, folder: Path, core: int, **env: str) -> None:
        self.port = port
        super().__init__(name, command, core=core, cwd=folder, env=env)

    def wait_ready(self, admin_port: int = 0) -> None:
        """`admin_port`: where Merit says that it is."""
        self.wait_until(lambda: get(admin_port, "/readyz")[0] == 200 if admin_port else accepts(self.port))


def served(
    setup: Setup, options: argparse.Namespace, folder: Path, stack: contextlib.ExitStack
) -> tuple[list[int], int]:
    """Ports of the gateways and of the vendor, everything up."""
    where, merit, compress = cores(), str(Path(sys.executable).with_name("merit")), _compress(setup, options)
    vendor_port = free_port()
    listen = ("--listen", f"127.0.0.1:{vendor_port}", "--latency", str(LATENCY_SECONDS / compress))
    vendor = [merit, "fake-provider", *listen, "--recordings", str(folder / "recordings")]
    stack.enter_context(Server("vendor", vendor, vendor_port, folder, where.load)).wait_ready()
    redis_port = free_port()
    if setup.redis:
        command = ["redis-server", "--port", str(redis_port), "--save", "", "--bind", "127.0.0.1"]
        stack.enter_context(Server("redis", command, redis_port, folder, where.load)).wait_ready()
    if setup.litellm:
        port = free_port()
        (folder / "litellm.yaml").write_text(LITELLM.format(
            vendor=vendor_port, redis=redis_port, ttl=max(1, round(TTL_SECONDS / compress)), key=LITELLM_KEY
        ))  # fmt: skip
        command = [setup.litellm, "--config", "litellm.yaml", "--port", str(port), "--telemetry", "False"]
        quiet = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR"}
        stack.enter_context(Server("litellm", command, port, folder, where.gateway, **quiet)).wait_ready()
        return [port], vendor_port
    manifests = folder / "resources"
    resources.write(manifests, vendor_port)
    stale = f", staleWhileRevalidate: {STALE_SECONDS / compress:.0f}s" if setup.stale else ""
    cached = (manifests / "route-cached.yaml").read_text()
    ttl = f"ttl: {TTL_SECONDS / compress:.0f}s{stale}"
    (manifests / "route-cached.yaml").write_text(cached.replace("ttl: 1h", ttl))
    (folder / "cache.key").write_text("a key that all pods share 0123456789")
    shared = ("--redis-url", f"redis://127.0.0.1:{redis_port}", "--cache-key-file", str(folder / "cache.key"))
    ports = []
    for number in range(setup.pods):
        port, admin_port = free_port(), free_port()
        command = [
            *(merit, "serve", str(manifests), "--no-watch", "--usage-log", "off", "--listen", f"127.0.0.1:{port}"),
            *("--admin-listen", f"127.0.0.1:{admin_port}", *(shared if setup.redis else ())),
        ]
        stack.enter_context(Server(f"merit-{number}", command, port, folder, where.gateway)).wait_ready(admin_port)
        ports.append(port)
    return ports, vendor_port


def question(text: str, *, stream: bool, model: str) -> dict[str, object]:
    """The request's body."""
    messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": text}]
    return {"model": model, "messages": messages, "temperature": 0.2, "max_tokens": 256} | (
        {"stream": True} if stream else {}
    )


async def replayed(  # noqa: PLR0917 # one replay
    asked: list[Asked], ports: list[int], replays: tuple[Replay, ...], compress: float, key: str, model: str
) -> Seen:
    """Every request at its time, to the pods in turn."""
    seen, begun = Seen(), asyncio.get_running_loop().time() + 0.5
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:

        async def one(place: int, request: Asked) -> None:
            await asyncio.sleep(max(0.0, begun + request.at / compress - asyncio.get_running_loop().time()))
            await _ask(http, ports[place % len(ports)], request.text, request.stream, replays, key, model, seen)

        await asyncio.gather(*(one(place, request) for place, request in enumerate(asked)))
    return seen


async def _ask(  # noqa: PLR0917 # one request
    http: aiohttp.ClientSession, port: int, text: str, stream: bool, replays: tuple[Replay, ...], key: str, model: str,
    seen: Seen,
) -> bool:  # fmt: skip
    """Whether the answer is one to another question."""
    body, started = question(text, stream=stream, model=model), time.monotonic()
    try:
        async with http.post(
            f"http://127.0.0.1:{port}/v1/chat/completions", json=body, headers={"authorization": f"Bearer {key}"}
        ) as answer:
            told = await answer.read()
    except (aiohttp.ClientError, TimeoutError) as error:
        seen.failed[f"{type(error).__name__} {error}"] += 1
        return False
    seen.seconds.append(time.monotonic() - started)
    if answer.status != 200:
        seen.failed[f"{answer.status} {told[:200].decode(errors='replace')}"] += 1
        return False
    kept = "hit" if "x-litellm-cache-key" in answer.headers else "miss"
    seen.how[answer.headers.get("x-merit-cache", kept)] += 1
    try:
        wrong = cache_vendor.said_in(told) != cache_vendor.expected(replays, body).said
    except (ValueError, KeyError, IndexError):
        seen.failed["unreadable"] += 1
        return False
    seen.wrong += wrong
    return wrong


async def paired(found: list[Pair], port: int, replays: tuple[Replay, ...], key: str, model: str) -> tuple[Seen, int]:
    """Each pair's questions one after the other, some pairs at a time; how many second answers were wrong."""
    seen, some = Seen(), asyncio.Semaphore(PAIRS_AT_ONCE)
    async with aiohttp.ClientSession() as http:

        async def both(pair: Pair) -> bool:
            async with some:
                await _ask(http, port, pair.one, False, replays, key, model, seen)
                return await _ask(http, port, pair.other, False, replays, key, model, seen)

        taken = sum(await asyncio.gather(*(both(pair) for pair in found)))
    return seen, taken


def measured(setup: Setup, asked: list[Asked], found: list[Pair], options: argparse.Namespace) -> Row:
    """One row."""
    key, model = (LITELLM_KEY, "support") if setup.litellm else (resources.CONSUMER_KEY, f"{resources.MODEL}-cached")
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="merit-cache-")))
        for name in ("recordings", "resources"):
            (folder / name).mkdir()
        replays = cache_vendor.write(folder / "recordings")
        ports, vendor_port = served(setup, options, folder, stack)
        _wait_for(ports, key, model)
        before = _stats(vendor_port)
        seen = asyncio.run(replayed(asked, ports, replays, _compress(setup, options), key, model))
        after = _stats(vendor_port)
        alike, taken = asyncio.run(paired(found, ports[0], replays, key, model))
    tokens = sum(cache_vendor.expected(replays, question(one.text, stream=False, model=model)).tokens for one in asked)
    paid = after.prompt_tokens + after.completion_tokens - before.prompt_tokens - before.completion_tokens
    return Row(
        name=setup.name,
        how=dict(seen.how),
        requests=len(asked),
        calls=after.requests - before.requests,
        tokens_saved=1 - paid / tokens,
        wrong=seen.wrong,
        failed=dict(seen.failed + alike.failed),
        pairs=len(found),
        pairs_wrong=alike.wrong,
        pairs_taken=taken,
        seconds=sorted(seen.seconds)[len(seen.seconds) // 2] if seen.seconds else 0.0,
        load=os.getloadavg()[0],
    )


def _compress(setup: Setup, options: argparse.Namespace) -> float:
    return float(options.litellm_compress if setup.litellm else options.compress)


class _Stats(msgspec.Struct):
    requests: int
    prompt_tokens: int
    completion_tokens: int


def _stats(port: int) -> _Stats:
    return msgspec.json.decode(get(port, "/_fake/stats")[1], type=_Stats)


def _wait_for(ports: list[int], key: str, model: str) -> None:
    """Everybody answers, and Redis is on: it is asked for nothing in its first moments."""
    deadline = time.monotonic() + 120
    for port in ports:
        body = msgspec.json.encode(question("Are you there?", stream=False, model=model))
        while post(port, "/v1/chat/completions", {"Authorization": f"Bearer {key}"}, body)[0] != 200:
            if time.monotonic() > deadline:
                raise BenchError("a gateway does not answer")
            time.sleep(0.5)
    time.sleep(3)


def setups(litellm: str) -> Iterator[Setup]:
    """All rows."""
    yield Setup("Merit, 1 pod")
    yield Setup("Merit, 1 pod, Redis", redis=True)
    if litellm:
        yield Setup("LiteLLM, 1 process, Redis, at its own pace", redis=True, litellm=litellm)
    yield Setup("Merit, 3 pods", pods=3)
    yield Setup("Merit, 3 pods, Redis", pods=3, redis=True)
    yield Setup("Merit, 3 pods, Redis, `staleWhileRevalidate: 1h`", pods=3, redis=True, stale=True)


def laws(folder: Path, times: list[float]) -> Mapping[Law, float]:
    """The most that could be saved, under other laws."""
    return {
        Law(exponent, own): repeated(requests(folder, times, exponent=exponent, own_share=own), TTL_SECONDS)
        for exponent in EXPONENTS
        for own in OWN_SHARES
    }


def hour(data: Path) -> Hour:
    """The whole trace, under other ttls."""
    times = arrivals(data / "traces", sys.maxsize)
    asked = requests(data / "faq", times)
    return Hour(len(times), times[-1] / 60, {minutes: repeated(asked, 60 * minutes) for minutes in TTL_MINUTES})


def main() -> None:
    """Replays, and writes the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared/data", help="where faq and traces are")
    parser.add_argument("--requests", type=int, default=8000, help="of the trace's first")
    parser.add_argument("--compress", type=float, default=15.0, help="by how much time is divided")
    parser.add_argument("--litellm-compress", type=float, default=5.0, help="the same for LiteLLM, which is slower")
    parser.add_argument("--pairs", type=int, default=200, help="of each kind")
    parser.add_argument("--litellm", default="", metavar="PROGRAM", help="LiteLLM's, to be measured beside Merit")
    parser.add_argument("--output", type=Path, default=ROOT / "docs/cache.md")
    options = parser.parse_args()
    if shutil.which("redis-server") is None:
        raise SystemExit("redis-server is missing: tests/redis/install.sh installs it")
    machine = describe()
    times = arrivals(options.data / "traces", options.requests)
    asked, found = requests(options.data / "faq", times), pairs(options.data / "faq", options.pairs)
    rows = []
    for setup in setups(options.litellm):
        rows.append(measured(setup, asked, found, options))
        print(rows[-1], flush=True)
    most = repeated(asked, TTL_SECONDS)
    counted = laws(options.data / "faq", times), hour(options.data), most
    options.output.write_text(
        page(rows, *counted, times[-1], options.compress, options.litellm_compress, TTL_SECONDS / 60, machine)
    )
    print(f"wrote {options.output}")


LITELLM = """\
model_list:
  - model_name: support
    litellm_params: {{model: openai/gpt-4o-mini, api_base: "http://127.0.0.1:{vendor}/v1", api_key: sk-fake}}
litellm_settings:
  cache: true
  cache_params: {{type: redis, host: 127.0.0.1, port: {redis}, ttl: {ttl}}}
general_settings: {{master_key: {key}}}
"""

if __name__ == "__main__":
    main()
