"""How often a prompt's beginning comes again while providers still have it in their caches: learned by tier.

A prompt that begins as one of the last 5 minutes did follows that one up. If that is true of a share `again` of all
prompts, each has `again` followers on average, these have as many, and so on: again / (1 - again) in the end.
"""

import secrets

from merit_dataplane.warmth.prefix import LEAST_TOKENS, Prefix
from merit_dataplane.warmth.table import PrefixTable

_WITHIN_SECONDS = 300.0
_ENOUGH = 100
"""Prompts, before which nothing is expected."""
_MEMORY = 500.0
"""Prompts after which an old one weighs 1/e."""
_MOST_AGAIN = 0.95


class FollowUps:
    """Of one tier. Counts prompts that are long enough for a cache, whoever they were sent to."""

    __slots__ = ("_again", "_seen", "_shared", "_slot", "_table", "_weight", "salt")

    def __init__(self, table: PrefixTable) -> None:
        self._table, self._slot = table, secrets.randbits(64)
        self.salt = table.salt
        self._seen = 0
        self._weight = 0.0
        self._again = self._shared = 0.0

    def came(self, prefix: Prefix, input_tokens: int, now: float) -> None:
        """A prompt came. `now` is an epoch second."""
        known = self._table.sent_since(prefix.links, self._slot, now - _WITHIN_SECONDS)
        shared = prefix.ends[known - 1] / prefix.length if known else 0.0
        self.observe(shared if shared * input_tokens >= LEAST_TOKENS else 0.0)
        for link in reversed(prefix.links):  # the longest is forgotten first
            self._table.use(link ^ self._slot, now)

    def observe(self, shared: float) -> None:
        """Of a prompt this share had been sent in the last 5 minutes; 0 is none."""
        self._seen += 1
        self._weight = min(self._weight + 1.0, _MEMORY)
        self._again += ((shared > 0) - self._again) / self._weight
        if shared > 0:
            self._shared += (shared - self._shared) / max(1.0, self._weight * self._again)

    @property
    def expected(self) -> float:
        """Prompts to come that begin as this one does; 0 while too little is known."""
        if self._seen < _ENOUGH:
            return 0.0
        again = min(self._again, _MOST_AGAIN)
        return again / (1.0 - again)

    @property
    def shared(self) -> float:
        """The share of such a prompt that was sent before."""
        return min(1.0, self._shared)
