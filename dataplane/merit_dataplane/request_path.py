"""The path of one request, top to bottom:

    authenticate -> match -> cache -> classify -> dispatch -> attempt -> relay -> account

A request takes the tables of one snapshot at its start and keeps them: a push never changes a request half-way.
"""

import asyncio
import hashlib
import logging
import math
import re
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, MutableMapping
from contextlib import aclosing
from random import getrandbits
from typing import Any

from merit_crds.pricing import CostDetails, Usage, usd
from merit_dataplane.caching.exact import ExactStore, Kept
from merit_dataplane.caching.key import exact_key
from merit_dataplane.dispatch.bid import Bid, Standing
from merit_dataplane.dispatch.legs import Leg, legs
from merit_dataplane.dispatch.merit_order import explain, merit_order
from merit_dataplane.dispatch.placement import placed
from merit_dataplane.dispatch.refusal import nobody_left
from merit_dataplane.dispatch.tiers import classify
from merit_dataplane.exchange import CLIENT_GONE, Exchange
from merit_dataplane.observability.ledger import Ledger
from merit_dataplane.observability.usage_log import UsageLog
from merit_dataplane.resilience.guard import Guard, Receive, Verdict
from merit_dataplane.snapshots.holder import SnapshotHolder
from merit_dataplane.snapshots.tables import (
    ConsumerPlan,
    EndpointPlan,
    Headers,
    ProviderPlan,
    RoutePlan,
    Tables,
    Target,
)
from merit_dataplane.upstream.attempt import AttemptFailedError, Stream, Whole, attempt
from merit_dataplane.upstream.client import UpstreamClient, UpstreamError
from merit_dataplane.warmth.prefix import prefix_of
from merit_dataplane.wire import errors
from merit_dataplane.wire.dialects import StreamedAnswer
from merit_dataplane.wire.errors import RequestError
from merit_dataplane.wire.openai_request import Call, Operation, parse
from merit_dataplane.wire.openai_response import with_cost
from merit_dataplane.wire.server_sent_events import MalformedStreamError

Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
_JSON = (b"content-type", b"application/json")
_SSE = (b"content-type", b"text/event-stream; charset=utf-8")
_BODY_SECONDS = 60.0
_CLIENT_STALL_SECONDS = 60.0
_DRAIN_SECONDS = 1.0
_OF_THE_ACCOUNT = frozenset({401, 403, 407, 429})
_OF_THE_MODEL = frozenset({404, 409})
"""Statuses after which another endpoint of the same account, or of the same model there, would say the same."""
NOTHING = CostDetails(input=0, output=0, request=0)
_NO_CACHE = re.compile(rb"(?i)\bno-(store|cache)\b")
log = logging.getLogger("merit.request")


