"""A month of a prepaid volume under four rules of pacing, against the plan that hindsight would make.

.venv/bin/python bench/commitments.py [--data DIR] [--requests 40000] [--seeds 3] [--page FILE]

The merit order, the prices, what is drawn and Merit's pace are the data plane's own; only the clock is simulated. Hours
are ServeGen's, sizes are Azure's, both in `../shared/data` (see its README).
"""

import argparse
import csv
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from msgspec.structs import replace

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # modules are bench.something

from bench.finsync import hours
from bench.machine import describe
from merit_crds.compile import compile_resources
from merit_crds.manifest import read
from merit_crds.pricing import Usage, price_details
from merit_crds.pricing.cost import PICO
from merit_crds.resources import ResourceSet
from merit_dataplane.commitments.account import CommitmentAccount
from merit_dataplane.commitments.draws import learn, settle
from merit_dataplane.dispatch.committed import ask
from merit_dataplane.dispatch.merit_order import merit_order
from merit_dataplane.live import Live
from merit_dataplane.snapshots.tables import Builder, TierPlan
from merit_dataplane.wire.openai_request import Operation, parse

START = 1_780_272_000
"""2026-06-01."""
SECONDS = 30 * 86_400
KINDS = {"easy": (0.6, "0.15", "0.60"), "medium": (0.25, "0.40", "1.60"), "hard": (0.15, "", "")}
"""Share of requests, and what the model besides the committed one asks; hard ones have no other."""
LIST = ("2.50", "10.00")
VOLUMES = (0.1, 0.25, 0.5, 1.0, 2.0)
"""Of what hard and medium requests together cost by the committed model's list."""
SHARES = [share for share, _, _ in KINDS.values()]
PRECISE = 10**6


class Request(NamedTuple):
    """One of the month."""

    at: float
    kind: str
    input: int
    output: int


