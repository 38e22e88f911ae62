"""The page of `bench/stems_replay.py`."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from bench.machine import Machine
from bench.stems_http import Seen
from bench.stems_workload import Recorded
from bench.support_workload import EXPONENT, OWN_SHARE


class Figures(NamedTuple):
    """Shares of one replay."""

    requests: float
    """That no vendor saw."""
    by_stem: float
    """Of all requests."""
    not_sent: float
    """Of input tokens."""
    not_written: float
    """Of output tokens."""
    all_tokens: float
    """Not sent or not generated, of all; what stems sent instead is taken off."""
    generated: float
    """As above, what stems sent not taken off."""

    @classmethod
    def of(cls, results: Mapping[str, int], tokens: Mapping[str, int]) -> "Figures":
        """From counts."""
        total, sent, written = sum(results.values()), tokens["sent"], tokens["written"]
        saved = tokens["not_sent"] + tokens["not_written"]
        return cls(
            results["hit"] / total,
            results["stem"] / total,
            tokens["not_sent"] / sent,
            tokens["not_written"] / written,
            (saved - tokens["stems"]) / (sent + written),
            saved / (sent + written),
        )


class Row(NamedTuple):
    """What one setup did."""

    name: str
    first: Figures
    """Of the first replay of the trace."""
    last: Figures
    wrong: int
    """Of all replays."""
    pairs_wrong: int
    pairs_by_stem: int
    """Answers by stem to questions of pairs, the first ones of them."""


def page(  # noqa: PLR0917 # all that it shows
    layers: Sequence[Row],
    development: Sequence[Row],
    answers: Mapping[float, Row],
    shown: Recorded,
    requests: int,
    span: float,
    passes: int,
    pairs: int,
    machine: Machine,
    http: str,
) -> str:
    """Markdown."""
    head = HEAD.format(
        requests=requests, minutes=span / 60, passes=passes, date=machine.date[:10], commit=machine.commit
    )
    recorded = RECORDED.format(**shown._asdict() | {"openers": len(set(shown.openers))}, pairs_asked=pairs)
    return "\n".join([
        head, *_table(layers), MIDDLE, *_table(development, "threshold"), ANSWERS,
        *_table([row._replace(name=f"{stable:.0%}") for stable, row in answers.items()], "same answer again"),
        recorded, http, TAIL.format(exponent=EXPONENT, own=OWN_SHARE),
    ])  # fmt: skip


def over_http(requests: int, passes: int, seen: Seen) -> str:
    """Its part of the page."""
    return OVER_HTTP.format(
        requests=requests,
        passes=passes,
        by_stem=seen.how["stem"] / max(1, sum(seen.how.values())),
        saved=1 - seen.written / max(1, seen.delivered),
        wrong=seen.wrong,
        failed=seen.failed,
    )


def _table(rows: Sequence[Row], first: str = "") -> list[str]:
    names = (
        "requests saved",
        "by stem",
        "input not sent",
        "output not generated",
        "all tokens",
        "of all, generated or sent",
    )
    lines = [f"| {first} | " + " | ".join(names) + " | the first time | wrong | wrong of the pairs | pairs by stem |"]
    lines.append("| --- |" + " ---: |" * 10)
    for row in rows:
        figures = " | ".join(f"{figure:.1%}" for figure in row.last)
        lines.append(
            f"| {row.name} | {figures} | {row.first.generated:.1%} | {row.wrong} | {row.pairs_wrong} |"
            f" {row.pairs_by_stem:,} |"
        )
    return lines


HEAD = """\
# What stems save

Written by `make stems-replay`: the [exact cache](concepts.md#exact-cache) and [stems](stems.md) at a bank's support
desk, `ttl: 10m` unless it says otherwise. The arrivals of {requests:,} requests in {minutes:.0f} minutes come {passes}
times, with other questions each time; the last time counts, since stems are learned. Decisions are Merit's own; **the
models are simulated**, and how answers begin decides what stems save: see below. One run on {date}, at commit
`{commit}`; all draws are seeded, so it comes out the same again.
"""
MIDDLE = """
- **requests saved**: no vendor saw them. **By stem**: a model wrote only the rest, of all requests.
- **input not sent**, **output not generated**: of the tokens that there would be without caches.
- **all tokens**: both together, less the tokens that stems are as input. A stem moves tokens from output to input: it
  saves money (output costs four times as much and more) and time, not tokens. **of all, generated or sent**: without
  taking them off, which is the share of the work of writing and sending that is saved; **the first time**: the same
  of the first replay, from empty caches.
- **wrong**: answers of all replays that the desk would not give to that very question. **wrong of the pairs**: then
  pairs of questions with different answers are asked, the first one 14 times so that it gets a stem, then the other.
  **pairs by stem** says how often one was used there.

## The threshold

Compared on another draw of the workload than all else here:
"""
ANSWERS = """
Nothing was wrong at any of them here, so the choice is one of caution: the default stays 0.95.

## How much depends on the answers

By the share of questions that a model gives the same answer again; the others' answers begin in another way each time:
"""
RECORDED = """
What is known of it: in tau-bench's recordings of GPT-4o at temperature 0 ({messages} conversations, one system prompt)
{questions} first questions were asked more than once, greetings and case aside; {stable} of them got the same answer
every time, every character ({same_pairs} of {pairs} pairs of answers). That is little, and all that we have found;
with a higher temperature it will be less. The middle row has that share. {pairs_asked} pairs were asked.
"""
OVER_HTTP = """
## Over HTTP

{requests} of the requests, half of them streams, {passes} times through one pod of `merit serve` without an exact
cache, in front of a vendor with these answers. Of the last time {by_stem:.1%} were answered by stem, {saved:.1%} of the
output tokens were not generated, {wrong} answers were wrong, {failed} requests failed.
"""
TAIL = """
## What is asked and answered

- Questions and arrivals are those of `make cache-replay`: Zipf's law with exponent {exponent}, {own:.0%} of requests
  with a reference number of their own. With `Numbers` in `normalise` such a reference does not matter, and its question
  comes again; the answer names it, so a stem ends before.
- Greetings and thanks are put around questions as often as in tau-bench's first messages (185 of 199 have some), in
  those words. Without that `equalUnder` would save nothing: Banking77 has hardly two wordings that differ in no more.
- Answers begin with a sentence of GPT-4o's from tau-bench and go on with a document of tau2-bench's banking knowledge
  base that fits the intent. Another number, negation, date or currency gets another document.
- A model that is given a beginning which is none of its answers' goes on with a contradiction: that is a wrong answer.

Banking77, NLU++ (CC-BY 4.0, PolyAI); tau-bench, tau2-bench (MIT, Sierra); Azure LLM inference trace 2023 (CC-BY 4.0).
"""
