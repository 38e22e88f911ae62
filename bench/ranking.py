"""How long the merit order of one request takes, and what its dimensions cost. Prints microseconds and ratios.

.venv/bin/python bench/ranking.py [--runs 7] [--output FILE]

Each run times every case once, so that a machine that slows down slows all of them; a ratio is that of one run.
"""

import argparse
import json
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # modules are bench.something

from bench.machine import describe
from merit_crds.compile import compile_resources
from merit_crds.manifest import read
from merit_crds.resources import ResourceSet
from merit_dataplane.dispatch.merit_order import merit_order
from merit_dataplane.live import Live
from merit_dataplane.snapshots.tables import Builder, TierPlan
from merit_dataplane.wire.openai_request import Call, Operation, parse

ORDERS = 4_000
"""Per run and case."""
TIERS = "contextTiers: [{above: 100, applies: Whole, prices: {input: '20', output: '40'}}]"
OFF_PEAK = "schedules: [{name: off-peak, percentOff: '50'}]"
CLOCK = (
    "schedules: [{name: off-peak, timeZone: Asia/Shanghai, "
    "windows: [{days: [Monday, Tuesday, Wednesday, Thursday, Friday], from: '18:00', to: '08:30'}]}]"
)
EXCESS = "contextTiers: [{above: 100, applies: Excess, prices: {input: '20'}}]"
PREPAID = """commitments:
    - name: credit
      starts: "2026-01-01T00:00:00Z"
      period: {calendar: Month, timeZone: UTC}
      volume: {prepaid: "9000"}"""
MAX_PRICE = 'maxPrice: {input: "50", output: "50"}'
CEILING = "objectives: {latency: {percentile: P95, total: 30s}}"


def main() -> int:
    """Measures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    cases = {
        "3 candidates": _tier(3),
        "10 candidates": _tier(10),
        "10 candidates, context tiers": _tier(10, tariff=TIERS),
        "10 candidates, context tiers, excess": _tier(10, tariff=EXCESS),
        "10 candidates, schedules": _tier(10, tariff=OFF_PEAK, of_list=CLOCK),
        "10 candidates, a latency ceiling": _tier(10, of_tier=CEILING),
        "10 candidates, a ceiling, 2 endpoints": _tier(10, of_tier=CEILING, endpoints=2),
        "10 candidates, maxPrice": _tier(10, of_route=MAX_PRICE),
        "10 candidates, all of these": _tier(
            10, tariff=f"{TIERS}\n      {OFF_PEAK}", of_list=CLOCK, of_tier=CEILING, of_route=MAX_PRICE
        ),
        "10 candidates, 1 with a commitment": _tier(10, of_first=PREPAID),
        "10 candidates, each with a commitment": _tier(10, of_list=PREPAID),
        "20 candidates": _tier(20),
    }
    body = {"model": "chat", "messages": [{"role": "user", "content": "why? " * 300}], "max_tokens": 400}
    call = parse(Operation.CHAT, json.dumps(body).encode())
    runs: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(options.runs):
        for name, tier in cases.items():
            runs[name].append(_microseconds(tier, call))
    base = runs["10 candidates"]
    for name, took in runs.items():
        ratio = statistics.median(mine / theirs for mine, theirs in zip(took, base, strict=True))
        print(f"{name:40} {statistics.median(took):6.1f} us ({min(took):.1f} to {max(took):.1f}), x {ratio:.2f}")
    if options.output:
        machine = describe()
        text = {"machine": {"cpu": machine.cpu, "cores": machine.cores, "load_average": machine.load_average,
                            "python": machine.python, "date": machine.date, "commit": machine.commit},
                "microseconds": {n: [round(t, 2) for t in took] for n, took in runs.items()}}  # fmt: skip
        options.output.write_text(json.dumps(text, indent=2) + "\n")
    return 0


def _microseconds(tier: TierPlan, call: Call) -> float:
    now, wall = 1000.0, time.time()
    began = time.perf_counter()
    for _ in range(ORDERS):
        order = merit_order(tier, call, now, wall)
    took = time.perf_counter() - began
    if len(order) != len(tier.targets):
        raise AssertionError("every candidate takes part")
    return took / ORDERS * 1e6


def _tier(
    count: int,
    *,
    tariff: str = "",
    of_list: str = "",
    of_first: str = "",
    of_tier: str = "",
    of_route: str = "",
    endpoints: int = 1,
) -> TierPlan:
    """A tier of so many candidates at providers of their own, after some traffic."""
    names = [f"vendor-{n}" for n in range(count)]
    candidates = "".join(f"\n        - {{provider: {{name: {n}}}, model: {n}, accuracy: '0.9'}}" for n in names)
    documents = [
        f"""
apiVersion: merit.dev/v1alpha1
kind: ModelRoute
metadata: {{name: chat, namespace: default}}
spec:
  models: [chat]
  {of_route}
  tiers:
    - name: all
      {of_tier}
      candidates:{candidates}
""",
        """
apiVersion: merit.dev/v1alpha1
kind: Consumer
metadata: {name: web, namespace: default}
spec: {apiKeys: [{name: web, key: apiKey}]}
---
apiVersion: v1
kind: Secret
metadata: {name: web, namespace: default}
stringData: {apiKey: sk-bench-0123456789abcdef}
""",
    ]
    places = ", ".join(f'{{name: e{n}, url: "http://127.0.0.1:9/v{n}"}}' for n in range(endpoints))
    for number, name in enumerate(names):
        documents.append(f"""
apiVersion: merit.dev/v1alpha1
kind: Provider
metadata: {{name: {name}, namespace: default}}
spec: {{protocol: OpenAI, endpoints: [{places}]}}
---
apiVersion: merit.dev/v1alpha1
kind: ProviderPricing
metadata: {{name: {name}, namespace: default}}
spec:
  providerRef: {{name: {name}}}
  {of_list or of_first * (not number)}
  models:
    - model: {name}
      prices: {{input: "{1 + number * 7 % 10}.25", output: "{5 + number * 3 % 10}.5"}}
      {tariff}
""")
    manifest = read("\n---\n".join(documents), source="ranking.yaml")
    if manifest.faults:
        raise AssertionError([str(fault) for fault in manifest.faults])
    result = compile_resources(ResourceSet.of(manifest.resources, manifest.secrets))
    for status in result.statuses.values():
        if status.problems:
            raise AssertionError(f"{status.id}: {status.problems}")
    tier = Builder(result.version, result.snapshot, result.credentials, Live()).build().routes["default/chat"].tiers[0]
    for target in tier.targets:
        for n in range(200):
            for endpoint in target.endpoints if target.chooses else ():
                target.learned.at(endpoint.circuit).total.observe(0.5 + n / 1000, 900.0 + n / 4)
            target.learned.total.observe(0.5 + n / 1000, 900.0 + n / 4)
            target.learned.expected_output.observe(40 + n % 50)
    return tier


if __name__ == "__main__":
    sys.exit(main())
