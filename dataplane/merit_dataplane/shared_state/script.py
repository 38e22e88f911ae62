"""A Lua script that Redis runs atomically, in one round trip."""

import hashlib


class Script:
    """`source` is a constant of the code, never made of input. `writes` is false for one that only reads."""

    __slots__ = ("sha", "source", "writes")

    def __init__(self, source: str, *, writes: bool = True):
        self.source = source
        self.writes = writes
        self.sha = hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()
        """What EVALSHA calls it by."""
