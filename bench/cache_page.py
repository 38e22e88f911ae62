"""The page of `bench/cache_replay.py`."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from bench.machine import Machine
from bench.support_workload import EXPONENT, OWN_SHARE


class Law(NamedTuple):
    """How questions repeat."""

    exponent: float
    own_share: float


@dataclass(frozen=True)
class Row:
    """What one setup did."""

    name: str
    how: Mapping[str, int]
    """Answers by what the cache did."""
    requests: int
    calls: int
    """That reached the vendor."""
    tokens_saved: float
    wrong: int
    failed: Mapping[str, int]
    pairs: int
    pairs_wrong: int
    """Wrong answers to the questions of pairs."""
    pairs_taken: int
    """Of the second question of a pair."""
    seconds: float
    """Median of an answer, in compressed time."""
    load: float


class Hour(NamedTuple):
    """All of the trace, the most that could be saved of it by minutes of a `ttl`."""

    requests: int
    minutes: float
    by_ttl: Mapping[int, float]


def page(  # noqa: PLR0917 # all that it shows
    rows: Sequence[Row],
    laws: Mapping[Law, float],
    hour: Hour,
    most: float,
    span: float,
    compress: float,
    peer_compress: float,
    ttl: float,
    machine: Machine,
) -> str:
    """Markdown."""
    first = rows[0]
    date = machine.date[:10]
    head = HEAD.format(requests=first.requests, minutes=span / 60, compress=compress, most=most, date=date, ttl=ttl,
                       commit=machine.commit, cores=machine.cores, pairs=first.pairs)  # fmt: skip
    tail = TAIL.format(exponent=EXPONENT, own=OWN_SHARE)
    whole = HOUR.format(requests=hour.requests, minutes=hour.minutes)
    beside = PEER.format(compress=peer_compress) if any(row.name.startswith("LiteLLM") for row in rows) else ""
    middle = MIDDLE + beside
    return "\n".join([head, *_saved(rows), middle, whole, *_ttl_table(hour), LAW, *_law_table(laws), tail])


def _saved(rows: Sequence[Row]) -> Iterator[str]:
    yield (
        "| | saved requests | saved tokens | hit | stale | coalesced | miss | calls at the vendor | wrong answers |"
        " wrong of the pairs | failed | median answer | load |"
    )
    yield "| --- |" + " ---: |" * 12
    for row in rows:
        how = " | ".join(f"{row.how.get(name, 0):,}" for name in ("hit", "stale", "coalesced", "miss"))
        saved = f"{1 - row.calls / row.requests:.1%} | {row.tokens_saved:.1%}"
        if 100 * sum(row.failed.values()) > row.requests:  # what nobody answered was not saved
            saved = "not known | not known"
        yield (
            f"| {row.name} | {saved} | {how} | {row.calls:,} |"
            f" {row.wrong} | {row.pairs_wrong} | {sum(row.failed.values())} | {1000 * row.seconds:.0f} ms |"
            f" {row.load:.1f} |"
        )


def _ttl_table(hour: Hour) -> Iterator[str]:
    yield "| ttl | at most saved |"
    yield "| ---: | ---: |"
    for minutes, share in hour.by_ttl.items():
        yield f"| {minutes} min | {share:.1%} |"


def _law_table(laws: Mapping[Law, float]) -> Iterator[str]:
    own = sorted({law.own_share for law in laws})
    yield "| exponent | " + " | ".join(f"{share:.0%} with something of their own" for share in own) + " |"
    yield "| --- |" + " ---: |" * len(own)
    for exponent in sorted({law.exponent for law in laws}):
        yield f"| {exponent} | " + " | ".join(f"{laws[Law(exponent, share)]:.1%}" for share in own) + " |"


HEAD = """\
# What the exact cache saves

Written by `make cache-replay`: the [exact cache](concepts.md#exact-cache) at a bank's support desk, over HTTP, in
front of `merit fake-provider`. {requests:,} requests in {minutes:.0f} minutes, replayed {compress:g} times as fast:
arrivals, `ttl: {ttl:.0f}m` and the vendor's second of latency alike. Half of the requests are streams. One run
on {date}, at commit `{commit}`, on a shared machine of {cores} cores with other work on it (*load*: processes that
wanted a core at the end of the row): shares and counts mean something, milliseconds little.

At most {most:.1%} of these requests could be saved: so many ask in the very words of one that was fetched less than
{ttl:.0f} minutes before.
"""
MIDDLE = """
- **saved requests**: those that the vendor never saw. **Saved tokens**: of those that it would have counted for all
  requests, input and output.
- **wrong answers**: every answer is held against what the vendor says to that very question. It has 256 answers and
  chooses by the question's words, so a mix-up is noticed in 255 of 256 cases.
- **wrong of the pairs**: then pairs of questions are asked, one right after the other: the same words with another
  number, with a negation put in or taken out, and wordings of different intents in the data sets' own labels that
  share at least 70 % of their words.
- Redis is not waited for longer than 5 ms a request (`--redis-budget-ms`): on a machine as busy as *load* says pods are
  each their own at times, and share less than they could.
"""
PEER = """\
- LiteLLM says of an answer only whether it came from its cache; what it shares it counts as a miss here, if it
  shares any. It is replayed {compress:g} times as fast: one process on one core did not keep up with more.
"""
HOUR = """\
## How much depends on the `ttl`

Of all {requests:,} requests of the trace's {minutes:.0f} minutes, not replayed but counted: so many ask in the very
words of one that was fetched less than that long before.
"""
LAW = """
## How much depends on the law

The share that can be saved is a property of how questions repeat, not of Merit: with other assumptions at most

"""
TAIL = """
of the same arrivals could be saved. What is assumed:

- Of general questions (Banking77's 13,072 wordings of 77 intents) first the intent is drawn by Zipf's law with
  exponent {exponent}, then one of its wordings by the same law. Breslau et al., *Web Caching and Zipf-like
  Distributions* (INFOCOM 1999), found 0.64 to 0.83 for what people ask web caches for. No public trace that we know
  has the words of support questions.
- {own:.0%} of all requests name something of the customer's own (NLU++'s banking wordings with a reference number)
  and repeat only when they are sent twice. 2 % of all requests are one of the last 5 seconds sent again. Both are
  assumptions without a source.
- All belong to one Consumer. Where each customer is a Consumer, or the system prompt names the customer, the exact
  cache saves next to nothing.

Arrivals: Azure LLM inference trace 2023, conversation (CC-BY 4.0), P. Patel et al., ISCA 2024. Questions: Banking77
and NLU++ (CC-BY 4.0), I. Casanueva et al., PolyAI. What a hit costs is a scenario of [`make
bench`](../bench/README.md).
"""
