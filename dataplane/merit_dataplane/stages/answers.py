"""The cache stage: an answer that is kept, one that others are waiting for already, or a new one for all who ask.

bypass       the route has no cache for it, or the client wants none
hit          kept, and still fresh
stale        kept, and served while it is fetched anew
coalesced    of an identical request under way
semantic     kept for a question in other words, where the route asks for that
miss         asked for; who asks for the same meanwhile gets it, too
"""

import asyncio
import time
from typing import TYPE_CHECKING

from merit_crds.pricing import CostDetails, usd
from merit_dataplane.caching.controls import controls
from merit_dataplane.caching.entry import Entry
from merit_dataplane.caching.exact import ExactStore
from merit_dataplane.caching.flight import Flight, Follower
from merit_dataplane.caching.key import exact_key
from merit_dataplane.caching.purges import Purges
from merit_dataplane.caching.streams import Streams
from merit_dataplane.caching.wanted import Wanted
from merit_dataplane.exchange import CLIENT_GONE, Exchange
from merit_dataplane.feedback.answer_id import Byline
from merit_dataplane.observability.ledger import Ledger
from merit_dataplane.resilience.guard import Guard, Receive, Verdict
from merit_dataplane.snapshots.tables import ConsumerPlan, Headers, RoutePlan
from merit_dataplane.stages.flights import Flights, Go
from merit_dataplane.stages.responses import Responses, Send
from merit_dataplane.stages.semantic import Aside, Semantic
from merit_dataplane.wire.errors import RequestError
from merit_dataplane.wire.kept_answer import STREAMED
from merit_dataplane.wire.openai_passed.request import TABLE
from merit_dataplane.wire.openai_request import Call
from merit_dataplane.wire.openai_response import with_cost
from merit_dataplane.wire.openai_stream import StreamTranslator

if TYPE_CHECKING:
    from merit_dataplane.caching.shared_level import SharedLevel

_NOTHING = CostDetails(input=0, output=0, request=0)
_SSE = b"text/event-stream; charset=utf-8"
_CLIENT_STALL_SECONDS = 60.0
_STREAMS_SHARE = 16
"""A sixteenth of the cache's bytes, beside it."""
_QUESTIONS_SHARE = 8
"""An eighth, beside it, for what questions are alike."""
_FOREVER_SECONDS = 1e7
"""The call has its own limits."""
_OWN = frozenset({
    b"content-length", b"connection", b"x-request-id", b"x-merit-request-id", b"x-merit-snapshot", b"x-merit-cache",
    b"x-merit-cost", b"x-merit-expected-cost", b"x-merit-attempts", b"x-merit-hedge", b"x-merit-placement",
})  # fmt: skip
"""Headers of an answer that are not those of another request's."""


