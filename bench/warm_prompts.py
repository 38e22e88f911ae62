"""What warm prompts in the price are worth on Mooncake's traces, whose prompts name their blocks. Writes a page.

.venv/bin/python bench/warm_prompts.py [--data DIR]

Merit's own merit order and what it learns, in virtual time; simulated vendors that keep a block for 300 s after its
last use. Nothing in it is random but the rule that draws among equal prices, whose seed is fixed.
"""

import argparse
import json
import random
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # modules are bench.something

from bench.places import ROOT
from bench.warm_prompts_page import Rows, page
from merit_crds.compile import compile_resources
from merit_crds.manifest import read
from merit_crds.pricing import Usage, price_details
from merit_crds.resources import ResourceSet
from merit_dataplane.dispatch.bid import Bid
from merit_dataplane.dispatch.merit_order import merit_order
from merit_dataplane.live import Live
from merit_dataplane.snapshots.tables import Builder, TierPlan
from merit_dataplane.warmth.prefix import LEAST_TOKENS, Prefix
from merit_dataplane.wire.openai_request import Call, Operation

BLOCK = 512
"""Tokens: Mooncake's."""
KEPT_SECONDS = 300.0
START = 1_780_000_000.0
TRACES = {"conversation": "conversation_trace.jsonl", "synthetic": "synthetic_trace.jsonl"}


@dataclass(frozen=True)
class Request:
    """One line of a trace."""

    at: float
    """Seconds since its start."""
    input: int
    output: int
    blocks: tuple[int, ...]


@dataclass(frozen=True)
class Scenario:
    """Accounts and what they charge: input, cached input and output, in USD per million tokens."""

    name: str
    prices: tuple[tuple[tuple[str, str, str], ...], ...]
    """Of each account; several sets hold in turn."""
    turn_seconds: float = 0.0
    per_minute: int = 0
    """`requestsPerMinute` of each account; 0 is none."""


_A, _B = ("2.00", "0.20", "8.00"), ("2.40", "0.24", "9.60")
SCENARIOS = (
    Scenario("two fixed prices, one a fifth dearer", ((_A, _B),)),
    Scenario("a dearer list price with a cheaper cache", ((("2.00", "1.00", "8.00"), ("2.30", "0.23", "8.00")),)),
    Scenario("two prices that swap every 5 minutes", ((_A, _B), (_B, _A)), turn_seconds=300.0),
    Scenario("four accounts at one price", ((_A,) * 4,)),
    Scenario("four accounts at one price, 75 requests a minute each", ((_A,) * 4,), per_minute=75),
)


@dataclass
class Outcome:
    """What one rule came to."""

    input: int = 0
    cached: int = 0
    spend: int = 0
    """Pico-dollars."""
    refused: int = 0
    """Requests that no account had room for: left out by every rule alike."""
    accounts: dict[str, int] = field(default_factory=dict)


@dataclass
class Vendor:
    """The cache of one account."""

    used: dict[int, float] = field(default_factory=dict)

    def reads(self, request: Request, now: float) -> int:
        """Input tokens that are read from it; the prompt is in it afterwards."""
        known = 0
        for block in request.blocks:
            if now - self.used.get(block, -KEPT_SECONDS) >= KEPT_SECONDS:
                break
            known += 1
        for block in request.blocks:
            self.used[block] = now
        tokens = min(known * BLOCK, request.input)
        return tokens if tokens >= LEAST_TOKENS else 0


Choose = Callable[[list[Bid]], Bid]


def cheapest(order: list[Bid]) -> Bid:
    """The first."""
    return order[0]


def drawn() -> Choose:
    """One of those that charge what the first does."""
    draw = random.Random(1)

    def choose(order: list[Bid]) -> Bid:
        return draw.choice([bid for bid in order if bid.tariff == order[0].tariff])

    return choose


def second(order: list[Bid]) -> Bid:
    """The second account, whatever it asks."""
    return next(bid for bid in order if bid.target.model == "account-2")


