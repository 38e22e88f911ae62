"""One answer as it is kept. JSON and streams share it: a stream is made of it anew."""

import msgspec


class Entry(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A complete answer. Times are epoch seconds: pods share entries, and their clocks."""

    body: bytes
    """What a hit gets: the provider's body, its `usage.cost` nothing."""
    headers: tuple[tuple[bytes, bytes], ...]
    """Response headers that say who answered."""
    content_type: bytes
    cost: int
    """Pico-dollars that it cost, and that a hit saves."""
    input_tokens: int
    output_tokens: int
    """What the provider counted, and a hit saves."""
    created: float
    fresh_until: float
    stale_until: float
    """Until when it may be served while it is fetched anew; not before `fresh_until`."""
    labels: tuple[str, str, str, str]
    """route, tier, provider, model: whose answer it is, when it is scored."""
    consumer: str
    tags: tuple[str, ...] = ()
    """By which it can be removed."""

    @property
    def size(self) -> int:
        """Bytes that it takes in memory, about."""
        return len(self.body) + sum(len(name) + len(value) for name, value in self.headers) + 600

    def fresh(self, now: float) -> bool:
        """Whether it may be served as it is."""
        return self.created <= now + _CLOCKS_DIFFER and now < self.fresh_until

    def usable(self, now: float) -> bool:
        """Whether it may be served at all."""
        return self.created <= now + _CLOCKS_DIFFER and now < self.stale_until


_CLOCKS_DIFFER = 5.0
"""Seconds. An entry from further in the future is none."""
