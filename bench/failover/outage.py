"""A provider outage of 60 s under load: requests that failed, latency that was added, the way back to the cheapest.

`.venv/bin/python bench/failover/outage.py`. Open loop: a request is sent when it is due, whatever became of the others.
"""

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # modules are bench.something

from bench.failover.peers import Peer, running

_QUESTION = [{"role": "user", "content": "Tell me a joke about opentelemetry"}]
_BEFORE, _AFTER = 20.0, 40.0
_MODEL = "outage"


class Asked(NamedTuple):
    """One request."""

    at: float
    seconds: float
    first: float
    """To its first byte."""
    good: bool
    by_primary: bool


def main() -> int:
    """0: no request failed."""
    options = _options()
    with (
        tempfile.TemporaryDirectory(prefix="merit-outage-") as folder,
        running("Merit", Path(folder), (_MODEL,), None) as peer,
    ):
        if peer is None:
            raise AssertionError("Merit is always there")
        asked = asyncio.run(_load(peer, options.rate, options.seconds))
    return _report(asked, options.rate, options.seconds)


async def _load(peer: Peer, rate: float, outage: float) -> list[Asked]:
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=60)) as session:
        started = time.monotonic()
        control = asyncio.create_task(_outage(session, peer, started, outage))
        tasks = []
        for number in range(int(rate * (_BEFORE + outage + _AFTER))):
            due = started + number / rate
            if (wait := due - time.monotonic()) > 0:
                await asyncio.sleep(wait)
            tasks.append(asyncio.create_task(_ask(session, peer, due, started, stream=number % 2 == 0)))
        await control
        return list(await asyncio.gather(*tasks))


async def _outage(session: aiohttp.ClientSession, peer: Peer, started: float, seconds: float) -> None:
    for at, behaviour in ((_BEFORE, {"status": 503}), (_BEFORE + seconds, {"status": 200})):
        await asyncio.sleep(started + at - time.monotonic())
        async with session.put(f"{peer.primary}/_fake/behaviour", data=json.dumps(behaviour)) as answer:
            answer.raise_for_status()


async def _ask(session: aiohttp.ClientSession, peer: Peer, due: float, started: float, *, stream: bool) -> Asked:
    body: dict[str, Any] = {"model": _MODEL, "messages": _QUESTION, "stream": stream}
    first, good, by = 0.0, False, ""
    try:
        async with session.post(peer.url, headers=peer.headers(_MODEL), json=body) as answer:
            first = time.monotonic() - due
            data = await answer.read()
            by = answer.headers.get("x-merit-model", "")
            end = data.rstrip().endswith(b"data: [DONE]") if stream else data.endswith(b"}")
            good = answer.status == 200 and end and b'"error"' not in data
    except (aiohttp.ClientError, OSError, TimeoutError):
        pass
    return Asked(due - started, time.monotonic() - due, first, good, by == _MODEL)


def _report(asked: list[Asked], rate: float, outage: float) -> int:
    end = _BEFORE + outage
    parts = {
        "before": [a for a in asked if 5 <= a.at < _BEFORE],
        "outage": [a for a in asked if _BEFORE <= a.at < end],
        "after": [a for a in asked if a.at >= end],
    }
    for name, part in parts.items():
        failed = sum(not a.good for a in part)
        taken = sorted(1000 * a.seconds for a in part)
        times = f"p50 {statistics.median(taken):.1f} ms, p99 {taken[int(0.99 * len(taken))]:.1f} ms"
        share = sum(a.by_primary for a in part) / len(part)
        print(f"{name:7} {len(part):6} requests, {failed} failed, {times}, primary {share:.0%}")
    back = next((a.at - end for a in parts["after"] if a.by_primary), None)
    most = next((a.at - end for a in parts["after"] if a.by_primary and _steady(asked, a.at)), None)
    print(f"back: first answer of the primary {back:.1f} s after its recovery, all of them from {most:.1f} s on"
          if back is not None and most is not None else "back: never")  # fmt: skip
    failed = sum(not a.good for a in asked)
    print(f"{len(asked)} requests at {rate:g}/s, half of them streams; {failed} failed")
    return 1 if failed else 0


def _steady(asked: list[Asked], at: float) -> bool:
    part = [a for a in asked if at <= a.at < at + 1]
    return bool(part) and all(a.by_primary for a in part)


class _Options(argparse.Namespace):
    rate: float
    seconds: float


def _options() -> _Options:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=float, default=200.0, help="requests per second")
    parser.add_argument("--seconds", type=float, default=60.0, help="of the outage")
    return parser.parse_args(namespace=_Options())


if __name__ == "__main__":
    sys.exit(main())
