"""Which of two models is the cheaper one: every pair of a real price list, by Merit and by other routers' rules.

.venv/bin/python bench/pairs.py [--data ../shared/data] [--output docs/pairs.md]

Portkey's price files go through `merit prices import`'s reader and writer, through compile, and through the pricing
that the data plane uses. The truth is another way: fractions, straight from the numbers in Portkey's files.
"""

import argparse
import csv
import json
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from merit_crds.compile.translate import translate
from merit_crds.manifest import read
from merit_crds.pricing import Usage, price_details
from merit_crds.snapshot import ModelPrice, PricingEntry
from merit_dataplane.price_lists import portkey
from merit_dataplane.price_lists.quote import Unsaid
from merit_dataplane.price_lists.writing import resources
from merit_dataplane.price_lists.yaml_text import yaml_text

ROOT = Path(__file__).parents[1]
CLOSE = (Fraction(102, 100), Fraction(150, 100))
"""Costs whose ratio is within these are where models compete."""


@dataclass(frozen=True)
class Point:
    """One model's text prices, as two witnesses have them."""

    name: str
    compiled: ModelPrice
    input: Fraction
    output: Fraction
    cached: Fraction | None
    """The truth: USD per million tokens."""


@dataclass(frozen=True)
class Request:
    """A shape of request."""

    name: str
    input: int
    output: int
    cached: int = 0

    @property
    def usage(self) -> Usage:
        """In disjoint classes."""
        return Usage(self.input - self.cached, self.output, self.cached)

    def truth(self, point: Point) -> Fraction:
        """What it costs, in millionths of a USD."""
        cached = point.cached if point.cached is not None else point.input
        return (self.input - self.cached) * point.input + self.cached * cached + self.output * point.output


REQUESTS = (
    Request("300 in, 60 out", 300, 60),
    Request("3,000 in, 90 % cached, 60 out", 3000, 60, cached=2700),
    Request("300 in, 300 out", 300, 300),
)
Rule = Callable[[Point, Request], Fraction]
RULES: dict[str, Rule] = {
    "Merit": lambda point, request: Fraction(price_details(point.compiled, request.usage).total),
    "input + output, one to one (LiteLLM, GoModel)": lambda point, _: point.input + point.output,
    "input alone (vLLM's router)": lambda point, _: point.input,
}


def points(files: Iterable[Path]) -> list[Point]:
    """Distinct text prices of Portkey's files; free models and those without one of the two prices are left out."""
    found: dict[tuple[Fraction, Fraction, Fraction | None], Point] = {}
    for file in files:
        document = json.loads(file.read_text(), parse_float=Decimal, parse_int=Decimal)
        unsaid: list[Unsaid] = []
        made = list(
            resources(portkey.read(document, file.stem).quotes, name=file.stem, provider=file.stem, unsaid=unsaid)
        )
        compiled = dict(_compiled(yaml_text(made, "bench") if made else ""))
        for model, entry in document.items():
            prices = (entry.get("pricing_config") or {}).get("pay_as_you_go") or {}
            cents = {name: value.get("price") for name, value in prices.items() if isinstance(value, dict)}
            given, written = cents.get("request_token"), cents.get("response_token")
            if model not in compiled or not given or not written:
                continue
            cached = cents.get("cache_read_input_token")
            key = (_million(given), _million(written), _million(cached) if cached else None)
            found.setdefault(key, Point(f"{file.stem} {model}", compiled[model], *key))
    return sorted(found.values(), key=lambda point: point.name)


def _compiled(text: str) -> Iterator[tuple[str, ModelPrice]]:
    for resource in read(text, source="portkey").resources:
        entry = translate(resource)
        if not isinstance(entry, PricingEntry):
            raise AssertionError(f"{resource.id}: {entry}")
        yield from entry.models.items()


def _million(cents: Any) -> Fraction:
    return Fraction(cents) / 100 * 10**6


def close_pairs(listed: list[Point], request: Request) -> list[tuple[Point, Point]]:
    """Pairs of which one is 2 to 50 % dearer for this request; the cheaper one is first."""
    low, high = CLOSE
    priced = sorted(((request.truth(point), point) for point in listed), key=lambda pair: (pair[0], pair[1].name))
    return [(a, b) for (cost_a, a), (cost_b, b) in combinations(priced, 2) if low <= cost_b / cost_a <= high]


def wrong(pairs: list[tuple[Point, Point]], rule: Rule, request: Request) -> int:
    """Pairs that the rule ranks the wrong way round, or can't tell apart."""
    scores: dict[int, Fraction] = {}

    def score(point: Point) -> Fraction:
        if id(point) not in scores:
            scores[id(point)] = rule(point, request)
        return scores[id(point)]

    return sum(score(cheaper) >= score(dearer) for cheaper, dearer in pairs)


