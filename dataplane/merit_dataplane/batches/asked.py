"""One call of these endpoints, and what is said to it."""

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field

from merit_dataplane.exchange import Exchange
from merit_dataplane.resilience.guard import Receive
from merit_dataplane.snapshots.tables import ConsumerPlan, Headers, Tables
from merit_dataplane.wire.errors import RequestError


@dataclass(slots=True)
class Asked:
    """A call whose caller is known."""

    exchange: Exchange
    tables: Tables
    consumer: ConsumerPlan
    headers: Headers
    query: Mapping[str, str]
    receive: Receive
    held: int = 0
    """Bytes of its body, and of what is sent in its place, that are accounted for."""

    def header(self, name: bytes) -> bytes:
        """Empty where there is none."""
        return next((value for key, value in self.headers if key == name), b"")

    def number(self, name: str, default: int, most: int) -> int:
        """A whole number of the query. Raises RequestError (400)."""
        text = self.query.get(name, "")
        if not text:
            return default
        if not text.isdecimal() or not 1 <= int(text[:9]) <= most:
            raise RequestError(400, f"{name}: must be a whole number from 1 to {most}.", param=name)
        return int(text)


@dataclass(slots=True)
class Reply:
    """What goes back."""

    body: bytes = b""
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    kind: bytes = b"application/json"
    stream: AsyncGenerator[bytes, None] | None = None
    """In place of a body; closed by whoever has read it."""
