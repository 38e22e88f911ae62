"""The 16 faults of Failover Bench against Merit, LiteLLM and Portkey in the same run: `make bench-failover`.

LiteLLM and Portkey are installed by `--install` into a folder of their own, outside of the project's lock.
"""

import argparse
import asyncio
import contextlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # modules are bench.something

from bench.failover.faults import FAULTS, Fault
from bench.failover.observed import Observed, ask
from bench.failover.peers import Peer, running
from bench.failover.table import Row, markdown
from bench.failover.verdict import verdict

ROOT = Path(__file__).resolve().parents[2]
_QUESTION = [{"role": "user", "content": "Tell me a joke about opentelemetry"}]
_CLEAN: dict[str, Any] = {
    "latency": 0, "first_token": 0, "chunk_interval": 0, "status": 200, "code": "", "retry_after": "", "fault": "none",
    "chunk": 3, "times": -1, "rejects_prefix": False,
}  # fmt: skip
_MID_STREAM = ("S08", "S09", "S10", "S14")
"""Faults that Merit is scored for with `midStream: Restart`, too."""
_REQUESTS, _EVERY_SECONDS, _OUTAGE_SECONDS = 20, 4.0, 60.0


def main() -> int:
    """0: all gateways that are there were scored; the table says how."""
    options = _options()
    if options.install:
        install(options.peers)
    names = [name for name in ("Merit", "LiteLLM", "Portkey") if not options.only or name in options.only]
    rows = asyncio.run(_all(names, options.peers))
    text = markdown(rows)
    if options.output:
        options.output.write_text(text)
    print(text)
    return 0


def install(peers: Path) -> None:
    """LiteLLM's proxy into a venv, Portkey's gateway by npm."""
    peers.mkdir(parents=True, exist_ok=True)
    subprocess.run([sys.executable, "-m", "venv", str(peers / "litellm")], check=True)
    subprocess.run([str(peers / "litellm/bin/pip"), "install", "--quiet", "litellm[proxy]"], check=True)
    (peers / "portkey").mkdir(exist_ok=True)
    subprocess.run(["npm", "install", "--prefix", str(peers / "portkey"), "@portkey-ai/gateway"], check=True)


async def _all(names: list[str], peers: Path) -> list[Row]:
    return [row for rows in await asyncio.gather(*(_peer(name, peers) for name in names)) for row in rows]


async def _peer(name: str, peers: Path) -> list[Row]:
    models = [f"{fault.name.lower()}-{kind}" for fault in FAULTS for kind in ("stream", "whole")]
    models += ["s15-stream", "s15-whole"]
    if name == "Merit":
        models += [f"{fault.lower()}-restart" for fault in _MID_STREAM]
    with (
        tempfile.TemporaryDirectory(prefix="merit-failover-") as folder,
        tempfile.TemporaryDirectory(prefix="merit-failover-") as other,
    ):
        entered = await asyncio.to_thread(_enter, name, Path(folder), tuple(models), peers)
        outage = await asyncio.to_thread(_enter, name, Path(other), ("s15-stream", "s15-whole"), peers)
        try:
            if entered[0] is None or outage[0] is None:
                print(f"{name}: not installed, left out", file=sys.stderr)
                return []
            one, two = await asyncio.gather(_faults(entered[0]), _outages(outage[0]))
            return [*one, *two]
        finally:
            await asyncio.to_thread(entered[1])
            await asyncio.to_thread(outage[1])


def _enter(name: str, folder: Path, models: tuple[str, ...], peers: Path) -> tuple[Peer | None, Callable[[], None]]:
    stack = contextlib.ExitStack()
    return stack.enter_context(running(name, folder, models, peers)), stack.close


async def _faults(peer: Peer) -> list[Row]:
    rows = []
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as session:
        expected = {stream: await _expected(session, peer, stream=stream) for stream in (True, False)}
        for fault in FAULTS:
            for stream in (True, False):
                if stream or fault.whole is not None:
                    kind = "stream" if stream else "whole"
                    rows.append(await _fault(session, peer, fault, f"{fault.name.lower()}-{kind}", expected[stream]))
            if peer.name == "Merit" and fault.name in _MID_STREAM:
                rows.append(await _fault(session, peer, fault, f"{fault.name.lower()}-restart", expected[True]))
    return rows