def regret(pairs: list[tuple[Point, Point]], sizes: np.ndarray[Any, Any]) -> dict[str, float]:
    """Percent that each rule pays above choosing the cheaper of the two for every single request, over all pairs.

    `sizes`: rows of input and output tokens. Merit expects the mean output of the rows before, as a tier's decayed mean
    does after its first thousand; the first half of the rows is only learned from.
    """
    half = len(sizes) // 2
    expected = float(sizes[:half, 1].mean())
    judged = sizes[half:].astype(np.float64)
    given, written = judged[:, 0], judged[:, 1]
    paid = dict.fromkeys(("Merit", *list(RULES)[1:], "1/price² at random (OpenRouter)"), 0.0)
    best = 0.0
    for a, b in pairs:
        in_a, out_a, in_b, out_b = float(a.input), float(a.output), float(b.input), float(b.output)
        cost_a, cost_b = given * in_a + written * out_a, given * in_b + written * out_b
        total_a, total_b = cost_a.sum(), cost_b.sum()
        least = np.minimum(cost_a, cost_b).sum()
        takes_a = given * in_a + expected * out_a <= given * in_b + expected * out_b
        best += 1.0
        paid["Merit"] += float(np.where(takes_a, cost_a, cost_b).sum() / least)
        for name in list(RULES)[1:]:
            first, second = RULES[name](a, REQUESTS[0]), RULES[name](b, REQUESTS[0])
            chosen = (total_a + total_b) / 2 if first == second else total_a if first < second else total_b
            paid[name] += float(chosen / least)
        # its price: of the prompt, as its documents have it
        weight = in_b**2 / (in_a**2 + in_b**2)
        paid["1/price² at random (OpenRouter)"] += float((weight * total_a + (1 - weight) * total_b) / least)
    return {name: 100 * (total / best - 1) for name, total in paid.items()}


def azure_sizes(file: Path) -> np.ndarray[Any, Any]:
    """Input and output tokens of each request."""
    with file.open(newline="") as rows:
        made = [(int(row["ContextTokens"]), int(row["GeneratedTokens"])) for row in csv.DictReader(rows)]
    return np.array(made, dtype=np.int64)


_HEAD = """# Which of two models is cheaper

Written by `make bench-pairs`: every pair of a price list (Portkey's, MIT) whose costs differ by 2 to 50 %, where models
compete. The list goes through `merit prices import`, compile and the data plane's pricing; the truth is computed from
the list's own numbers, in fractions. {points} distinct text prices, {cached} of them with a price for cached input.

## Ranked wrong, or tied, when the token counts are known

| request | pairs | {rules} |
| --- | ---: |{columns}
{rows}

A count of pairs, not weighted by anyone's traffic. The other rules are those that the projects document; the projects
themselves were not run here.
"""
_REGRET = """
## What not knowing the output costs

Azure's conversations of November 2023 (CC-BY; {requests} requests in their order): Merit expects for each request of
the second half its own input and the mean output of the first half, {expected:.0f} tokens. Regret is what a rule pays
above choosing the cheaper of the two for each request with its true counts; the mean of the {pairs} pairs that are
close at 300 in, 60 out. All in one run; nothing in it is random.

| rule | regret |
| --- | ---: |
{rows}

Mean input of the judged half: {given:.0f} tokens, mean output {written:.0f}.
"""


def page(listed: list[Point], sizes: np.ndarray[Any, Any]) -> str:
    """Markdown."""
    cached = [point for point in listed if point.cached is not None]
    rows = []
    for request in REQUESTS:
        pairs = close_pairs(cached if request.cached else listed, request)
        found = [wrong(pairs, rule, request) for rule in RULES.values()]
        shares = " | ".join(f"{count:,} ({100 * count / len(pairs):.1f} %)" for count in found)
        rows.append(f"| {request.name} | {len(pairs):,} | {shares} |")
    head = _HEAD.format(
        points=len(listed),
        cached=len(cached),
        rules=" | ".join(RULES),
        columns=" ---: |" * len(RULES),
        rows="\n".join(rows),
    )
    half = len(sizes) // 2
    pairs = close_pairs(listed, REQUESTS[0])
    return head + _REGRET.format(
        requests=f"{len(sizes):,}",
        expected=sizes[:half, 1].mean(),
        pairs=f"{len(pairs):,}",
        rows="\n".join(f"| {name} | {share:.2f} % |" for name, share in regret(pairs, sizes).items()),
        given=sizes[half:, 0].mean(),
        written=sizes[half:, 1].mean(),
    )


def main() -> int:
    """Writes the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared/data")
    parser.add_argument("--output", type=Path, default=ROOT / "docs/pairs.md")
    options = parser.parse_args()
    listed = points(sorted((options.data / "prices/portkey/pricing").glob("*.json")))
    if not listed:
        print(f"no price list in {options.data}/prices/portkey/pricing: name the folder with --data", file=sys.stderr)
        return 1
    text = page(listed, azure_sizes(options.data / "traces/azure2023/data/AzureLLMInferenceTrace_conv.csv"))
    options.output.write_text(text, encoding="utf-8")
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
