"""What a client gets: status, headers that say what was done, body."""

import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from merit_dataplane.dispatch.bid import Standing
from merit_dataplane.exchange import Exchange
from merit_dataplane.limits.refusal import rate_headers
from merit_dataplane.snapshots.tables import Headers
from merit_dataplane.wire.errors import RequestError
from merit_dataplane.wire.rate_limits import for_openais

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
JSON = (b"content-type", b"application/json")
_REPLAYED = frozenset({"hit", "semantic"})
"""The answer's own headers say the rest."""


class Responses:
    """Of one process."""

    def __init__(self) -> None:
        self.draining = False
        """From now on clients are asked to close their connections."""

    async def refuse(self, exchange: Exchange, send: Send, refusal: RequestError) -> None:
        """An error in the client's words."""
        exchange.error = refusal.code or refusal.kind
        await self.send(exchange, send, refusal.status, refusal.body(), (JSON, *refusal.headers))

    async def send(self, exchange: Exchange, send: Send, status: int, body: bytes, extra: Headers) -> None:
        """A whole answer."""
        exchange.status = status
        headers = self.headers(exchange, (*extra, (b"content-length", str(len(body)).encode())))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def headers(self, exchange: Exchange, extra: Headers) -> list[tuple[bytes, bytes]]:
        """Those of the answer, and what was done for it."""
        answer = exchange.sign().encode()
        headers = [*extra, (b"x-merit-request-id", answer), (b"x-request-id", answer)]
        if exchange.tables is not None:
            headers.append(exchange.tables.version_header)
        if exchange.target is not None:
            headers += exchange.target.headers
        elif exchange.route is not None and exchange.cache not in _REPLAYED:
            headers.append((b"x-merit-route", exchange.route.name.encode()))
        if exchange.attempts:
            headers.append((b"x-merit-attempts", str(exchange.attempts).encode()))
        if exchange.hedge:
            headers.append((b"x-merit-hedge", exchange.hedge.encode()))
        if exchange.bid is not None and exchange.bid.standing is Standing.MISSES_OBJECTIVE:
            headers.append((b"x-merit-objectives", f"missed: {exchange.bid.reason}".encode()))
        if exchange.placement:
            headers.append((b"x-merit-placement", exchange.placement.encode()))
        own = rate_headers(exchange.grant) if exchange.grant is not None else ()
        if own:
            exchange.limits = ()  # the consumer's, and not those of an account that it shares with others
            headers += own
        elif exchange.limits:
            headers += for_openais(exchange.limits, time.time())
        if exchange.cache:
            headers.append((b"x-merit-cache", exchange.cache.encode()))
        if self.draining:
            headers.append((b"connection", b"close"))
        return headers
