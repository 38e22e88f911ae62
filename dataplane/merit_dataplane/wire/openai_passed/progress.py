"""How far a stream has come that passes: any byte is a beginning, and nobody can go on from it."""

from merit_dataplane.wire.openai_progress import Progress


class Unread(Progress):
    """Of one answer."""

    __slots__ = ()

    def feed(self, data: bytes) -> bytes:
        """The same bytes."""
        if data:
            self.started = self.fixed = True
        return data
