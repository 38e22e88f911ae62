"""Measures Merit: `make bench`, or `.venv/bin/python bench/run.py --help`. README.md says what the figures mean."""

import argparse
import signal
import sys
from pathlib import Path

import msgspec

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # modules are bench.something

from bench import loadgen, scenarios
from bench.figures import Results
from bench.machine import BUSY_LOAD, Cores, cores, describe
from bench.places import RESULTS
from bench.processes import BenchError
from bench.report import comparison, table
from bench.stack import Watch

SCENARIOS = ("full_pipeline", "protocols", "cache_hits", "slow_upstream", "added_latency", "streaming")
METHOD = (
    "{cores}. Loopback, keep-alive, Go mock and load generator. full_pipeline: closed loop, {connections} "
    "connections, a chat request of 300 tokens with a number of its own, consumer authentication, three priced "
    "candidates; rounds of direct, Go reverse proxy and Merit, {runs} of {seconds:g} s each after {warmup:g} s of"
    " warm-up. requests_per_core_second = complete, correct answers per second of the gateway pinned to one core:"
    " median, min and max of the runs. requests_per_cpu_second = the same per CPU second (user + system, all "
    "threads) that it used. added_latency: open loop, counted from the intended send time, gateway minus direct, "
    "percentile by percentile."
)


def main() -> int:
    """0: measured; 1: measured, but requests failed; 2: could not be measured."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the children are stopped then, too
    options = _options()
    where = cores()
    watch = Watch()
    settings = scenarios.Settings(
        seconds=1.0 if options.quick else 4.0,
        warmup_seconds=0.5 if options.quick else 1.0,
        runs=5,
        stream_runs=3,
        stand_in=options.stand_in,
        cores=where,
        watch=watch,
        before=options.before and options.before.absolute(),
    )
    results = Results(
        gateway="go_reverse_proxy (stand-in)" if options.stand_in else "merit",
        quick=options.quick,
        machine=describe(),
        method=_method(where, settings),
    )
    print(f"{results.machine.cpu}, {where}")
    if results.machine.load_average[0] > BUSY_LOAD:
        watch.problems.append(f"the machine was busy at the start: load average {results.machine.load_average[0]}")
    try:
        baseline = options.baseline.read_bytes() if options.baseline else None
        loadgen.build()
        _measure(results, settings, options.only or SCENARIOS)
    except (BenchError, OSError) as problem:
        print(f"bench: {problem}", file=sys.stderr)
        return 2
    results.failed_requests, results.problems = watch.failed_requests, watch.problems
    options.output.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=2) + b"\n")
    print(f"\n{table(results)}")
    if baseline is not None:
        print(f"\n{comparison(results, baseline)}")
    print(f"\n{options.output}: written; {watch.failed_requests} failed requests")
    return 1 if watch.failed_requests else 0


def _measure(results: Results, settings: scenarios.Settings, names: tuple[str, ...] | list[str]) -> None:
    if "full_pipeline" in names:
        results.full_pipeline, results.go_reverse_proxy, results.direct = scenarios.full_pipeline(settings)
    if "protocols" in names and not settings.stand_in:
        results.protocols = scenarios.protocols(settings)
    if "cache_hits" in names:
        results.cache_hits = scenarios.cache_hits(settings)
    if "slow_upstream" in names:
        results.slow_upstream = scenarios.slow_upstream(settings)
    if "added_latency" in names:
        results.added_latency = scenarios.added_latency(settings)
    if "streaming" in names:
        results.streaming = scenarios.streaming(settings)


def _method(where: Cores, settings: scenarios.Settings) -> str:
    return METHOD.format(
        cores=str(where)[0].upper() + str(where)[1:],
        connections=scenarios.CONNECTIONS,
        runs=settings.runs,
        seconds=settings.seconds,
        warmup=settings.warmup_seconds,
    )


class _Options(argparse.Namespace):
    quick: bool
    only: list[str] | None
    stand_in: bool
    baseline: Path | None
    output: Path
    before: Path | None


def _options() -> _Options:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="runs of 1 s: shows that it works, not how fast it is")
    parser.add_argument("--only", action="append", choices=SCENARIOS, help="this scenario; may be given several times")
    parser.add_argument("--baseline", type=Path, metavar="FILE", help="an earlier results.json to compare with")
    parser.add_argument(
        "--before",
        type=Path,
        metavar="MERIT",
        help="an older version's program: `protocols` measures it beside this one",
    )
    parser.add_argument("--output", type=Path, default=RESULTS, metavar="FILE", help="default: bench/results.json")
    parser.add_argument("--stand-in", action="store_true", help="measure Go's reverse proxy in Merit's place")
    return parser.parse_args(namespace=_Options())


if __name__ == "__main__":
    sys.exit(main())
