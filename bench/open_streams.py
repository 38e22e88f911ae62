"""10,000 streams open at once through one gateway: memory of each, CPU, how late chunks are. `make bench-streams`.

Vendor and clients are in this process, by hand, since there are as many of them. The vendor writes the time into each
chunk; a chunk's delay is what passes until its client has it, this process's own delays included.
"""

import argparse
import asyncio
import os
import re
import resource
import statistics
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import uvloop

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # modules are bench.something

from bench.gateway import Gateway
from bench.machine import Cores, cores
from bench.places import CHAT_STREAM
from bench.processes import BenchError, pinned

_AT_ONCE = 100
"""Connections that are opened in a twentieth of a second."""
_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n"
    b"x-request-id: req_1\r\n\r\n"
)
_CHUNK = (
    b'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,'
    b'"delta":{"content":"%b"},"logprobs":null,"finish_reason":null}],"usage":null}\n\n'
)
_END = (
    b'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,'
    b'"delta":{},"logprobs":null,"finish_reason":"stop"}],"usage":null}\n\n'
    b'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"m","choices":[],'
    b'"usage":{"prompt_tokens":300,"completion_tokens":60,"total_tokens":360}}\n\n'
    b"data: [DONE]\n\n"
)
_WHOLE = b'{"choices":[{"message":{"content":"x"}}],"usage":{"prompt_tokens":1,"completion_tokens":1}}'
_TOLD = re.compile(rb'"content":"t(\d+) "')


class Run:
    """What has come so far."""

    def __init__(self, interval: float) -> None:
        self.interval = interval
        self.begun = self.done = self.failed = self.shed = 0
        self.why: Counter[bytes] = Counter()
        self.ends = False
        self.measures = False
        self.delays: list[float] = []
        """Seconds."""
        self.chunks = 0
        self.tasks: set[asyncio.Future[None]] = set()


class Vendor(asyncio.Protocol):
    """One connection of the gateway's."""

    def __init__(self, run: Run) -> None:
        self._run, self._got = run, b""
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See Protocol."""
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        """A request is whole when its body is."""
        self._got += data
        head, blank, body = self._got.partition(b"\r\n\r\n")
        found = re.search(rb"content-length: *(\d+)", head, re.IGNORECASE)
        if not blank or found is None or len(body) < int(found[1]):
            return
        self._got = b""
        if b'"stream":true' in body:
            self._transport.write(_HEAD)
            self._tell()
        else:
            self._transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(_WHOLE), _WHOLE))

    def connection_lost(self, _: Exception | None) -> None:
        """See Protocol."""
        if self._timer is not None:
            self._timer.cancel()

    def _tell(self) -> None:
        if self._run.ends:
            self._write(_END)
            self._transport.write(b"0\r\n\r\n")
            return
        self._write(_CHUNK % (b"t%d " % time.monotonic_ns()))
        self._timer = asyncio.get_running_loop().call_later(self._run.interval, self._tell)

    def _write(self, event: bytes) -> None:
        self._transport.write(b"%x\r\n%b\r\n" % (len(event), event))


class Client(asyncio.Protocol):
    """One client, one stream."""

    def __init__(self, run: Run, port: int, request: bytes) -> None:
        self._run, self._port, self._request = run, port, request
        self._began = self._is_done = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Asks."""
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        """Notes when each chunk was sent."""
        run = self._run
        if not self._began:
            self._began = True
            if data.startswith(b"HTTP/1.1 200 OK"):
                run.begun += 1
            elif data.startswith(b"HTTP/1.1 503"):  # while many begin at once: as SDKs do, it comes again
                run.shed += 1
                self._is_done = True
                self._transport.close()
                asyncio.get_running_loop().call_later(1.0, self._again)
            else:
                run.why[data[:30]] += 1
        now = time.monotonic_ns()
        for sent in _TOLD.findall(data):
            run.chunks += 1
            if run.measures:
                run.delays.append((now - int(sent)) / 1e9)
        if b"data: [DONE]" in data:
            self._is_done = True
            run.done += 1
            self._transport.close()

    def connection_lost(self, _: Exception | None) -> None:
        """See Protocol."""
        if not self._is_done:
            self._run.failed += 1

    def _again(self) -> None:
        task = asyncio.ensure_future(connect(self._run, self._port, self._request))
        self._run.tasks.add(task)
        task.add_done_callback(self._run.tasks.discard)


