"""How fast scores find out what a model is worth: a tier of two, over many months of chance. Prints a table.

.venv/bin/python bench/feedback.py [--seeds 40] [--requests 10000] [--scored 0.2] [--stated 0.95]

The cheap candidate's true accuracy is that of the row; the other is nine times dearer and meets the floor of 0.9.
Requests come at 2,000 a day over a virtual clock, scores 200 requests later. Only the network is missing: the merit
order, the exploration and the beliefs are those that serve.
"""

import argparse
import random
import statistics
import sys
from collections import deque
from dataclasses import dataclass
from math import ceil
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # modules are bench.something

from merit_crds.compile import compile_resources
from merit_crds.manifest import read
from merit_crds.resources import ResourceSet
from merit_dataplane.dispatch.merit_order import merit_order
from merit_dataplane.dispatch.placement import placed
from merit_dataplane.feedback.resolve import settle
from merit_dataplane.feedback.tally import MILLION, Tally
from merit_dataplane.live import Live
from merit_dataplane.snapshots.tables import Builder, TierPlan
from merit_dataplane.wire.openai_request import Operation, parse

FLOOR, OTHER = 0.9, 0.98
TRUTHS = (0.6, 0.7, 0.8, 0.85, 0.88, 0.91, 0.93, 0.95, 0.97)
SECONDS = 86_400 / 2_000
LATE = 200
CALL = parse(Operation.CHAT, b'{"model": "chat", "messages": [{"role": "user", "content": "hi"}]}')
RESOURCES = """
apiVersion: merit.dev/v1alpha1
kind: ModelRoute
metadata: {{name: chat, namespace: default}}
spec:
  models: [chat]
  tiers:
    - name: all
      candidates:
        - {{provider: {{name: cheap}}, model: cheap, accuracy: "{stated}"}}
        - {{provider: {{name: dear}}, model: dear, accuracy: "0.98"}}
      objectives: {{accuracy: "0.9"}}
"""
VENDOR = """
apiVersion: merit.dev/v1alpha1
kind: Provider
metadata: {{name: {name}, namespace: default}}
spec: {{protocol: OpenAI, endpoints: [{{name: main, url: "http://127.0.0.1:9/v1"}}]}}
---
apiVersion: merit.dev/v1alpha1
kind: ProviderPricing
metadata: {{name: {name}, namespace: default}}
spec:
  providerRef: {{name: {name}}}
  models: [{{model: {name}, prices: {{input: "{usd}", output: "{usd}"}}}}]
"""


@dataclass
class Month:
    """What one seed gave."""

    left_after: int
    """Scores of the cheap one until it was first left; -1: never."""
    cheap: float
    """Share of the requests that it served."""
    explored: float


def main() -> int:
    """Simulates."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=40)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--scored", type=float, default=0.2, help="share of answers that get a score")
    parser.add_argument("--stated", default="0.95", help="accuracy that the route states for the cheap one")
    options = parser.parse_args()
    print("| true accuracy | ever left | scores until then, median (p90) | below the floor | dearer than needed |")
    print("| --- | --- | --- | --- | --- |")
    for truth in TRUTHS:
        months = [month(truth, options, seed) for seed in range(options.seeds)]
        left = sorted(m.left_after for m in months if m.left_after >= 0)
        until = f"{statistics.median(left):.0f} ({left[ceil(0.9 * len(left)) - 1]})" if left else "never"
        cheap = statistics.mean(m.cheap for m in months)
        below, dear = (f"{cheap:.1%}", "none") if truth < FLOOR else ("none", f"{1 - cheap:.1%}")
        print(f"| {truth} | {len(left)} of {len(months)} | {until} | {below} | {dear} |")
    return 0


def month(truth: float, options: argparse.Namespace, seed: int) -> Month:
    """One seed's requests."""
    chance, now = random.Random(seed), 1_800_000_000.0
    tier, tallies = plan(options.stated), {"cheap": Tally(), "dear": Tally()}
    waiting: deque[tuple[int, str, float, int]] = deque()
    cheap = explored = scored = 0
    left_after = -1
    for number in range(options.requests):
        now += SECONDS
        order = merit_order(tier, CALL, 1000.0, 0.0)
        if tier.places or tier.recovering:
            order, why = placed(tier, order, CALL, 1000.0, chance.randrange(MILLION), chance.randrange(MILLION))
            explored += bool(why)
        who = order[0].target.model
        cheap += who == "cheap"
        if who != "cheap" and left_after < 0:
            left_after = scored
        if chance.random() < options.scored:
            right = chance.random() < (truth if who == "cheap" else OTHER)
            waiting.append((number + LATE, who, now, MILLION if right else 0))
        while waiting and waiting[0][0] <= number:
            _, whose, answered_at, score = waiting.popleft()
            tallies[whose].score(answered_at, score, None)
            scored += whose == "cheap"
            target = next(t for t in tier.targets if t.model == whose)
            settle(tier, target, tallies[whose], now)
    return Month(left_after, cheap / options.requests, explored / options.requests)


def plan(stated: str) -> TierPlan:
    """The tier, as a pod has it."""
    vendors = [VENDOR.format(name=name, usd=usd) for name, usd in (("cheap", "1"), ("dear", "9"))]
    manifest = read("\n---\n".join([RESOURCES.format(stated=stated), *vendors]), source="feedback.yaml")
    result = compile_resources(ResourceSet.of(manifest.resources, manifest.secrets))
    tables = Builder(result.version, result.snapshot, result.credentials, Live()).build()
    return tables.routes["default/chat"].tiers[0]


if __name__ == "__main__":
    sys.exit(main())
