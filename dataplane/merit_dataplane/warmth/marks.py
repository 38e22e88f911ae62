"""Where Merit marks a prompt, for providers that cache only what is marked: where that is expected to pay.

A mark costs what writing is dearer than reading the prompt anew (Anthropic and Bedrock: a quarter of the input's price
for 5 minutes), for the tokens before it that are not in the cache yet. It saves what cached input is cheaper by: now,
for those that are, and at the next prompt that begins alike, as often as such prompts have come. Marks themselves cost
nothing: those before the last one make its beginnings findable too.
"""

import secrets
from enum import IntFlag

from merit_crds.snapshot import Rates
from merit_dataplane.warmth.prefix import LEAST_TOKENS, Prefix
from merit_dataplane.warmth.table import PrefixTable

_TTL_SECONDS = 300.0
"""Anthropic's and Bedrock's: renewed by each use."""
_PRIOR_SHARE = 0.5
_PRIOR_WEIGHT = 2.0
_MEMORY = 50.0
"""Prompts after which an old one weighs 1/e."""


class Marks(IntFlag):
    """Places of marks, in the order of the prompt."""

    TOOLS = 1
    INSTRUCTIONS = 2
    """The system and developer messages that the conversation begins with."""
    END = 4
    """Of the conversation so far."""


class Reuse:
    """How often a model's prompts come again while a mark would hold: their instructions, and their conversation."""

    __slots__ = ("_slot", "_table", "_weights", "shares")

    def __init__(self, table: PrefixTable):
        self._table, self._slot = table, secrets.randbits(64)
        self.shares = [_PRIOR_SHARE, _PRIOR_SHARE]
        """Of prompts whose instructions, and whose conversation up to its end, came within the time before."""
        self._weights = [_PRIOR_WEIGHT, _PRIOR_WEIGHT]

    def observe(self, prefix: Prefix, now: float) -> None:
        """A prompt was answered. `now` is an epoch second."""
        within = links_within(prefix, prefix.instructions)
        if within:
            self._learn(0, known=self._came(prefix.links[within - 1], now))
        if within < len(prefix.links):
            self._learn(1, known=self._came(prefix.links[within], now))
        for link in reversed(prefix.links[max(0, within - 1) :]):  # the longest is forgotten first
            self._table.use(link ^ self._slot, now)

    def _came(self, link: int, now: float) -> bool:
        used = self._table.last_used(link ^ self._slot)
        return used is not None and now - used <= _TTL_SECONDS

    def _learn(self, place: int, *, known: bool) -> None:
        weight = self._weights[place] = min(self._weights[place] + 1.0, _MEMORY)
        self.shares[place] += (known - self.shares[place]) / weight


def links_within(prefix: Prefix, end: int) -> int:
    """How many of its links end there or before, in bytes."""
    return sum(stop <= end for stop in prefix.ends)


def marks_of(prefix: Prefix, tokens: int, cached: int, reuse: list[float], rates: Rates) -> int:
    """Bits of the marks that pay; 0 for none. `tokens` are the prompt's, `cached` those expected in the cache."""
    saved, premium = rates.input - rates.cached_input, rates.cache_write - rates.input
    if saved <= 0:
        return 0
    instructions = tokens * prefix.instructions // prefix.length
    read = min(cached, instructions)
    first = read * saved + reuse[0] * instructions * saved - (instructions - read) * premium
    if instructions < LEAST_TOKENS:
        first = 0
    rest, read_beyond = tokens - instructions, cached - read
    further = read_beyond * saved + reuse[1] * rest * saved - (rest - read_beyond) * premium
    marks = int(Marks.INSTRUCTIONS) if first > 0 else 0
    if further > 0 and first + further > 0 and prefix.ends[-1] > prefix.instructions:
        marks = int(Marks.END | (Marks.INSTRUCTIONS if prefix.instructions else Marks.END))
    if marks & Marks.INSTRUCTIONS and prefix.tools and tokens * prefix.tools // prefix.length >= LEAST_TOKENS:
        marks |= int(Marks.TOOLS)
    return marks


def named(marks: int) -> list[str]:
    """For people."""
    return [str(mark.name).lower() for mark in Marks if marks & mark]
