"""What a request costs beside an earlier commit's: `make bench-against`, or `--help`. README.md says how to read it.

Both gateways run at once, on one core, before one vendor; each is asked in turn. So a slow minute of the machine hits
both, and what counts are the ratios, pair by pair, of the CPU time that each used per request.
"""

import argparse
import os
import signal
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # modules are bench.something

from bench import loadgen
from bench.gateway import Gateway
from bench.loadgen import Load, Mock, Run
from bench.machine import Cores, cores
from bench.places import CHAT, CHAT_STREAM, ROOT
from bench.processes import BenchError

BEFORE_CONTINUATION = "d2bd2e9"
"""The last commit whose streams broke off where their provider did; its attempts had neither budgets nor circuits."""
LOADS = {
    "whole": ("a whole answer", 0, 64, CHAT),
    "streamed": ("a stream, chunks without a pause", 0, 32, CHAT_STREAM),
    "paced": ("a stream, a chunk every 10 ms", 10, 128, CHAT_STREAM),
}
"""What is asked for, milliseconds between chunks, connections, the request."""


@contextmanager
def checked_out(commit: str) -> Iterator[Path]:
    """A commit's files, in a folder of their own, until the block ends. Raises BenchError."""
    with tempfile.TemporaryDirectory(prefix="merit-commit-") as name:
        archive = subprocess.run(["git", "archive", commit], cwd=ROOT, capture_output=True, check=False)
        if archive.returncode != 0:
            raise BenchError(f"no such commit: {archive.stderr.decode(errors='replace').strip()}")
        subprocess.run(["tar", "-x", "-C", name], input=archive.stdout, check=True)
        yield Path(name)


def measure(kind: str, earlier: Path, where: Cores, *, pairs: int, seconds: float) -> list[tuple[Run, Run]]:
    """Pairs of runs: now, earlier. Raises BenchError when a request failed: such runs say nothing."""
    name, interval, connections, body = LOADS[kind]
    load = Load(body, connections, seconds, 1.0, stream=kind != "whole")
    made: list[tuple[Run, Run]] = []
    with ExitStack() as up:
        folders = [Path(up.enter_context(tempfile.TemporaryDirectory(prefix="merit-bench-"))) for _ in range(3)]
        mock = up.enter_context(Mock(where, folders[0], chunk_interval_ms=interval))
        mock.wait_ready()
        now = up.enter_context(Gateway(where, folders[1], mock.port))
        then = up.enter_context(Gateway(where, folders[2], mock.port, code=earlier))
        for gateway in (now, then):
            gateway.wait_ready()
            loadgen.run(gateway.target, load, where)  # not counted: both have seen the load
        for number in range(pairs):
            order = (now, then) if number % 2 == 0 else (then, now)  # who comes first gains nothing by it
            runs = {gateway: loadgen.run(gateway.target, load, where) for gateway in order}
            for gateway, run in runs.items():
                if run.errors or not run.requests or not run.cpu.process_seconds:
                    raise BenchError(f"{name}: {run.requests} answers, failed: {run.errors}\n{gateway.log()}")
            made.append((runs[now], runs[then]))
    return made


def _milliseconds(run: Run) -> float:
    return run.cpu.process_seconds * 1000 / run.requests


def _told(kind: str, runs: list[tuple[Run, Run]]) -> tuple[str, float]:
    ratios = [_milliseconds(now) / _milliseconds(then) for now, then in runs]
    now, then = (statistics.median(_milliseconds(pair[side]) for pair in runs) for side in (0, 1))
    middle = statistics.median(ratios)
    return (
        f"| {LOADS[kind][0]} | {then:.3f} | {now:.3f} | {middle:.3f} | {min(ratios):.3f} to {max(ratios):.3f} |"
        f" {len(ratios)} | {sum(pair[0].requests for pair in runs)} |"
    ), middle


def main() -> int:
    """0: measured; 1: measured, and a median ratio is above --at-most; 2: could not be measured."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the children are stopped then, too
    options = _options()
    where = cores()
    try:
        loadgen.build()
        rows = []
        with checked_out(options.commit) as earlier:
            for kind in options.only or LOADS:
                print(f"  {kind}: {options.pairs} pairs", file=sys.stderr, flush=True)
                runs = measure(kind, earlier, where, pairs=options.pairs, seconds=options.seconds)
                rows.append(_told(kind, runs))
    except (BenchError, OSError) as problem:
        print(f"against: {problem}", file=sys.stderr)
        return 2
    print(f"{where}; load average {', '.join(f'{one:.1f}' for one in os.getloadavg())}; against {options.commit}\n")
    print("| request | CPU ms then | CPU ms now | ratio, median | range | pairs | requests |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    print("\n".join(row for row, _ in rows))
    return 1 if any(ratio > options.at_most for _, ratio in rows) else 0


class _Options(argparse.Namespace):
    commit: str
    pairs: int
    seconds: float
    only: list[str] | None
    at_most: float


def _options() -> _Options:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--commit", default=BEFORE_CONTINUATION, help="to compare with; default: %(default)s")
    parser.add_argument("--pairs", type=int, default=7, metavar="N", help="of runs of each kind; default: %(default)s")
    parser.add_argument("--seconds", type=float, default=4.0, metavar="S", help="of one run; default: %(default)s")
    parser.add_argument("--only", action="append", choices=LOADS, help="this kind; may be given several times")
    parser.add_argument(
        "--at-most", type=float, default=float("inf"), metavar="RATIO", help="exit with 1 if a median is above it"
    )
    return parser.parse_args(namespace=_Options())


if __name__ == "__main__":
    sys.exit(main())
