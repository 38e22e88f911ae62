"""The page and the picture of `bench/warm_prompts.py`."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from merit_crds.pricing.cost import PICO

_BOUND, _MERIT = "bound", "Merit"
_COLOURS = {
    "list prices, equal ones drawn": "#ee6677",
    "list prices, equal ones by name": "#ccbb44",
    "always the second account": "#aa3377",
    _MERIT: "#228833",
    _BOUND: "#4477aa",
}


class Rows(NamedTuple):
    """One trace in one scenario."""

    trace: str
    requests: int
    scenario: str
    rules: Mapping[str, tuple[float, int, int]]
    """Share of input tokens read from caches, pico-dollars, and requests that found no room."""


def page(found: list[Rows]) -> tuple[str, str]:
    """Markdown, and the picture that it names."""
    return "\n".join([_HEAD, *_tables(found), _TAIL]), plot(found)


def _tables(found: list[Rows]) -> Iterator[str]:
    trace = ""
    for rows in found:
        if rows.trace != trace:
            trace = rows.trace
            yield f"## The trace `{trace}`, {rows.requests:,} requests\n"
        yield f"**{rows.scenario.capitalize()}**\n"
        yield "| rule | cached input | USD | above the bound | above Merit |"
        yield "| --- | ---: | ---: | ---: | ---: |"
        least, merit = rows.rules[_BOUND][1], rows.rules[_MERIT][1]
        for rule, (cached, spend, refused) in rows.rules.items():
            if refused:
                raise AssertionError(f"{refused} requests found no room: the rules served different ones")
            shares = f"{100 * (spend / least - 1):.1f} % | {100 * (spend / merit - 1):+.1f} %"
            yield f"| {rule} | {100 * cached:.1f} % | {spend / PICO:.2f} | {shares} |"
        yield ""


def plot(found: list[Rows]) -> str:
    """Spend above the bound, a bar for each rule."""
    wide, left, bar, gap = 930, 400, 12, 26
    most = max(rows.rules[rule][1] / rows.rules[_BOUND][1] - 1 for rows in found for rule in rows.rules)
    lines, y = [], 50
    for rows in found:
        lines.append(f'<text x="10" y="{y + 12}">{rows.scenario}</text>')
        lines.append(f'<text x="10" y="{y + 28}" fill="#777">{rows.trace}</text>')
        least = rows.rules[_BOUND][1]
        for rule, (_, spend, _) in rows.rules.items():
            if rule == _BOUND:
                continue
            above = spend / least - 1
            width = (wide - left - 60) * above / most
            lines.append(
                f'<rect x="{left}" y="{y}" width="{width:.1f}" height="{bar - 2}" fill="{_COLOURS[rule]}"/>'
                f'<text x="{left + width + 5:.1f}" y="{y + 9}" font-size="10">{100 * above:.0f} %</text>'
            )
            y += bar
        y += gap - bar + (0 if len(rows.rules) > 3 else bar)
    for number, (rule, colour) in enumerate((r, c) for r, c in _COLOURS.items() if r != _BOUND):
        x, at = 10 + number % 2 * 430, y + 10 + number // 2 * 20
        lines.append(f'<rect x="{x}" y="{at}" width="12" height="12" fill="{colour}"/>')
        lines.append(f'<text x="{x + 18}" y="{at + 11}">{rule}</text>')
    high = y + 60
    head = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide + 20} {high}"',
        ' font-family="sans-serif" font-size="13">',
        f'<rect width="{wide + 20}" height="{high}" fill="white"/>',
        '<text x="10" y="22" font-weight="bold">Spend above the bound</text>',
    ]
    return "\n".join([*head, *lines, "</svg>", ""])


_HEAD = """\
# Warm prompts

Written by `make warm-prompts`. What does it save to [price warm prompts](concepts.md#warm-prompts)? Mooncake's traces
(FAST '25) name the blocks of 512 tokens that each prompt begins with: an hour of real conversations, and 17 minutes
made of public data sets. They go through Merit's own merit order in virtual time, to simulated vendors that keep a
block for 300 s after its last use and report what they read.

| rule | where a request goes |
| --- | --- |
| list prices, equal ones drawn | the lowest expected cost without any cache; of accounts at equal prices a random one |
| list prices, equal ones by name | the same; of equal ones always the first that has room |
| always the second account | one account, whatever the other asks |
| Merit | the lowest expected cost with what each account is expected to have in its cache |
| bound | each prefix is warm everywhere for ever once it was sent: no rule can pay less |

![Spend above the bound](warm-prompts.svg)

What it shows:

- **With fixed prices warmth in the price changes nothing**: the account with the lower list price gets everything,
  and is warm. No rule that looks at prices would do otherwise.
- **With one price on several accounts** what counts is to stay where it is warm. Without limits, always taking the
  first by name is as good. With limits, when requests have to spread, it is not: there Merit keeps each conversation
  where it began.
- **Where prices swap**, a conversation stays on the account that has it, until the price difference outweighs the
  cache.
- **A dearer list price with a cheaper cache** is warmed only where prompts come again often enough
  ([why](adr/0018-value-of-warming.md)). In `conversation` they don't, and taking it always would cost more. In
  `synthetic` they do, more and more towards its end: Merit's estimate follows, and finds more than half of what always
  taking it would save.
"""
_TAIL = """\
## What this can't show

- Vendors' caches are simulated: 300 s after the last use, block by block, with no misses. Real ones miss, keep longer
  at night, and spread requests over machines.
- Writing to the cache costs nothing here, as at OpenAI, DeepSeek or Gemini; with Anthropic's write price staying warm
  is worth more.
- Prices are made up, in the proportions of today's lists. A token is a token for each model, and an answer as long
  whoever writes it.
- A pod knows prefixes at the ends of messages and about every 4 KiB, not every 512 tokens; several pods share what is
  warm by Redis, a second or two late.

Data: Mooncake (Apache-2.0), Qin et al., FAST 2025.
"""
