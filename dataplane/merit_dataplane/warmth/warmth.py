"""How much of a prompt one model of one provider account will read from its own cache: learned from `usage`.

A prefix that was sent a moment ago is probably still there, one of an hour ago hardly. How probably, by age, starts at
what vendors say of their caches and moves with what `usage` reports: so a vendor that keeps prefixes for hours, or one
that spreads requests over many machines and so misses, is priced as it is.

Anthropic: 5 minutes, refreshed by each use (platform.claude.com/docs/en/build-with-claude/prompt-caching). OpenAI: 5 to
10 minutes, off-peak up to an hour (platform.openai.com/docs/guides/prompt-caching). DeepSeek: hours to days
(api-docs.deepseek.com/guides/kv_cache).
"""

import secrets
from typing import NamedTuple

from merit_crds.pricing import Usage
from merit_crds.snapshot import Rates
from merit_dataplane.warmth.marks import Marks, Reuse, links_within, marks_of
from merit_dataplane.warmth.prefix import LEAST_TOKENS, Prefix
from merit_dataplane.warmth.table import PrefixTable

_AGES = (300.0, 600.0, 3600.0, 86_400.0)
"""Seconds since the last use, up to which each of these holds:"""
_SHARES = (0.8, 0.5, 0.2, 0.0)
"""Share of a prefix that is read from the cache, before anything is known."""
_PRIOR_WEIGHT = 2.0
"""Observations that these are worth."""
_KNOWN_WEIGHT = 20.0
_MEMORY = 50.0
"""Observations after which an old one weighs 1/e: caches fill and empty with a vendor's load."""


class Warm(NamedTuple):
    """What is expected of a provider's cache for one request, in tokens as the candidate counts."""

    cached: int
    written: int
    matched: int
    """Of the longest prefix that this candidate was sent before."""
    age: int
    """Which of the ages it has."""
    marks: int = 0
    """Bits of `Marks` that Merit sets; 0 where the client's own stand, or none are needed or pay."""

    def usage(self, input_tokens: int, output_tokens: int) -> Usage:
        """The usage that is expected of a request of so many tokens."""
        return Usage(input_tokens - self.cached - self.written, output_tokens, self.cached, self.written)


COLD = Warm(0, 0, 0, -1)


class Warmth:
    """Of one (provider, model), its `name` the same in all pods. Times are epoch seconds."""

    __slots__ = ("_age_shares", "_age_weights", "_reuse", "_slot", "_table", "_write_weight", "_written", "needs_marks")

    def __init__(self, table: PrefixTable, *, needs_marks: bool, name: str = ""):
        self._table, self.needs_marks = table, needs_marks
        self._slot = table.slot(name) if name else secrets.randbits(64)
        self._age_shares, self._age_weights = list(_SHARES), [_PRIOR_WEIGHT] * len(_AGES)
        self._written, self._write_weight = 1.0 if needs_marks else 0.0, _PRIOR_WEIGHT
        self._reuse = Reuse(table) if needs_marks else None

    def expected(self, prefix: Prefix, input_tokens: int, now: float, rates: Rates | None = None) -> Warm:
        """Of a prompt of so many tokens. `rates`: what decides whether Merit sets marks; None where it must not."""
        if self._reuse is None or prefix.marked:
            return self._found(prefix, input_tokens, now)
        if rates is None:
            return COLD
        found = self._found(prefix, input_tokens, now)
        marks = marks_of(prefix, input_tokens, found.cached, self._reuse.shares, rates)
        if not marks:
            return COLD
        limit = input_tokens
        if not marks & Marks.END:
            limit = input_tokens * prefix.instructions // prefix.length
        cached, matched = min(found.cached, limit), min(found.matched, limit)
        return Warm(cached, int((limit - cached) * self._written), matched, found.age, marks)

    @property
    def kept(self) -> float | None:
        """The share of a prompt of the last minutes that is read from the cache; None while few have shown it."""
        return self._age_shares[0] if self._age_weights[0] >= _KNOWN_WEIGHT else None

    @property
    def written(self) -> float:
        """The share of what is not read from it that is written to it."""
        return self._written

    def _found(self, prefix: Prefix, input_tokens: int, now: float) -> Warm:
        cached = matched = 0
        found, age = 0, -1
        for place, limit in enumerate(_AGES):
            known = self._table.sent_since(prefix.links, self._slot, now - limit)
            if known > found:
                found = known
                tokens = input_tokens * prefix.ends[found - 1] // prefix.length
                if tokens >= LEAST_TOKENS and (share := int(tokens * self._age_shares[place])) >= cached:
                    cached, matched, age = share, tokens, place
            if found == len(prefix.links):
                break
        written = int((input_tokens - cached) * self._written)
        return Warm(cached, written, matched, age) if matched or written else COLD

    def observe(self, prefix: Prefix, expected: Warm, usage: Usage, now: float) -> None:
        """An answer reported this usage: the prompt is in the cache from now on."""
        if self._reuse is not None:
            self._reuse.observe(prefix, now)
            if not prefix.marked and not expected.marks:
                return
        cached, written, end = usage.all_cached, usage.all_written, prefix.length
        if expected.marks and not expected.marks & Marks.END:
            end = prefix.instructions
        to_write = usage.input * end // prefix.length - cached
        if expected.matched:
            weight = self._age_weights[expected.age] = min(self._age_weights[expected.age] + 1.0, _MEMORY)
            seen = min(1.0, cached / expected.matched)
            self._age_shares[expected.age] += (seen - self._age_shares[expected.age]) / weight
        if to_write > 0:
            self._write_weight = min(self._write_weight + 1.0, _MEMORY)
            self._written += (min(1.0, written / to_write) - self._written) / self._write_weight
        links = prefix.links[: links_within(prefix, end)]
        for link in reversed(links):  # the longest is forgotten first: a known link's beginnings are known
            self._table.tell(link ^ self._slot, now)