def month(data: Path, count: int, seed: int) -> list[Request]:
    """Requests of 30 days, in order."""
    random = np.random.default_rng(seed)
    shape = np.array(hours(data / "traces/servegen/m-small"), np.float64)
    per_hour = np.resize(shape, SECONDS // 3600)
    when = random.choice(len(per_hour), count, p=per_hour / per_hour.sum()) * 3600 + random.random(count) * 3600
    with (data / "traces/azure2023/data/AzureLLMInferenceTrace_conv.csv").open() as file:
        rows = [(int(row["ContextTokens"]), int(row["GeneratedTokens"])) for row in csv.DictReader(file)]
    chosen = random.integers(0, len(rows), count)
    kinds = random.choice(list(KINDS), count, p=SHARES)
    return [
        Request(START + float(at), str(kind), max(1, rows[row][0]), max(1, rows[row][1]))
        for at, kind, row in zip(np.sort(when), kinds, chosen, strict=True)
    ]


def tiers(prepaid_usd: float) -> dict[str, TierPlan]:
    """A tier for each kind."""
    listed, routes = [], []
    for kind, (_, of_input, of_output) in KINDS.items():
        candidates = ["{provider: {name: vendor}, model: committed}"]
        if of_input:
            listed.append(f'    - {{model: {kind}, prices: {{input: "{of_input}", output: "{of_output}"}}}}')
            candidates.append(f"{{provider: {{name: vendor}}, model: {kind}}}")
        routes.append(f"""
apiVersion: merit.dev/v1alpha1
kind: ModelRoute
metadata: {{name: {kind}, namespace: default}}
spec: {{models: [{kind}], tiers: [{{name: all, candidates: [{", ".join(candidates)}]}}]}}
""")
    models = "\n".join(listed)
    text = f"""
apiVersion: merit.dev/v1alpha1
kind: Provider
metadata: {{name: vendor, namespace: default}}
spec: {{protocol: OpenAI, endpoints: [{{name: main, url: "http://127.0.0.1:9/v1"}}]}}
---
apiVersion: merit.dev/v1alpha1
kind: ProviderPricing
metadata: {{name: vendor, namespace: default}}
spec:
  providerRef: {{name: vendor}}
  commitments:
    - name: credit
      models: [committed]
      starts: "2026-01-01T00:00:00Z"
      period: {{calendar: Month, timeZone: UTC}}
      volume: {{prepaid: "{prepaid_usd:.6f}"}}
  models:
    - {{model: committed, prices: {{input: "{LIST[0]}", output: "{LIST[1]}"}}}}
{models}
"""
    manifest = read("\n---\n".join([text, *routes]), source="commitments.yaml")
    result = compile_resources(ResourceSet.of(manifest.resources, manifest.secrets))
    for status in result.statuses.values():
        if status.problems:
            raise AssertionError(f"{status.id}: {status.problems}")
    plan = Builder(result.version, result.snapshot, result.credentials, Live()).build()
    return {kind: plan.routes[f"default/{kind}"].tiers[0] for kind in KINDS}


Pace = Callable[[CommitmentAccount, float], None]
merits_own: Pace = CommitmentAccount._set_pace  # noqa: SLF001 # the rule that is judged


def greedy(account: CommitmentAccount, now: float) -> None:  # noqa: ARG001 # a Pace
    """Free while it lasts."""
    account.pace = 0


def line(account: CommitmentAccount, now: float) -> None:
    """Free while less of it is used than time has passed."""
    used = account.drawn / max(1, account.volume)
    account.pace = 0 if used <= (now - START) / SECONDS else 10 * PRECISE


def descent(step: float) -> Pace:
    """Dual descent: the price rises with what is drawn, and falls with time; `step` is fitted by trying."""
    seen = [0, float(START)]

    def pace(account: CommitmentAccount, now: float) -> None:
        drawn, before = account.drawn - seen[0], seen[1]
        seen[0], seen[1] = account.drawn, now
        even = account.volume * (now - before) / SECONDS
        account.pace = max(0, round(account.pace + step * PRECISE * (drawn - even) / account.volume))

    return pace


def replayed(requests: list[Request], plans: dict[str, TierPlan], pace: Pace) -> tuple[float, float]:
    """USD charged at the margin, and the share of the volume that was drawn."""
    call = parse(Operation.CHAT, b'{"model": "x", "messages": [{"role": "user", "content": "?"}]}')
    clock = [0.0]
    real, time.time = time.time, lambda: clock[0]
    CommitmentAccount._set_pace = pace  # type: ignore[method-assign, assignment]  # noqa: SLF001
    charged = 0
    try:
        for request in requests:
            clock[0] = request.at
            tier = plans[request.kind]
            order = merit_order(tier, replace(call, input_tokens=request.input), request.at, request.at)
            ask(order, request.at)
            bid, usage = order[0], Usage(request.input, request.output)
            cost = price_details(bid.charge, usage)
            if bid.target.commitments:
                cost, draws = settle(bid.target.commitments, cost, usage, (), standard=True)
                if bid.committed is not None:
                    learn(bid.committed, draws)
            bid.target.learned.expected_output.observe(request.output)
            charged += cost.total
    finally:
        time.time, CommitmentAccount._set_pace = real, merits_own  # type: ignore[method-assign, assignment]  # noqa: SLF001
    (account,) = plans["hard"].targets[0].commitments
    return charged / PICO, account.drawn / account.volume


def costs(request: Request) -> tuple[float, float]:
    """USD on the committed model by its list, and on the cheapest without a commitment."""

    def on(of_input: str, of_output: str) -> float:
        return (request.input * float(of_input) + request.output * float(of_output)) / 10**6

    _, of_input, of_output = KINDS[request.kind]
    there = on(*LIST)
    return there, on(of_input, of_output) if of_input else there


def hindsight(requests: list[Request], prepaid: float) -> float:
    """USD charged at the margin by the best plan that knows all requests: whoever gains most by unit draws first."""
    priced = sorted((costs(request) for request in requests), key=lambda pair: -pair[1] / pair[0])
    left, charged = prepaid, 0.0
    for there, elsewhere in priced:
        part = min(1.0, left / there)
        left -= part * there
        charged += elsewhere * (1 - part)
    return charged


def measured(requests: list[Request], part: float) -> Iterator[tuple[str, float, float]]:
    """(rule, percent dearer than hindsight's bill, share drawn). The bill is the prepaid amount and what is charged."""
    prepaid = part * sum(costs(r)[0] for r in requests if r.kind != "easy")
    best = prepaid + hindsight(requests, prepaid)

    def regret(pace: Pace) -> tuple[float, float]:
        charged, used = replayed(requests, tiers(prepaid), pace)
        return 100 * ((prepaid + charged) / best - 1), used

    yield ("no pace", *regret(greedy))
    yield ("along a line", *regret(line))
    yield ("dual descent, the best of 4 steps", *min(regret(descent(step)) for step in (0.3, 3, 30, 300)))
    yield ("Merit's", *regret(merits_own))


def main() -> int:
    """Measures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(__file__).resolve().parents[2] / "shared/data")
    parser.add_argument("--requests", type=int, default=40_000)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    found: dict[tuple[str, float], list[tuple[float, float]]] = {}
    for seed in range(options.seeds):
        requests = month(options.data, options.requests, seed)
        for part in VOLUMES:
            for rule, percent, used in measured(requests, part):
                found.setdefault((rule, part), []).append((percent, used))
    rules = list(dict.fromkeys(rule for rule, _ in found))
    print("| volume | " + " | ".join(rules) + " |")
    print("| ---: |" + " ---: |" * len(rules))
    for part in VOLUMES:
        cells = []
        for rule in rules:
            percents, shares = zip(*found[rule, part], strict=True)
            spread = f"{min(percents):.2f} to {max(percents):.2f}"
            cells.append(
                f"{statistics.median(percents):.2f} % ({spread}), {100 * statistics.median(shares):.0f} % used"
            )
        print(f"| {part:g} | " + " | ".join(cells) + " |")
    machine = describe()
    print(f"\n{options.requests:,} requests a month, {options.seeds} seeds, commit {machine.commit}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
