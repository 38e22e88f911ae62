"""The path of one request, top to bottom:

    authenticate -> take turns -> match -> cache -> admit -> classify -> dispatch -> attempt -> relay -> account

A request takes the tables of one snapshot at its start and keeps them: a push never changes a request half-way.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, MutableMapping
from typing import TYPE_CHECKING, Any

from merit_dataplane.caching.exact import ExactStore
from merit_dataplane.caching.purges import Purges
from merit_dataplane.dispatch.legs import Leg, legs
from merit_dataplane.exchange import CLIENT_GONE, Exchange
from merit_dataplane.observability.ledger import Ledger
from merit_dataplane.observability.usage_log import UsageLog
from merit_dataplane.overload.bodies import Bodies
from merit_dataplane.overload.turns import Turns
from merit_dataplane.resilience.guard import Guard, Receive
from merit_dataplane.snapshots.holder import SnapshotHolder
from merit_dataplane.snapshots.tables import Headers, RoutePlan
from merit_dataplane.stages.admission import Admission
from merit_dataplane.stages.answers import Answers
from merit_dataplane.stages.failover import Failover
from merit_dataplane.stages.intake import authenticate, not_ready, read_body
from merit_dataplane.stages.places import Places
from merit_dataplane.stages.ranking import ranked
from merit_dataplane.stages.relay import Relay
from merit_dataplane.stages.rendering import Rendering
from merit_dataplane.stages.responses import Responses, Send
from merit_dataplane.stages.stems import Stems
from merit_dataplane.stages.stream_relay import StreamRelay
from merit_dataplane.stems.library import Library
from merit_dataplane.upstream.attempt import Stream
from merit_dataplane.upstream.client import UpstreamClient
from merit_dataplane.wire.clients import CLIENTS, ClientDialect
from merit_dataplane.wire.errors import RequestError
from merit_dataplane.wire.openai_request import Call, Operation
from merit_dataplane.wire.openai_stem import text_of

if TYPE_CHECKING:
    from merit_dataplane.caching.shared_level import SharedLevel
    from merit_dataplane.observability.tracing import Tracing

Scope = MutableMapping[str, Any]
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
        admission: Admission,
        places: Places,
        turns: Turns,
        bodies: Bodies,
        responses: Responses,
        stems: Library,
        tracing: "Tracing | None" = None,
        shared_cache: "SharedLevel | None" = None,
    ):
        self._holder, self._ledger, self._log, self.max_body_bytes = holder, ledger, log, max_body_bytes
        self._responses, self._admission, self._tracing = responses, admission, tracing
        self._answers = Answers(cache, ledger, self._responses, shared_cache, self._aside)
        state = shared_cache.state if shared_cache is not None else None
        self.stems = Stems(stems, ledger, self._answers.purges, state)
        self._failover = Failover(client, ledger, places)
        self._relay = Relay(self._responses)
        self._streams = StreamRelay(self._responses, self._failover, ledger)
        self._turns, self.bodies = turns, bodies

    @property
    def draining(self) -> bool:
        """Whether this process is about to end: clients are asked to close their connections."""
        return self._responses.draining

    def drain(self) -> None:
        """From now on it is."""
        self._responses.draining = True

    @property
    def purges(self) -> Purges:
        """What of the cache was purged."""
        return self._answers.purges

    async def close(self) -> None:
        """Ends what no client waits for."""
        await self._answers.close()
        await self.stems.close()

    def serve(self, scope: Scope, receive: Receive, send: Send, operation: Operation) -> Awaitable[None]:
        """One request, from its head to its account."""
        exchange, client = Exchange(self._holder.tables), CLIENTS[operation]
        if self._tracing is not None:
            exchange.trace = self._tracing.begin(scope["headers"], operation)
        if client.renders is not None:
            send = Rendering(send, exchange, client.renders)
        return self._to_its_account(exchange, send, self._stages(exchange, scope, receive, send, client))

    async def _to_its_account(self, exchange: Exchange, send: Send, stages: Awaitable[None]) -> None:
        self._ledger.in_flight += 1
        try:
            await stages
        except RequestError as refusal:
            await self._responses.refuse(exchange, send, refusal)
        except asyncio.CancelledError:
            if not self._responses.draining:
                raise
            exchange.error = "cut_off"  # the grace period is over: the server closes the connection
        except Exception:
            if exchange.status:  # something of an answer is on its way
                raise
            log.exception("request %s", exchange.id)
            await self._responses.refuse(
                exchange, send, RequestError(500, "Merit failed to serve this.", kind="server_error")
            )
        finally:
            self._ledger.in_flight -= 1
            if exchange.grant is not None:
                self._admission.settle(exchange, exchange.grant)
            self.bodies.give(exchange.body_bytes)
            if exchange.flown is None:
                exchange.close(self._ledger, self._log)

    async def _stages(
        self, exchange: Exchange, scope: Scope, receive: Receive, send: Send, client: ClientDialect
    ) -> None:
        headers: Headers = scope["headers"]
        tables = exchange.tables
        if tables is None:
            raise not_ready()
        consumer = exchange.consumer = authenticate(tables, headers)
        if self._turns.late:
            await self._turns.enter(consumer.key)
        body = await read_body(receive, self.max_body_bytes, self.bodies, headers)
        exchange.body_bytes = len(body)
        call = exchange.call = client.parse(body, headers)
        route = consumer.routes.get(call.model)
        further: tuple[Leg, ...] = ()
        if route is None or call.steering is not None:
            (route, call), *rest = legs(consumer, call)
            exchange.call, further = call, tuple(rest)
        exchange.route = route

        wanted = self._answers.wanted(exchange, route, call, consumer, headers)
        if wanted is None:
            return await self._answer(exchange, route, call, further, headers, receive, send)

        async def go(flown: Exchange, receive: Receive, send: Send) -> None:
            answer = self._answer(flown, route, call, further, headers, receive, send)
            await self._to_its_account(flown, send, answer)

        return await self._answers.serve(wanted, exchange, receive, send, go)

    async def _aside(self, exchange: Exchange, route: RoutePlan, call: Call, receive: Receive, send: Send) -> None:
        """A call that a request's stage makes for it: cached, priced and accounted as any other of its consumer's."""
        if exchange.consumer is None:
            raise AssertionError("somebody has asked for it")
        exchange.route, exchange.call = route, call
        wanted = self._answers.wanted(exchange, route, call, exchange.consumer, ())

        async def go(flown: Exchange, receive: Receive, send: Send) -> None:
            await self._to_its_account(flown, send, self._charged(flown, route, call, receive, send))

        if wanted is None:
            return await go(exchange, receive, send)
        return await self._to_its_account(exchange, send, self._answers.serve(wanted, exchange, receive, send, go))

    async def _charged(self, exchange: Exchange, route: RoutePlan, call: Call, receive: Receive, send: Send) -> None:
        """Dispatch, attempt, relay. It is none of the consumer's requests, but takes of its tokens and budgets."""
        account = exchange.consumer.account if exchange.consumer is not None else None
        try:
            with Guard(receive, total_seconds=route.total_seconds) as guard:
                try:
                    order = ranked(exchange, route, call, (), self._ledger)
                    served = await self._failover.first_answer(exchange, order, route, call, guard)
                except asyncio.CancelledError:
                    guard.forgive()
                    exchange.status = CLIENT_GONE
                    return
            if isinstance(served.answer, Stream):
                raise AssertionError("no stream was asked for")
            await self._relay.whole(exchange, served.answer, call, send)
        finally:
            if account is not None:
                account.charge(*exchange.paid(), exchange.loop.time(), time.time())

    async def _answer(  # noqa: PLR0917 # the stages' own order
        self,
        exchange: Exchange,
        route: RoutePlan,
        call: Call,
        further: tuple[Leg, ...],
        headers: Headers,
        receive: Receive,
        send: Send,
    ) -> None:
        """Admit, classify, dispatch, attempt, relay: an answer that somebody has to be asked for."""
        consumer = exchange.consumer
        if consumer is not None and consumer.account is not None:
            await self._admission.admit(exchange, consumer.account, route, call, headers)
        with Guard(receive, total_seconds=route.total_seconds) as guard:
            try:
                if further:
                    chain = ((route, call), *further)
                    served, route = await self._failover.answer_of_any(exchange, chain, headers, guard)
                else:
                    if route.stems is not None:
                        exchange.stemming = await self.stems.look(exchange, route.stems, route, call, headers)
                    order = ranked(exchange, route, call, headers, self._ledger)
                    served = await self._failover.first_answer(exchange, order, route, call, guard)
                answer = served.answer
                if isinstance(answer, Stream):
                    text = await self._streams.stream(exchange, served, route, guard, send)
                    return self._taught(exchange, route, text)
            except asyncio.CancelledError:
                guard.forgive()  # raises again what isn't the guard's: only a client that is gone or stuck gets here
                exchange.status = CLIENT_GONE
                return None
        await self._relay.whole(exchange, answer, call, send)
        if exchange.stemming is not None:
            self._taught(exchange, route, text_of(answer.body))
        return None

    def _taught(self, exchange: Exchange, route: RoutePlan, text: str) -> None:
        if route.stems is not None and exchange.stemming is not None:
            self.stems.answered(exchange, route.stems, route, text)