class Answers:
    """Of one process: what it keeps, and the calls under way that requests share."""

    def __init__(
        self, store: ExactStore, ledger: Ledger, responses: Responses, shared: "SharedLevel | None", aside: Aside
    ):
        self._store, self._ledger, self._responses, self._shared = store, ledger, responses, shared
        self._told = Streams(store.capacity // _STREAMS_SHARE)
        self.purges = Purges()
        self.semantic = Semantic(store, ledger, shared, self._serves, aside, store.capacity // _QUESTIONS_SHARE)
        self._flights = Flights(store, ledger, shared, self._serves, self.semantic)

    def wanted(
        self, exchange: Exchange, route: RoutePlan, call: Call, consumer: ConsumerPlan, headers: Headers
    ) -> Wanted | None:
        """None where the cache is passed by. Raises RequestError (400) for controls that make no sense."""
        plan = route.cache
        if plan is None:
            return None
        asked = controls(headers, call.given.get("cache"))
        key, scope = None, plan.scope
        kept = call.operation in STREAMED or (not call.stream and call.operation not in TABLE)
        if (asked.reads or asked.writes) and kept:
            owner = () if plan.shared else consumer.cache_scope
            chosen = sorted(header for header in headers if header[0] in plan.headers) if plan.headers else ()
            given = (part for header in chosen for part in header)
            scope = (*plan.scope, *owner, asked.namespace.encode(), *given)
            key = exact_key(call, scope=scope, shared=plan.shared, equal_under=plan.equal_under)
        if key is None:
            exchange.cache = "bypass"
            self._ledger.cache[route.key, "bypass"] += 1
            return None
        return Wanted(key, plan, asked, scope, headers)

    async def serve(self, wanted: Wanted, exchange: Exchange, receive: Receive, send: Send, go: Go) -> None:
        """An answer from wherever it can be had."""
        while True:
            if wanted.controls.reads and (entry := self._found(wanted)) is not None:
                fresh = entry.fresh(time.time())
                if not fresh and not wanted.controls.only_cached and self._flights.of(wanted.key) is None:
                    self._flights.begin(wanted, exchange.fork(anew=True), go, "refresh").stay()
                return await self._replay(exchange, send, wanted, entry, "hit" if fresh else "stale")
            if wanted.controls.only_cached:
                if (found := await self._elsewhere(wanted, exchange)) is not None:
                    fresh = found.fresh(time.time())
                    return await self._replay(exchange, send, wanted, found, "hit" if fresh else "stale")
                raise RequestError(
                    504,
                    "No answer is kept for this request, and the client wants no other.",
                    kind="server_error",
                    code="not_cached",
                    headers=((b"x-should-retry", b"false"),),
                )
            flight = self._flights.of(wanted.key) if wanted.controls.reads else None
            first = flight is None or not flight.joinable
            if flight is None or first:
                flight = self._flights.begin(wanted, exchange.fork(anew=False), go, "miss")
            follower = flight.join()
            try:
                with Guard(receive, total_seconds=_FOREVER_SECONDS) as guard:
                    if await self._follow(flight, follower, wanted, exchange, send, guard, first=first):
                        return None
            except asyncio.CancelledError:
                guard.forgive()
                exchange.status = CLIENT_GONE
                return None
            finally:
                flight.leave(follower)
                if first and flight.went:
                    exchange.flown = flight.exchange
                elif first and not flight.ended:
                    flight.exchange.rename()  # this request ends here, with an account of its own

    async def _elsewhere(self, wanted: Wanted, exchange: Exchange) -> Entry | None:
        """What another pod has kept; from then on this one has it, too."""
        if self._shared is None or not wanted.controls.reads:
            return None
        entry = await self._shared.peek(wanted.key, exchange.shared(self._shared.state))
        if entry is None or not self._serves(entry, wanted):
            return None
        self._store.put(wanted.key, entry)
        return entry

    async def close(self) -> None:
        """Ends what is fetched for nobody in particular."""
        await self._flights.close()

    # ---- what a client gets

    def _found(self, wanted: Wanted) -> Entry | None:
        entry = self._store.get(wanted.key, time.time())
        return entry if entry is not None and self._serves(entry, wanted) else None

    def _serves(self, entry: Entry, wanted: Wanted) -> bool:
        now = time.time()
        return entry.usable(now) and now - entry.created <= wanted.controls.max_age and not self.purges.ends(entry)

    async def _follow(  # noqa: PLR0917 # one client of one flight
        self,
        flight: Flight,
        follower: Follower,
        wanted: Wanted,
        exchange: Exchange,
        send: Send,
        guard: Guard,
        *,
        first: bool,
    ) -> bool:
        """Relays the call's answer. False: it was none for this request, which has to be made anew."""
        call, flown = exchange.call, flight.exchange
        if call is None or flown.call is None:
            raise AssertionError("a request has been read before it looks for an answer")
        same = (flown.call.stream, flown.call.wants_usage) == (call.stream, call.wants_usage)
        if not first and not (same and call.stream):
            await flight.over(follower)
            if flight.entry is not None:
                exchange.similarity = flight.similarity
                how = "semantic" if flight.similarity else "coalesced"
                await self._replay(exchange, send, wanted, flight.entry, how)
                return True
        await flight.begun()
        if not flight.status and flight.entry is not None:
            exchange.similarity = flight.similarity
            how = "hit" if flight.entry.fresh(time.time()) else "stale"
            await self._replay(exchange, send, wanted, flight.entry, "semantic" if flight.similarity else how)
            return True
        if not flight.status:
            raise RequestError(500, "Merit failed to serve this.", kind="server_error")
        if first:
            exchange.id = flown.id  # an answer's id says whose it is
        if first and wanted.controls.openrouter:
            flight.headers += ((b"x-openrouter-cache-status", b"MISS"),)
        if not first:
            refused = flight.status >= 400 and not flown.attempts  # by Merit itself: others may be served
            if (flight.status < 400 and not same) or (refused and flown.consumer is not exchange.consumer):
                return False
            exchange.cache, exchange.status = "coalesced", flight.status
            exchange.byline = flown.target.byline if flown.target is not None else None
            self._count(exchange, "coalesced")
        if call.stream and flight.status == 200:
            await self._relay_stream(flight, follower, exchange, send, guard, first=first)
        else:
            await self._relay_whole(flight, follower, exchange, send, first=first)
        exchange.status, exchange.error = flight.status, flown.error
        return True

    async def _relay_stream(  # as above
        self, flight: Flight, follower: Follower, exchange: Exchange, send: Send, guard: Guard, *, first: bool
    ) -> None:
        """As it comes. What one request paid costs the others nothing."""
        headers, free = flight.headers, None
        if not first:
            kept = tuple(header for header in flight.headers if header[0] not in _OWN)
            headers = tuple(self._responses.headers(exchange, kept))
            if exchange.call is not None:
                free = StreamTranslator(wants_usage=exchange.call.wants_usage, price=lambda _: _NOTHING)
        exchange.status = flight.status
        await send({"type": "http.response.start", "status": flight.status, "headers": list(headers)})
        async for piece in flight.pieces(follower):
            data = piece if free is None else free.feed(piece)
            guard.limit(_CLIENT_STALL_SECONDS, Verdict.CLIENT_GONE)
            await send({"type": "http.response.body", "body": data, "more_body": True})
            guard.limit(_FOREVER_SECONDS, Verdict.CLIENT_GONE)
        if not first and flight.exchange.cost is not None:
            self._save(exchange, flight.exchange.cost.total, *_tokens(flight))
        guard.unwatch()
        await send({"type": "http.response.body", "body": b""})

    async def _relay_whole(
        self, flight: Flight, follower: Follower, exchange: Exchange, send: Send, *, first: bool
    ) -> None:
        body = b"".join([piece async for piece in flight.pieces(follower)])
        if first:
            await send({"type": "http.response.start", "status": flight.status, "headers": list(flight.headers)})
            return await send({"type": "http.response.body", "body": body})
        if flight.status == 200:
            body = with_cost(body, _NOTHING)
        if flight.exchange.cost is not None:
            self._save(exchange, flight.exchange.cost.total, *_tokens(flight))
        kept = tuple(header for header in flight.headers if header[0] not in _OWN)
        return await self._responses.send(exchange, send, flight.status, body, kept)

    async def _replay(self, exchange: Exchange, send: Send, wanted: Wanted, entry: Entry, how: str) -> None:
        call = exchange.call
        if call is None:
            raise AssertionError("a request has been read before it looks for an answer")
        semantic = how == "semantic"
        exchange.cache, exchange.byline = how, None if semantic else _byline(exchange, entry)
        self._count(exchange, how)
        layer = "semantic" if semantic else "exact"
        self._save(exchange, entry.cost, entry.input_tokens, entry.output_tokens, layer)
        body, content_type = entry.body, entry.content_type
        if call.stream:
            body, content_type = self._told.of(wanted.key, entry, call), _SSE
        now = time.time()
        age, left = max(0, int(now - entry.created)), max(0, int(entry.fresh_until - now))
        headers = [
            (b"content-type", content_type),
            *entry.headers,
            (b"x-merit-cost", usd(0).encode()),
            (b"age", b"%d" % age),
        ]
        if semantic:
            headers.append((b"x-merit-similarity", b"%.4f" % exchange.similarity))
        if wanted.controls.openrouter:
            headers += [
                (b"x-openrouter-cache-status", b"HIT"),
                (b"x-openrouter-cache-age", b"%d" % age),
                (b"x-openrouter-cache-ttl", b"%d" % left),
            ]
        await self._responses.send(exchange, send, 200, body, tuple(headers))

    def _count(self, exchange: Exchange, how: str) -> None:
        if exchange.route is not None:
            self._ledger.cache[exchange.route.key, how] += 1

    def _save(self, exchange: Exchange, pico: int, input_tokens: int, output_tokens: int, layer: str = "exact") -> None:
        exchange.saved = pico
        if exchange.route is not None:
            key = exchange.route.key
            self._ledger.saved[key] += pico
            self._ledger.saved_tokens[key, layer, "not_sent"] += input_tokens
            self._ledger.saved_tokens[key, layer, "not_generated"] += output_tokens


def _tokens(flight: Flight) -> tuple[int, int]:
    usage = flight.exchange.usage
    return (usage.input, usage.all_output) if usage is not None else (0, 0)


def _byline(exchange: Exchange, entry: Entry) -> Byline | None:
    """Of who wrote it, while the route still knows that candidate."""
    if exchange.route is not None:
        for tier in exchange.route.tiers:
            for target in tier.targets:
                if target.labels == entry.labels:
                    return target.byline
    return None
