"""FinSync's months, replayed: 50 million support requests a month through two years of real price changes.

.venv/bin/python bench/finsync.py [--data ../shared/data]        writes docs/finsync.md and its pictures

Prices are LiteLLM's price map at its dated snapshots, hours are ServeGen's, sizes are Azure's. All of it is in
integers, priced by `merit_dataplane.replay`: no sampling, no seed.
"""

import argparse
import csv
import gzip
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from itertools import combinations, groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np

from merit_crds.pricing.cost import PICO
from merit_crds.snapshot import Rates, Tariff
from merit_dataplane.replay.names import Ints
from merit_dataplane.replay.pricing import costs
from merit_dataplane.replay.tokens import Tokens

ROOT = Path(__file__).parents[1]
FIRST, LAST = "2024-07-18", "2026-07-18"
PER_MONTH, MONTH_HOURS = 50_000_000, 730
INPUT, OUTPUT = 300, 60
"""Mean tokens of a request."""
MODELS = (
    "gpt-4o-mini", "gpt-4.1-nano", "claude-3-haiku-20240307", "gemini/gemini-1.5-flash", "gemini/gemini-2.0-flash",
    "gemini/gemini-2.0-flash-lite", "gemini/gemini-2.5-flash-lite", "deepseek/deepseek-chat",
    "mistral/mistral-small-latest", "groq/llama-3.1-8b-instant",
)  # fmt: skip
"""Small models that the price map has with the vendors' own names, none of which thinks before it answers."""
MORE = (
    "gpt-3.5-turbo", "gpt-4.1-mini", "claude-3-5-haiku-20241022", "groq/llama-3.3-70b-versatile",
    "mistral/open-mistral-nemo",
)  # fmt: skip
"""Older, and one size larger."""
Prices = dict[str, Tariff]


@dataclass(slots=True)
class Account:
    """What one rule did."""

    name: str
    spend: int = 0
    """Pico-dollars."""
    switches: int = 0
    main: str = ""
    """The model that most requests go to."""
    months: list[int] = field(default_factory=list)
    used: dict[str, int] = field(default_factory=dict)
    """Requests by model."""


def price_lists(folder: Path) -> list[tuple[float, Prices]]:
    """Epoch seconds and the prices from then on. A price of nothing is no price; who is switched off has none."""
    files = sorted(folder.glob("*.json.gz"))
    maps = [(file.name[:10], json.loads(gzip.decompress(file.read_bytes()), parse_float=Decimal)) for file in files]
    ends = {
        model: found
        for _, m in maps
        for model in (*MODELS, *MORE)
        if (found := m.get(model, {}).get("deprecation_date"))
    }
    lists = []
    for day, models in maps:
        if not FIRST <= day <= LAST:
            continue
        priced = {}
        for model in (*MODELS, *MORE):
            entry = models.get(model, {})
            rates = [_per_token(entry.get(f"{kind}_cost_per_token")) for kind in ("input", "output")]
            if all(rates):
                priced[model] = Tariff(rates=Rates(rates[0], rates[1], cached_input=rates[0], cache_write=rates[0]))
        lists.append((_epoch(day), priced))
    for end in sorted(set(ends.values())):  # a list of its own for the day on which something goes
        if FIRST < end < LAST:
            lists.append(
                (_epoch(end), dict([prices for start, prices in sorted(lists, key=_start) if start <= _epoch(end)][-1]))
            )
    gone = {model: _epoch(end) for model, end in ends.items()}
    return [(s, {m: t for m, t in p.items() if s < gone.get(m, 9e18)}) for s, p in sorted(lists, key=_start)]


def _start(item: tuple[float, Prices]) -> float:
    return item[0]


def _epoch(day: str) -> float:
    return datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp()


def _per_token(usd: Any) -> int:
    pico = Decimal(str(usd or 0)) * PICO
    if pico != int(pico):
        raise ValueError(f"{usd} USD per token is finer than a pico-dollar")
    return int(pico)


def hours(folder: Path) -> list[int]:
    """Requests in each hour of a fortnight, so that a month of MONTH_HOURS has PER_MONTH on average."""
    rates: dict[int, float] = {}
    for file in folder.glob("*.csv"):
        for row in csv.reader(file.open()):
            hour = int(float(row[0])) // 3600
            rates[hour] = rates.get(hour, 0.0) + float(row[1] or 0)
    shape = np.array([rates[hour] for hour in sorted(rates)])
    ideal = shape / shape.sum() * PER_MONTH * len(shape) / MONTH_HOURS
    return [int(n + 0.5) for n in ideal]