def replayed(requests: list[Request], scenario: Scenario, choose: Choose, *, warm: bool) -> Outcome:
    """One rule through one trace."""
    live, outcome, vendors = Live(), Outcome(), dict[str, Vendor]()
    tiers = [_tier(scenario, prices, live) for prices in scenario.prices]
    for request in requests:
        now = request.at
        tier = tiers[int(now // scenario.turn_seconds) % len(tiers)] if scenario.turn_seconds else tiers[0]
        prefix = _prefix(request) if warm else None
        order = merit_order(tier, _call(request), now, START + now, prefix)
        if prefix is not None:
            tier.follow_ups.came(prefix, request.input, START + now)
        open_now = [bid for bid in order if not bid.target.provider.account.full(now)]
        if not open_now:
            outcome.refused += 1
            continue
        bid = choose(open_now)
        target = bid.target
        account = target.provider.account
        if account.usage is not None:
            account.usage.enter(0, 0, now, 0.0)
        account.started()
        account.ended()
        cached = vendors.setdefault(target.model, Vendor()).reads(request, now)
        usage = Usage(request.input - cached, request.output, cached)
        outcome.input += request.input
        outcome.cached += cached
        outcome.spend += price_details(bid.charge, usage).total
        outcome.accounts[target.model] = outcome.accounts.get(target.model, 0) + 1
        target.learned.expected_output.observe(request.output)
        if prefix is not None and target.warmth is not None:
            target.warmth.observe(prefix, bid.warm, usage, START + now)
    return outcome


def bound(requests: list[Request], scenario: Scenario) -> Outcome:
    """All that was ever sent is warm everywhere, for ever: less can't be paid."""
    outcome, seen = Outcome(), set[int]()
    tiers = [_tier(scenario, prices, Live()) for prices in scenario.prices]
    for request in requests:
        tier = tiers[int(request.at // scenario.turn_seconds) % len(tiers)] if scenario.turn_seconds else tiers[0]
        known = 0
        while known < len(request.blocks) and request.blocks[known] in seen:
            known += 1
        seen.update(request.blocks)
        cached = min(known * BLOCK, request.input)
        cached = cached if cached >= LEAST_TOKENS else 0
        usage = Usage(request.input - cached, request.output, cached)
        outcome.input += request.input
        outcome.cached += cached
        outcome.spend += min(price_details(target.price.tariff, usage).total for target in tier.targets)
    return outcome


SECOND = "always the second account"
RULES: dict[str, Callable[[list[Request], Scenario], Outcome]] = {
    "list prices, equal ones drawn": lambda requests, scenario: replayed(requests, scenario, drawn(), warm=False),
    "list prices, equal ones by name": lambda requests, scenario: replayed(requests, scenario, cheapest, warm=False),
    SECOND: lambda requests, scenario: replayed(requests, scenario, second, warm=False),
    "Merit": lambda requests, scenario: replayed(requests, scenario, cheapest, warm=True),
    "bound": bound,
}


def _prefix(request: Request) -> Prefix | None:
    if request.input < LEAST_TOKENS:
        return None
    ends = tuple(min(BLOCK * place, request.input) for place in range(1, len(request.blocks) + 1))
    return Prefix(request.blocks, ends, request.input, marked=False)


def _call(request: Request) -> Call:
    return Call(
        operation=Operation.CHAT, model="chat", stream=False, wants_usage=False, input_tokens=request.input,
        output_limit=0, choices=1, features=0, fields={}, messages=msgspec.Raw(b"[]"),
    )  # fmt: skip


def _tier(scenario: Scenario, prices: tuple[tuple[str, str, str], ...], live: Live) -> TierPlan:
    documents, candidates = [], []
    for number, (asked, cached, output) in enumerate(prices, 1):
        name = f"account-{number}"
        limits = f"limits: {{requestsPerMinute: {scenario.per_minute}}}" if scenario.per_minute else ""
        documents.append(f"""
apiVersion: merit.dev/v1alpha1
kind: Provider
metadata: {{name: {name}}}
spec: {{protocol: OpenAI, endpoints: [{{name: e, url: "http://127.0.0.1:9/v1"}}]{", " if limits else ""}{limits}}}
---
apiVersion: merit.dev/v1alpha1
kind: ProviderPricing
metadata: {{name: {name}}}
spec:
  providerRef: {{name: {name}}}
  models: [{{model: {name}, prices: {{input: "{asked}", cachedInput: "{cached}", output: "{output}"}}}}]
""")
        candidates.append(f"{{provider: {{name: {name}}}, model: {name}}}")
    documents.append(f"""
apiVersion: merit.dev/v1alpha1
kind: ModelRoute
metadata: {{name: chat}}
spec: {{models: [chat], tiers: [{{name: all, candidates: [{", ".join(candidates)}]}}]}}
""")
    manifest = read("\n---\n".join(documents), source="bench.yaml")
    made = compile_resources(ResourceSet.of(manifest.resources, manifest.secrets))
    return Builder(made.version, made.snapshot, made.credentials, live).build().routes["default/chat"].tiers[0]


def trace(path: Path) -> list[Request]:
    """Requests in the order of time."""
    lines = (json.loads(line) for line in path.read_text().splitlines())
    requests = [
        Request(line["timestamp"] / 1000, line["input_length"], line["output_length"], tuple(line["hash_ids"]))
        for line in lines
    ]
    return sorted(requests, key=lambda request: request.at)


def _each(requests: list[Request], scenario: Scenario) -> dict[str, Outcome]:
    two = len(scenario.prices[0]) == 2
    return {name: rule(requests, scenario) for name, rule in RULES.items() if two or name != SECOND}


def rows(folder: Path) -> Iterator[Rows]:
    """Of each trace and scenario what each rule came to."""
    for name, file in TRACES.items():
        requests = trace(folder / file)
        for scenario in SCENARIOS:
            found = {
                rule: (outcome.cached / outcome.input, outcome.spend, outcome.refused)
                for rule, outcome in _each(requests, scenario).items()
            }
            yield Rows(name, len(requests), scenario.name, found)


def main() -> None:
    """Writes the page and its picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared/data", help="where the traces are")
    found = list(rows(parser.parse_args().data / "traces/mooncake/FAST25-release/traces"))
    text, picture = page(found)
    (ROOT / "docs/warm-prompts.md").write_text(text)
    (ROOT / "docs/warm-prompts.svg").write_text(picture)
    print("wrote docs/warm-prompts.md")


if __name__ == "__main__":
    main()