async def connect(run: Run, port: int, request: bytes) -> None:
    """One more client."""
    await asyncio.get_running_loop().create_connection(lambda: Client(run, port, request), "127.0.0.1", port)


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def _measure(options: "_Options", where: Cores) -> int:
    run, loop = Run(options.interval), asyncio.get_running_loop()
    vendor = await loop.create_server(lambda: Vendor(run), "127.0.0.1", 0, backlog=4096)
    with ExitStack() as up:
        folder = Path(up.enter_context(tempfile.TemporaryDirectory(prefix="merit-bench-")))
        with pinned(where.gateway):
            gateway = up.enter_context(Gateway(where, folder, vendor.sockets[0].getsockname()[1]))
        run.ends = True  # what it is asked to see whether it works
        await asyncio.to_thread(gateway.wait_ready)
        run.ends = False
        before = gateway.resident_mib()
        body = CHAT_STREAM.read_bytes()
        key = gateway.target.headers["Authorization"].encode()
        request = (
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: %b\r\ncontent-type: application/json\r\n"
            b"content-length: %d\r\n\r\n%b" % (key, len(body), body)
        )
        run.begun = run.done = run.chunks = run.failed = 0
        started = time.monotonic()
        for opened in range(0, options.streams, _AT_ONCE):
            number = min(_AT_ONCE, options.streams - opened)
            made = [connect(run, gateway.port, request) for _ in range(number)]
            await asyncio.gather(*made)
            await asyncio.sleep(0.05)
        while run.begun + run.failed < options.streams and time.monotonic() < started + 120:  # noqa: ASYNC110 # a bench
            await asyncio.sleep(0.1)
        opening = time.monotonic() - started
        await asyncio.sleep(options.interval)
        with_all, cpu, run.measures, began = gateway.resident_mib(), _cpu_seconds(gateway.pid), True, time.monotonic()
        await asyncio.sleep(options.seconds)
        run.measures, seconds = False, time.monotonic() - began
        cpu, later = _cpu_seconds(gateway.pid) - cpu, gateway.resident_mib()
        run.ends = True
        deadline = time.monotonic() + 60 + 2 * options.interval
        while run.done + run.failed < options.streams and time.monotonic() < deadline:  # noqa: ASYNC110 # as above
            await asyncio.sleep(0.1)
        await asyncio.sleep(1)
        after = gateway.resident_mib()
    vendor.close()
    failed = options.streams - run.done
    delays = sorted(run.delays)
    if not delays:
        raise BenchError(f"no chunks: {run.begun} streams began, {run.failed} failed")
    p50, p99 = statistics.median(delays), delays[int(len(delays) * 0.99)]
    print(f"{where}; load average {', '.join(f'{one:.1f}' for one in os.getloadavg())}")
    print(
        f"{options.streams} streams, opened in {opening:.0f} s, held for {seconds:.0f} s, "
        f"a chunk every {options.interval:g} s"
    )
    print("| what | figure |\n| --- | --- |")
    print(f"| streams that failed | {failed} {dict(run.why) or ''} |")
    print(f"| 503 while they began, tried again after 1 s | {run.shed} |")
    print(f"| resident memory before, with all open, {seconds:.0f} s later, after | "
          f"{before:.0f}, {with_all:.0f}, {later:.0f}, {after:.0f} MiB |")  # fmt: skip
    print(f"| of each stream | {(max(with_all, later) - before) * 1024 / options.streams:.1f} KiB |")
    print(f"| the gateway's CPU | {100 * cpu / seconds:.0f} % of a core, {1e6 * cpu / len(delays):.0f} µs per chunk |")
    print(f"| a chunk's delay: p50, p99, longest | {1e3 * p50:.1f}, {1e3 * p99:.1f}, {1e3 * delays[-1]:.0f} ms |")
    return 1 if failed else 0


class _Options(argparse.Namespace):
    streams: int
    interval: float
    seconds: float


def main() -> int:
    """0: measured; 1: a stream failed; 2: could not be measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=int, default=10_000, metavar="N", help="default: %(default)s")
    parser.add_argument("--interval", type=float, default=3.0, metavar="S", help="between chunks; default: %(default)s")
    parser.add_argument("--seconds", type=float, default=30.0, metavar="S", help="all are open; default: %(default)s")
    options = parser.parse_args(namespace=_Options())
    needed = max(1024, 2 * options.streams + 300)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:  # the gateway inherits it
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, max(needed, hard)))
    except (OSError, ValueError):
        print(f"streams: needs {needed} open files, may have {hard} (ulimit -Hn)", file=sys.stderr)
        return 2
    try:
        where = cores()
        with pinned(where.load), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(_measure(options, where))
    except (BenchError, OSError) as problem:
        print(f"streams: {problem}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