def sizes(file: Path) -> Tokens:
    """Azure's conversations, scaled to the mean of INPUT and OUTPUT tokens."""
    with file.open() as text:
        rows = [(int(r["ContextTokens"]), int(r["GeneratedTokens"])) for r in csv.DictReader(text)]
    given = np.array(rows, np.float64)
    scaled = np.maximum(1, np.floor(given / given.mean(axis=0) * (INPUT, OUTPUT) + 0.5)).astype(np.int64)
    return Tokens({"uncached_input": scaled[:, 0].copy(), "output": scaled[:, 1].copy()})


Rule = Callable[[Prices, Tokens, Account], tuple[list[str], Ints]]
"""The models that there are, and for each size which of them it goes to."""


def static(prices: Prices, tokens: Tokens, account: Account) -> tuple[list[str], Ints]:
    """The cheapest at the start, until it is switched off; then the cheapest of that day."""
    names = sorted(prices)
    if account.main not in prices:
        mean = Tokens({"uncached_input": np.array([INPUT]), "output": np.array([OUTPUT])})
        account.main = min(names, key=lambda n: (int(costs(prices[n], mean)[0]), n))
        account.switches += 1
    return names, np.full(len(tokens), names.index(account.main), np.int64)


def one_to_one(prices: Prices, tokens: Tokens, account: Account) -> tuple[list[str], Ints]:  # noqa: ARG001 # a Rule
    """LiteLLM's cost-based routing: the lowest input price plus output price, whatever the request."""
    names = sorted(prices)
    best = min(names, key=lambda n: (prices[n].rates.input + prices[n].rates.output, n))
    return names, np.full(len(tokens), names.index(best), np.int64)


def merit(prices: Prices, tokens: Tokens, account: Account) -> tuple[list[str], Ints]:  # noqa: ARG001 # a Rule
    """Merit's: the request's own input, the mean output as learned, at the prices of this second."""
    names = sorted(prices)
    mean = int(tokens.output.mean() + 0.5)
    expected = Tokens({"uncached_input": tokens.input, "output": np.full(len(tokens), mean, np.int64)})
    return names, np.argmin([costs(prices[n], expected) for n in names], axis=0).astype(np.int64)


def hindsight(prices: Prices, tokens: Tokens, account: Account) -> tuple[list[str], Ints]:  # noqa: ARG001 # a Rule
    """The cheapest for the output that came: nobody can know it."""
    names = sorted(prices)
    return names, np.argmin([costs(prices[n], tokens) for n in names], axis=0).astype(np.int64)


RULES: dict[str, Rule] = {
    "static: cheapest at the start": static,
    "LiteLLM's rule: input + output": one_to_one,
    "Merit": merit,
    "hindsight optimum": hindsight,
}


def replay(lists: list[tuple[float, Prices]], per_hour: list[int], tokens: Tokens) -> list[Account]:
    """Every request of every hour, by each rule. Sizes follow each other as recorded, round and round."""
    accounts = [Account(name) for name in RULES]
    for account, rule in zip(accounts, RULES.values(), strict=True):
        place = 0
        plan: tuple[Prices, list[str], Ints, Ints] | None = None
        for hour, (prices, count) in enumerate(_by_hour(lists, per_hour)):
            if plan is None or plan[0] is not prices:
                names, chosen = rule(prices, tokens, account)
                spent = np.zeros(len(tokens), np.int64)
                for position in np.unique(chosen):
                    rows = chosen == position
                    spent[rows] = costs(prices[names[position]], tokens[rows])
                plan = (prices, names, chosen, np.concatenate([[0], np.cumsum(spent)]))
                main = names[int(np.bincount(chosen).argmax())]
                account.switches += main != account.main and rule is not static
                account.main = main
            _, names, chosen, running = plan
            rounds, rest = divmod(place + count, len(tokens))
            cost = rounds * int(running[-1]) + int(running[rest]) - int(running[place])
            shares = np.bincount(chosen, minlength=len(names)) / len(tokens)
            for name, share in zip(names, shares.tolist(), strict=True):
                account.used[name] = account.used.get(name, 0) + int(share * count)
            place = rest
            account.spend += cost
            if hour % MONTH_HOURS == 0:
                account.months.append(0)
            account.months[-1] += cost
        account.switches -= 1  # the first choice is none
    return accounts


