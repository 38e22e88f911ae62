"""How long `merit plan` takes: 10 million requests, one core. Prints each run, the median and the range.

.venv/bin/python bench/plan.py [--requests 10000000] [--runs 5] [--prefixed 0.3]

`--prefixed` of the requests begin with one of 5,000 prompts of 2,000 tokens. One candidate of the tier `complex` is the
cheapest where it has that prompt in its cache, another where not: all of these are gone through in the order of time.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl

ROOT = Path(__file__).parents[1]
RESOURCES = ROOT / "examples/quickstart/resources"
_CUT = ('input: "0.15"', 'input: "0.03"')
_WARM = ('input: "0.10"', 'input: "0.11"')
_MERIT = Path(sys.executable).with_name("merit")


def trace(path: Path, requests: int, prefixed: float) -> None:
    """A month of made-up requests: log-normal sizes around 300 in and 60 out, some streams, some with tools."""
    random = np.random.default_rng(1)
    seconds = np.sort(random.random(requests)) * 30 * 86_400
    shared = random.random(requests) < prefixed
    names = np.where(shared, random.integers(1, 5001, requests), 0)
    kinds = random.choice(3, requests, p=[0.6, 0.3, 0.1]).tolist()
    pl.DataFrame({
        "format": np.ones(requests, np.int64),
        "time": np.floor((1.78e9 + seconds) * 1000) / 1000,
        "route": pl.repeat("default/support", requests, eager=True),
        "tier": pl.Series(random.choice(2, requests)).replace_strict({0: "simple", 1: "complex"}),
        "input_tokens": np.maximum(1, random.lognormal(5.7, 0.9, requests)).astype(np.int64) + 2000 * shared,
        "output_tokens": np.maximum(1, random.lognormal(4.1, 0.7, requests)).astype(np.int64),
        "duration": np.round(random.lognormal(0, 0.5, requests), 4),
        "features": pl.Series(kinds).replace_strict({0: "", 1: "Streaming", 2: "Tools"}).str.split(" "),
        "prefix": pl.Series(names).cast(pl.String).replace("0", ""),
        "prefix_tokens": 2000 * shared.astype(np.int64),
    }).write_parquet(path)  # fmt: skip


def main() -> int:
    """Measures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=10_000_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--prefixed", type=float, default=0.0)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        after, file = Path(folder) / "after", Path(folder) / "trace.parquet"
        after.mkdir()
        for source in RESOURCES.glob("*.yaml"):
            text = source.read_text()
            (after / source.name).write_text(text.replace(*(_WARM if args.prefixed else _CUT)))
        trace(file, args.requests, args.prefixed)
        took = []
        core = min(os.sched_getaffinity(0))
        for run in range(args.runs):
            began, spent = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
            subprocess.run(
                [_MERIT, "plan", "--before", RESOURCES, "--after", after, "--trace", file, "--markdown", os.devnull],
                check=True,
                env={**os.environ, "POLARS_MAX_THREADS": "1"},
                preexec_fn=lambda: os.sched_setaffinity(0, {core}),
            )
            took.append(time.perf_counter() - began)
            now = resource.getrusage(resource.RUSAGE_CHILDREN)
            cpu = now.ru_utime + now.ru_stime - spent.ru_utime - spent.ru_stime
            print(
                f"run {run + 1}: {took[-1]:.1f} s, {cpu:.1f} CPU s, peak memory {now.ru_maxrss / 1024:.0f} MiB",
                flush=True,
            )
        print(
            f"{args.requests:,} requests: median {statistics.median(took):.1f} s, {min(took):.1f} to {max(took):.1f} s"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
