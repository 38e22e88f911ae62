"""Shared beginnings of a trace's prompts, and what of them an account has in its cache: columns of blocks.

A request names its blocks from the first on, each of `prefix_tokens` tokens; a block's name stands for all that lies
before its end, too. An account that was sent a block has it and all before it for WARM_SECONDS.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from merit_dataplane.replay.names import Ints, Names
from merit_dataplane.replay.tokens import Tokens
from merit_dataplane.warmth.prefix import LEAST_TOKENS

WARM_SECONDS = 300.0
"""For so long after its last use a provider still has a prefix, as Anthropic and OpenAI say of theirs."""


@dataclass(frozen=True, slots=True)
class Blocks:
    """All blocks of all prompts, those of one request together."""

    rows: Ints
    """The request that each block belongs to, ascending."""
    codes: Ints
    """Which block."""
    tokens: Ints
    """Of each request: one block's length."""
    input: Ints
    """Of each request."""

    def known_tokens(self, known: Ints) -> Ints:
        """Input tokens in the first so many blocks of each request; 0 where no vendor caches that few."""
        found = np.minimum(known * self.tokens, self.input)
        return np.where(found >= LEAST_TOKENS, found, 0)

    @property
    def counts(self) -> Ints:
        """Blocks of each request."""
        return np.bincount(self.rows, minlength=len(self.input))

    @property
    def roots(self) -> Ints:
        """The first block of each request, -1 where it has none: requests that share any block share this one."""
        made = np.full(len(self.input), -1, np.int64)
        made[self.rows[::-1]] = self.codes[::-1]
        return made


def blocks_of(prefix: Names, prefix_tokens: Ints, input_tokens: Ints) -> Blocks:
    """Of names with spaces between them. Prompts whose blocks are together too short for any cache have none."""
    codes: dict[str, int] = {}
    chains = [[codes.setdefault(name, len(codes)) for name in names.split(" ") if name] for names in prefix.names]
    lengths = np.array([len(chain) for chain in chains], np.int64)
    flat = np.array([code for chain in chains for code in chain], np.int64)
    starts = np.concatenate([[0], np.cumsum(lengths)])[:-1] if chains else lengths
    long_enough = np.minimum(lengths[prefix.codes] * prefix_tokens, input_tokens) >= LEAST_TOKENS
    rows = np.flatnonzero(long_enough)
    of_each = lengths[prefix.codes[rows]]
    repeated = np.repeat(rows, of_each)
    within = np.arange(len(repeated)) - np.repeat(np.cumsum(of_each) - of_each, of_each)
    return Blocks(repeated, flat[np.repeat(starts[prefix.codes[rows]], of_each) + within], prefix_tokens, input_tokens)


def warm_tokens(blocks: Blocks, account: Ints, at: NDArray[np.float64]) -> Ints:
    """Of each request the tokens that the account which it goes to has in its cache. `at`: when, ascending or not."""
    served = account[blocks.rows]
    order = np.lexsort((blocks.rows, at[blocks.rows], blocks.codes, served))
    rows, codes, who = blocks.rows[order], blocks.codes[order], served[order]
    same = (np.diff(who) == 0) & (np.diff(codes) == 0) & (np.diff(at[rows]) < WARM_SECONDS)
    # a block that is known has all before it known: so many, counted, are the first ones
    known = np.bincount(rows[1:][same], minlength=len(blocks.input))
    return blocks.known_tokens(known)


def with_cache(tokens: Tokens, blocks: Blocks, cached: Ints) -> Tokens:
    """Tokens of requests with blocks: so many read from the cache, the rest of the blocks written to it."""
    everything = blocks.known_tokens(blocks.counts)
    named = everything > 0
    columns: dict[str, Ints] = dict(tokens.columns)
    plain = {name: columns.get(name, np.zeros(len(tokens), np.int64)) for name in _PLAIN}
    whole = plain["uncached_input"] + plain["cached_input"] + plain["cache_write"]
    shared = np.minimum(everything, whole)
    read = np.minimum(cached, whole)
    columns["uncached_input"] = np.where(named, whole - shared, plain["uncached_input"])
    columns["cached_input"] = np.where(named, read, plain["cached_input"])
    columns["cache_write"] = np.where(named, shared - read, plain["cache_write"])
    return tokens.of(columns)


_PLAIN = ("uncached_input", "cached_input", "cache_write")