def _by_hour(lists: list[tuple[float, Prices]], per_hour: list[int]) -> Iterator[tuple[Prices, int]]:
    start, end = _epoch(FIRST), _epoch(LAST)
    position, months = 0, int((end - start) // (3600 * MONTH_HOURS))
    for hour in range(months * MONTH_HOURS):
        while position + 1 < len(lists) and lists[position + 1][0] <= start + hour * 3600:
            position += 1
        yield lists[position][1], per_hour[hour % len(per_hour)]


# ---- the page


def page(title: str, accounts: list[Account], picture: str) -> Iterator[str]:
    """Markdown of one set of models."""
    best = accounts[-1].spend
    yield f"## {title}"
    yield ""
    yield "| rule | USD in all | USD a month | regret | switches | most requests went to |"
    yield "| --- | ---: | ---: | ---: | ---: | --- |"
    for account in accounts:
        total = account.spend / PICO
        regret = 100 * (account.spend - best) / best
        most = sorted(account.used, key=lambda name: -account.used[name])[:3]
        everything = sum(account.used.values())
        parts = ", ".join(f"{n} {100 * account.used[n] / everything:.0f} %" for n in most if account.used[n])
        month = total / len(account.months)
        yield f"| {account.name} | {total:,.0f} | {month:,.0f} | {regret:.2f} % | {account.switches} | {parts} |"
    yield ""
    yield f"![Spend by month]({picture})"
    yield ""


_COLOURS = ("#ee6677", "#ccbb44", "#228833", "#4477aa")


def plot(accounts: list[Account]) -> str:
    """USD by month, a line for each rule."""
    wide, high, left = 860, 300, 70
    most = max(max(account.months) for account in accounts)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide + 20} {high + 110}"',
        ' font-family="sans-serif" font-size="13">',
        f'<rect width="{wide + 20}" height="{high + 110}" fill="white"/>',
        '<text x="10" y="18" font-weight="bold">USD a month, 50 million requests</text>',
    ]
    for part in (0, 0.5, 1):
        y = 30 + high * (1 - part)
        lines.append(f'<line x1="{left}" x2="{wide}" y1="{y}" y2="{y}" stroke="#ddd"/>')
        lines.append(f'<text x="{left - 6}" y="{y + 4}" text-anchor="end">{most * part / PICO:,.0f}</text>')
    step = (wide - left) / len(accounts[0].months)
    for number, (account, colour) in enumerate(zip(accounts, _COLOURS, strict=True)):
        path = "".join(
            f"{'L' if place else 'M'}{left + step * place:.1f},{30 + high * (1 - spent / most):.1f}h{step:.1f}"
            for place, spent in enumerate(account.months)
        )
        dash = ' stroke-dasharray="4 3"' if number == len(accounts) - 1 else ""
        lines.append(f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="2.5"{dash}/>')
        x, y = left + (number % 2) * 400, high + 75 + (number // 2) * 20
        lines.append(f'<rect x="{x}" y="{y - 11}" width="12" height="12" fill="{colour}"/>')
        lines.append(f'<text x="{x + 18}" y="{y}">{account.name}</text>')
    lines.append(f'<text x="{left}" y="{high + 48}">{FIRST}</text>')
    lines.append(f'<text x="{wide}" y="{high + 48}" text-anchor="end">{LAST}</text>')
    return "\n".join([*lines, "</svg>", ""])


_HEAD = """\
# FinSync's months, replayed

Written by `make finsync`. 50 million support requests a month, 300 tokens in and 60 out on average, hour by hour
through {lists} price lists from {first} to {last}: who pays what, by which rule? All rules have the same
models, and see a price change in the same second.

Following prices at all is what saves most. Where one model is cheaper on input and on output, every rule that follows
prices finds it; which rule it is matters where prices cross.

| rule | where a request goes |
| --- | --- |
| static | the model that was cheapest at 300/60 on the first day; another only when that one is switched off |
| LiteLLM's rule | the lowest sum of input and output price, one to one, whatever the request's shape |
| Merit | the lowest expected cost: the request's own input, the mean output of its tier, the prices of this second |
| hindsight | the lowest cost for the output that came. Nobody can know it before; regret is the share above it |
"""
_TAIL = """\
## What this can't show

- **Accuracy is not measured.** Each set of models is taken as good enough, as a tier's floor would say. Models of two
  years differ; the second set leaves out the smallest one, which is the cheapest most of the time.
- **Prices** are LiteLLM's price map as of its dated snapshots, about a month apart: a change counts from the first
  snapshot that has it, days or weeks after the vendor's. A price of 0 is taken as unknown. Its `deprecation_date` ends
  a model.
- **Only list prices** of input and output: no caches, batches, off-peak hours or commitments. The map has off-peak
  prices only after this time.
- **Hours** are the sum of ServeGen's m-small clients over a fortnight, repeated; they say nothing of months, so each
  has about the same volume. With list prices alone the hour decides only how much falls on which side of a change.
- **Sizes** are Azure's conversations of November 2023 (19,366), scaled to the means of 300 and 60; input and output are
  as correlated as there. An answer is as long whoever writes it, and a token is a token for each model.
- Ramps, hysteresis, exploration and failover are not part of it: each costs Merit some of its lead in practice.

Data: LiteLLM (MIT), ServeGen (Apache-2.0), Azure LLM inference trace 2023 (CC-BY, Patel et al., Splitwise, ISCA 2024).
"""


def triples(lists: list[tuple[float, Prices]], per_hour: list[int], tokens: Tokens) -> Iterator[str]:
    """Regret of each rule over every three of all models, so that no choice of models decides: Markdown."""
    regrets: dict[str, list[float]] = {name: [] for name in RULES}
    left_out = 0
    for three in combinations((*MODELS, *MORE), 3):
        given = [(start, {n: t for n, t in prices.items() if n in three}) for start, prices in lists]
        if not all(prices for _, prices in given):
            left_out += 1
            continue
        spent = [_by_list(rule, given, per_hour, tokens) for rule in RULES.values()]
        for name, total in zip(RULES, spent, strict=True):
            regrets[name].append(100 * (total - spent[-1]) / spent[-1])
    yield "## Every three of fifteen models"
    yield ""
    yield f"The ten, and {', '.join(MORE)}."
    yield f"{len(regrets['Merit'])} sets of three have a price all the time, {left_out} have not and are left out."
    yield "The fifteen are our choice, the three of them are not."
    yield ""
    yield "| rule | mean regret | 90 % of the sets below | worst set | sets above 1 % |"
    yield "| --- | ---: | ---: | ---: | ---: |"
    for name, found in regrets.items():
        high = sum(regret > 1 for regret in found)
        p90 = float(np.percentile(found, 90))
        yield f"| {name} | {np.mean(found):.2f} % | {p90:.2f} % | {max(found):.2f} % | {high} |"
    yield ""


def _by_list(rule: Rule, lists: list[tuple[float, Prices]], per_hour: list[int], tokens: Tokens) -> int:
    """As `replay`, the hours of one price list at once: sizes follow each other, so the sum is the same."""
    account, place, spent = Account(""), 0, 0
    for prices, hours_of_list in groupby(_by_hour(lists, per_hour), key=itemgetter(0)):
        names, chosen = rule(prices, tokens, account)
        each = np.choose(chosen, [costs(prices[name], tokens) for name in names])
        rounds, rest = divmod(place + sum(count for _, count in hours_of_list), len(tokens))
        spent += rounds * int(each.sum()) + int(each[:rest].sum()) - int(each[:place].sum())
        place = rest
    return spent


def main() -> None:
    """Writes the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data", type=Path, default=ROOT.parent / "shared/data", help="where the traces and prices are"
    )
    data = parser.parse_args().data
    lists = price_lists(data / "prices/litellm_snapshots")
    per_hour = hours(data / "traces/servegen/m-small")
    tokens = sizes(data / "traces/azure2023/data/AzureLLMInferenceTrace_conv.csv")
    text = [_HEAD.format(lists=len(lists), first=FIRST, last=LAST)]
    smallest = "groq/llama-3.1-8b-instant"
    for title, models, name in (
        ("Ten small models", set(MODELS), "finsync-ten.svg"),
        (f"Without the smallest one, {smallest}", set(MODELS) - {smallest}, "finsync-nine.svg"),
    ):
        given = [(start, {n: t for n, t in prices.items() if n in models}) for start, prices in lists]
        accounts = replay(given, per_hour, tokens)
        check = [_by_list(rule, given, per_hour, tokens) for rule in RULES.values()]
        if check != [account.spend for account in accounts]:
            raise AssertionError("hour by hour and list by list differ")
        (ROOT / "docs" / name).write_text(plot(accounts))
        text.append("\n".join(page(title, accounts, name)))
    text.append("\n".join(triples(lists, per_hour, tokens)))
    (ROOT / "docs/finsync.md").write_text("\n".join([*text, _TAIL]))
    print("wrote docs/finsync.md")


if __name__ == "__main__":
    main()
