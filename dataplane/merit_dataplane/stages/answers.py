"""The cache stage: answers that are found, replayed, kept."""

import re

from merit_crds.pricing import CostDetails
from merit_dataplane.caching.exact import ExactStore, Kept
from merit_dataplane.caching.key import exact_key
from merit_dataplane.exchange import Exchange
from merit_dataplane.observability.ledger import Ledger
from merit_dataplane.snapshots.tables import ConsumerPlan, Headers, RoutePlan, Target
from merit_dataplane.stages.responses import JSON, Responses, Send
from merit_dataplane.wire.openai_request import Call
from merit_dataplane.wire.openai_response import with_cost

_NOTHING = CostDetails(input=0, output=0, request=0)
_NO_CACHE = re.compile(rb"(?i)\bno-(store|cache)\b")


class Answers:
    """Of one process: its store, and how requests use it."""

    def __init__(self, store: ExactStore, ledger: Ledger, responses: Responses):
        self._store, self._ledger, self._responses = store, ledger, responses

    def key(
        self, exchange: Exchange, route: RoutePlan, call: Call, consumer: ConsumerPlan, headers: Headers
    ) -> bytes | None:
        """The key under which an answer may be found or kept; None where neither is wanted."""
        if not route.cache_seconds or call.stream:
            return None
        bypass = any(name == b"cache-control" and _NO_CACHE.search(value) for name, value in headers)
        key = None if bypass else exact_key(call, consumer=consumer.key, route=route.key)
        exchange.cache = "miss" if key else "bypass"
        if key is None:
            self._ledger.cache[route.key, "bypass"] += 1
        return key

    def find(self, key: bytes, now: float) -> Kept | None:
        """An answer that is still fresh."""
        return self._store.get(key, now)

    async def replay(self, exchange: Exchange, send: Send, kept: Kept) -> None:
        """A hit."""
        exchange.cache, exchange.saved, exchange.byline = "hit", kept.cost, kept.byline
        if exchange.route is not None:
            self._ledger.cache[exchange.route.key, "hit"] += 1
            self._ledger.saved[exchange.route.key] += kept.cost
        await self._responses.send(exchange, send, 200, kept.body, (JSON, *kept.headers, (b"x-merit-cost", b"0")))

    def keep(self, key: bytes, exchange: Exchange, route: RoutePlan, target: Target, body: bytes) -> None:
        """The answer to a miss, as the provider gave it."""
        cost = exchange.cost.total if exchange.cost is not None else 0
        guessed = exchange.usage if exchange.estimated else None
        expires = exchange.loop.time() + route.cache_seconds
        self._store.put(key, Kept(with_cost(body, _NOTHING, guessed), target.headers, cost, expires, target.byline))
        self._ledger.cache[route.key, "miss"] += 1