class RequestPath:
    """Serves the endpoints of the hot path. One for all requests; holds no state of any of them."""

    def __init__(
        self,
        *,
        holder: SnapshotHolder,
        client: UpstreamClient,
        ledger: Ledger,
        log: UsageLog | None,
        cache: ExactStore,
        max_body_bytes: int,
    ):
        self._holder, self._client, self._ledger, self._log = holder, client, ledger, log
        self._cache, self.max_body_bytes = cache, max_body_bytes
        self.draining = False

    async def serve(self, scope: Scope, receive: Receive, send: Send, operation: Operation) -> None:
        """One request, from its head to its account."""
        exchange = Exchange(self._holder.tables)
        self._ledger.in_flight += 1
        try:
            await self._stages(exchange, scope, receive, send, operation)
        except RequestError as refusal:
            await self._refuse(exchange, send, refusal)
        except asyncio.CancelledError:
            if not self.draining:
                raise
            exchange.error = "cut_off"  # the grace period is over: the server closes the connection
        except Exception:
            if exchange.status:  # something of an answer is on its way
                raise
            log.exception("request %s", exchange.id)
            await self._refuse(exchange, send, RequestError(500, "Merit failed to serve this.", kind="server_error"))
        finally:
            self._ledger.in_flight -= 1
            exchange.close(self._ledger, self._log)

    async def _stages(
        self, exchange: Exchange, scope: Scope, receive: Receive, send: Send, operation: Operation
    ) -> None:
        headers: Headers = scope["headers"]
        tables = _in_force(exchange)
        consumer = exchange.consumer = authenticate(tables, headers)
        body = await read_body(receive, self.max_body_bytes)
        call = exchange.call = parse(operation, body)
        route = consumer.routes.get(call.model)
        further: tuple[Leg, ...] = ()
        if route is None or call.steering is not None:
            (route, call), *rest = legs(consumer, call)
            exchange.call, further = call, tuple(rest)
        exchange.route = route

        key = self._cache_key(exchange, route, call, consumer, headers)
        if key is not None and (kept := self._cache.get(key, exchange.started)) is not None:
            return await self._replay(exchange, send, kept)

        with Guard(receive, total_seconds=route.total_seconds) as guard:
            try:
                if further:
                    answer, endpoint = await self._answer_of_any(exchange, ((route, call), *further), headers, guard)
                    key = key if exchange.route is route else None  # another model's answer is not this one's
                else:
                    order = self._order(exchange, route, call, headers)
                    answer, endpoint = await self._first_answer(exchange, order, route, call, guard)
                if isinstance(answer, Stream):
                    return await self._relay_stream(exchange, answer, endpoint, call, guard, send)
            except asyncio.CancelledError:
                guard.forgive()  # raises again what isn't the guard's: only a client that is gone or stuck gets here
                exchange.status = CLIENT_GONE
                return None
        return await self._relay_whole(exchange, answer, call, key, send)

    # ---- cache

    def _cache_key(
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

    async def _replay(self, exchange: Exchange, send: Send, kept: Kept) -> None:
        exchange.cache, exchange.saved = "hit", kept.cost
        if exchange.route is not None:
            self._ledger.cache[exchange.route.key, "hit"] += 1
            self._ledger.saved[exchange.route.key] += kept.cost
        await self._send(exchange, send, 200, kept.body, (_JSON, *kept.headers, (b"x-merit-cost", b"0")))

    # ---- attempts

    def _order(self, exchange: Exchange, route: RoutePlan, call: Call, headers: Headers) -> list[Bid]:
        """The merit order. Raises RequestError when nobody is in it."""
        tier = exchange.tier = classify(route, call, headers)
        prefix = exchange.prefix = prefix_of(call) if tier.warms else None
        wall = exchange.billed_at = time.time() if tier.timed or prefix is not None else 0.0
        order = merit_order(tier, call, exchange.started, wall, prefix)
        if not order:
            raise nobody_left(tier, call, explain(tier, call, exchange.started, wall, prefix))
        if tier.places and call.steering is None and len(order) > 1 and not order[0].warm.matched:
            draws = divmod(getrandbits(64) % 10**12, 10**6)
            order, exchange.placement = placed(tier, order, call, exchange.started, *draws)
            if exchange.placement:
                self._ledger.placements[*order[0].target.labels, exchange.placement] += 1
        return order

    async def _answer_of_any(
        self, exchange: Exchange, chain: tuple[Leg, ...], headers: Headers, guard: Guard
    ) -> tuple[Whole | Stream, EndpointPlan]:
        """The first answer that is no error, of the client's models in turn; whatever the last one says."""
        for place, (route, call) in enumerate(chain, 1):
            exchange.route, exchange.call, exchange.bid, exchange.target = route, call, None, None
            try:
                order = self._order(exchange, route, call, headers)
                answer, endpoint = await self._first_answer(exchange, order, route, call, guard)
            except RequestError as refusal:
                if place == len(chain):
                    raise
                exchange.failures.append(f"{call.model}: {refusal.code}")
                continue
            if isinstance(answer, Stream) or answer.status < 400 or place == len(chain):
                return answer, endpoint
            exchange.failures.append(f"{call.model}: {answer.status}")
        raise AssertionError("a chain has a last leg")

    async def _first_answer(
        self, exchange: Exchange, order: list[Bid], route: RoutePlan, call: Call, guard: Guard
    ) -> tuple[Whole | Stream, EndpointPlan]:
        """The first answer down the merit order. Raises RequestError when every attempt failed."""
        last: AttemptFailedError | None = None
        given_up: set[Target | ProviderPlan] = set()
        most = exchange.attempts + route.attempts
        for bid, endpoint in attempts(order, exchange.started, given_up):
            if exchange.attempts == most or guard.remaining() <= 0:
                break
            account = bid.target.provider.account
            if account.full(exchange.loop.time()):
                given_up.add(bid.target.provider)
                exchange.failures.append(f"{bid.target.labels[2]}: own_limit")
                continue
            exchange.asks(bid)
            account.started(exchange.loop.time())
            try:
                answer = await attempt(self._client, bid.target, endpoint, call, guard)
            except AttemptFailedError as failure:
                account.ended()
                exchange.failed(bid, endpoint, failure, self._ledger)
                last = failure.with_traceback(None)  # its frames hold this one: a cycle
                if failure.status in _OF_THE_ACCOUNT:
                    given_up.add(bid.target.provider)
                elif failure.status in _OF_THE_MODEL:
                    given_up.add(bid.target)
                continue
            except BaseException:
                account.ended()
                raise
            if isinstance(answer, Whole):
                account.ended()  # a stream ends later
            exchange.answered(bid, endpoint, self._ledger)
            return answer, endpoint
        raise all_failed(exchange, last)

    # ---- relay

    async def _relay_whole(self, exchange: Exchange, answer: Whole, call: Call, key: bytes | None, send: Send) -> None:
        body, extra = answer.body, [(b"content-type", answer.content_type)]
        if answer.status < 300:
            usage = answer.usage or Usage(
                exchange.bid.input if exchange.bid else call.input_tokens, output=max(1, len(body) // 8)
            )
            cost = exchange.book(usage, estimated=answer.usage is None)
            extra.append((b"x-merit-cost", usd(cost.total).encode()))
            if key is not None and exchange.target is not None and exchange.route is not None:
                expires = exchange.loop.time() + exchange.route.cache_seconds
                self._cache.put(key, Kept(with_cost(body, NOTHING), exchange.target.headers, cost.total, expires))
                self._ledger.cache[exchange.route.key, "miss"] += 1
            body = with_cost(body, cost)
        await self._send(exchange, send, answer.status, body, tuple(extra))

    async def _relay_stream(  # noqa: PLR0917 # the stages' own order
        self, exchange: Exchange, answer: Stream, endpoint: EndpointPlan, call: Call, guard: Guard, send: Send
    ) -> None:
        bid = exchange.bid
        if bid is None:
            raise AssertionError("a stream has a bid")
        exchange.status = 200
        exchange.first_token = exchange.loop.time() - exchange.started
        translator = bid.target.provider.dialect.stream(call.wants_usage, exchange.book, int(time.time()))
        try:
            extra = (_SSE, (b"cache-control", b"no-cache"), (b"x-merit-expected-cost", usd(bid.cost).encode()))
            await send({"type": "http.response.start", "status": 200, "headers": self._headers(exchange, extra)})
            fault = await self._pump(answer, translator, bid.target.idle_seconds, guard, send)
            if fault:
                endpoint.health.failed(exchange.loop.time())
                self._ledger.attempt(bid.target.labels[2], endpoint.name, bid.target.model, f"stream_{fault}")
                exchange.error, exchange.status = f"stream_{fault}", 502
                message = "The provider's stream broke off; the answer is incomplete."
                error = errors.error_body(message, kind="upstream_error", code="stream_interrupted")
                guard.limit(_CLIENT_STALL_SECONDS, Verdict.CLIENT_GONE)
                # a provider's own error event has told the client
                event = b"" if fault == "error" else b"data: " + error + b"\n\n"
                await send({"type": "http.response.body", "body": event})
            else:
                endpoint.health.succeeded()
                guard.unwatch()
                await send({"type": "http.response.body", "body": b""})
                await _drain(answer, guard)
        except asyncio.CancelledError:
            endpoint.health.abandoned()
            raise
        finally:
            answer.response.close()
            bid.target.provider.account.ended()
            usage = translator.usage
            exchange.book(usage or Usage(bid.input, output=translator.events), estimated=usage is None)

    async def _pump(
        self, answer: Stream, translator: StreamedAnswer, idle_seconds: float, guard: Guard, send: Send
    ) -> str:
        """Relays until the stream ends. What went wrong; empty when it is complete."""
        try:
            async with aclosing(_chained(answer)) as pieces:
                async for piece in pieces:
                    data = translator.feed(piece)
                    if data:
                        guard.limit(_CLIENT_STALL_SECONDS, Verdict.CLIENT_GONE)
                        await send({"type": "http.response.body", "body": data, "more_body": True})
                    if translator.complete:
                        return "error" if translator.failed else ""
                    guard.limit(idle_seconds, Verdict.IDLE)
            if data := translator.finish():
                await send({"type": "http.response.body", "body": data, "more_body": True})
        except UpstreamError as error:
            return error.failure
        except MalformedStreamError:
            return "malformed"
        except asyncio.CancelledError:
            if guard.verdict in (None, Verdict.CLIENT_GONE):
                raise
            return guard.forgive()
        if translator.failed:
            return "error"
        return "" if translator.complete else "truncated"

    async def _refuse(self, exchange: Exchange, send: Send, refusal: RequestError) -> None:
        exchange.error = refusal.code or refusal.kind
        await self._send(exchange, send, refusal.status, refusal.body(), (_JSON, *refusal.headers))

    async def _send(self, exchange: Exchange, send: Send, status: int, body: bytes, extra: Headers) -> None:
        exchange.status = status
        headers = self._headers(exchange, (*extra, (b"content-length", str(len(body)).encode())))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _headers(self, exchange: Exchange, extra: Headers) -> list[tuple[bytes, bytes]]:
        headers = [*extra, (b"x-merit-request-id", exchange.id.encode())]
        if exchange.tables is not None:
            headers.append(exchange.tables.version_header)
        if exchange.target is not None:
            headers += exchange.target.headers
        elif exchange.route is not None and exchange.cache != "hit":
            headers.append((b"x-merit-route", exchange.route.name.encode()))
        if exchange.attempts:
            headers.append((b"x-merit-attempts", str(exchange.attempts).encode()))
        if exchange.bid is not None and exchange.bid.standing is Standing.MISSES_OBJECTIVE:
            headers.append((b"x-merit-objectives", f"missed: {exchange.bid.reason}".encode()))
        if exchange.placement:
            headers.append((b"x-merit-placement", exchange.placement.encode()))
        if exchange.cache:
            headers.append((b"x-merit-cache", exchange.cache.encode()))
        if self.draining:
            headers.append((b"connection", b"close"))
        return headers


# ---- stages without state


def _in_force(exchange: Exchange) -> Tables:
    if exchange.tables is None:
        raise RequestError(503, "This pod has no snapshot yet.", kind="server_error", headers=((b"retry-after", b"1"),))
    return exchange.tables


def authenticate(tables: Tables, headers: Headers) -> ConsumerPlan:
    """The consumer whose key this is. Raises RequestError (401)."""
    for name, value in headers:
        if name == b"authorization":
            if value[:7].lower() == b"bearer ":
                consumer = tables.consumers.get(hashlib.sha256(value[7:].strip()).digest())
                if consumer is not None:
                    return consumer
            break
    raise errors.invalid_key()


async def read_body(receive: Receive, limit: int) -> bytes:
    """The whole body. Raises RequestError (413, 408)."""
    message = await receive()  # the server ends a connection whose body doesn't begin
    if message["type"] == "http.request" and not message.get("more_body"):
        return _bounded(message.get("body", b""), limit)
    pieces: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            while size <= limit:
                if message["type"] == "http.disconnect":
                    raise RequestError(CLIENT_GONE, "the client has gone", kind="client_gone")
                pieces.append(message.get("body", b""))
                size += len(pieces[-1])
                if not message.get("more_body"):
                    break
                message = await receive()
    except TimeoutError:
        raise RequestError(408, f"The body did not arrive within {_BODY_SECONDS:.0f} s.") from None
    return _bounded(b"".join(pieces), limit)


def _bounded(body: bytes, limit: int) -> bytes:
    if len(body) > limit:
        raise RequestError(413, f"The body has more than {limit} bytes.", code="request_too_large")
    return body


def attempts(order: list[Bid], now: float, given_up: set[Target | ProviderPlan]) -> Iterator[tuple[Bid, EndpointPlan]]:
    """Down the merit order, each candidate's endpoints in turn; those with an open circuit after all the others.

    The caller adds to `given_up` what further endpoints can't help.
    """
    later = []
    for bid in order:
        for endpoint in bid.target.provider.endpoints:
            if bid.target in given_up or bid.target.provider in given_up:
                break
            if bid.standing is not Standing.UNAVAILABLE and endpoint.health.unavailable(now):
                later.append((bid, endpoint))
            else:
                yield bid, endpoint
    for bid, endpoint in later:
        if bid.target not in given_up and bid.target.provider not in given_up:
            yield bid, endpoint


def all_failed(exchange: Exchange, last: AttemptFailedError | None) -> RequestError:
    """What the client is told when no attempt gave an answer."""
    tried = "; ".join(exchange.failures) or "none was tried"
    if last.status == 429 if last is not None else exchange.failures:
        seconds = max(1, math.ceil((last and last.retry_after) or 1))
        return RequestError(
            429,
            f"Every provider is at its rate limit. Tried: {tried}.",
            kind="rate_limit_error",
            code="rate_limit_exceeded",
            headers=((b"retry-after", str(seconds).encode()),),
        )
    status = 504 if last is not None and last.outcome.endswith("_timeout") else 502
    return RequestError(
        status, f"No provider gave an answer. Tried: {tried}.", kind="upstream_error", code="all_failed"
    )


async def _drain(answer: Stream, guard: Guard) -> None:
    """Reads what follows the end marker, so that the connection can be used again."""
    guard.limit(_DRAIN_SECONDS, Verdict.IDLE)
    try:
        async for _ in answer.rest:
            pass
    except UpstreamError:
        pass
    except asyncio.CancelledError:
        guard.forgive()


async def _chained(answer: Stream) -> AsyncGenerator[bytes, None]:
    yield answer.first
    async for piece in answer.rest:
        yield piece