async def _expected(session: aiohttp.ClientSession, peer: Peer, *, stream: bool) -> str:
    body = {"model": "any", "messages": _QUESTION, "stream": stream}
    await _behave(session, peer.fallback, {})
    seen = await ask(session, f"{peer.fallback}/v1/chat/completions", {}, body, peer.primary, "none")
    return seen.text


async def _fault(session: aiohttp.ClientSession, peer: Peer, fault: Fault, model: str, expected: str) -> Row:
    whole = model.endswith("-whole")
    await _behave(session, peer.primary, (fault.whole if whole else fault.stream) or {})
    await _behave(session, peer.fallback, fault.fallback)
    body: dict[str, Any] = {"model": model, "messages": _QUESTION, "stream": not whole, "temperature": 0}
    if not whole:
        body["stream_options"] = {"include_usage": True}
    seen = await ask(session, peer.url, peer.headers(model), body, peer.primary, model)
    said, why = verdict(fault, seen, expected)
    await _behave(session, peer.primary, {})
    print(f"{peer.name:8} {model:12} {said:8} {seen.seconds:5.1f} s  {why}", file=sys.stderr, flush=True)
    return Row(fault.name, fault.words, peer.name, peer.version, model.rsplit("-", 1)[1], said, why, seen.seconds)


async def _outages(peer: Peer) -> list[Row]:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as session:
        await _behave(session, peer.primary, {"status": 503})
        started = time.monotonic()

        async def recover() -> None:
            await asyncio.sleep(_OUTAGE_SECONDS)
            await _behave(session, peer.primary, {})

        recovery = asyncio.create_task(recover())
        found = await asyncio.gather(*(_outage(session, peer, kind, started) for kind in ("stream", "whole")))
        await recovery
    return list(found)


async def _outage(session: aiohttp.ClientSession, peer: Peer, kind: str, started: float) -> Row:
    model = f"s15-{kind}"
    seen: list[tuple[float, Observed]] = []
    for number in range(_REQUESTS):
        await asyncio.sleep(max(0.0, started + number * _EVERY_SECONDS - time.monotonic()))
        at = time.monotonic() - started
        body = {"model": model, "messages": _QUESTION, "stream": kind == "stream"}
        seen.append((at, await ask(session, peer.url, peer.headers(model), body, peer.primary, model)))
    failed = sum(not (o.status == 200 and o.finished) for _, o in seen)
    back = next((at - _OUTAGE_SECONDS for at, o in seen if at > _OUTAGE_SECONDS and _by_primary(o)), None)
    words = "503 for 60 s, one request every 4 s"
    why = f"{failed} of {_REQUESTS} failed" if failed else ""
    if back is None:
        why = "; ".join(filter(None, (why, "not back on the primary")))
    said = "pass" if not why else "fail"
    note = why or f"back {back:.0f} s after recovery"
    print(f"{peer.name:8} {model:12} {said:8} {note}", file=sys.stderr, flush=True)
    return Row("S15", words, peer.name, peer.version, kind, said, note, max(o.seconds for _, o in seen))


def _by_primary(seen: Observed) -> bool:
    return seen.status == 200 and bool(seen.text) and not seen.says_model.endswith("fallback")


async def _behave(session: aiohttp.ClientSession, vendor: str, behaviour: dict[str, Any]) -> None:
    async with session.put(f"{vendor}/_fake/behaviour", data=json.dumps(_CLEAN | behaviour)) as answer:
        answer.raise_for_status()


class _Options(argparse.Namespace):
    install: bool
    only: list[str] | None
    peers: Path
    output: Path | None


def _options() -> _Options:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--install", action="store_true", help="install LiteLLM and Portkey into --peers first")
    parser.add_argument("--peers", type=Path, default=Path.home() / ".cache/merit-failover", metavar="DIR")
    parser.add_argument("--only", action="append", metavar="NAME", help="Merit, LiteLLM or Portkey; repeatable")
    parser.add_argument("--output", type=Path, default=ROOT / "docs/failover-table.md", metavar="FILE")
    return parser.parse_args(namespace=_Options())


if __name__ == "__main__":
    sys.exit(main())
