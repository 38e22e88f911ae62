"""Relay: a stream to the client as it arrives, and what it cost once it has ended.

Where it breaks off, the next attempt's stream is joined to it (`continuation`); where nobody can go on, the client gets
an error event: a truncated answer never looks complete.
"""

import asyncio
import math

from merit_crds.pricing import usd
from merit_dataplane.exchange import Exchange, Lost
from merit_dataplane.observability.ledger import Ledger
from merit_dataplane.resilience.guard import CLIENT_STALL_SECONDS, Guard, Verdict
from merit_dataplane.snapshots.tables import RoutePlan
from merit_dataplane.stages.continuation import Sent, ways_on
from merit_dataplane.stages.failover import Failover, Served
from merit_dataplane.stages.itinerary import Itinerary, Stop
from merit_dataplane.stages.responses import Responses, Send
from merit_dataplane.stages.stem_attempt import said
from merit_dataplane.upstream import spent
from merit_dataplane.upstream.attempt import Attempt, Stream
from merit_dataplane.upstream.client import UpstreamError
from merit_dataplane.upstream.spent import Spent
from merit_dataplane.wire import errors
from merit_dataplane.wire.openai_request import Call
from merit_dataplane.wire.openai_splice import Splice
from merit_dataplane.wire.openai_stem import Begun
from merit_dataplane.wire.server_sent_events import MalformedStreamError

_SSE = b"text/event-stream"
_DRAIN_SECONDS = 1.0
_TAIL_SECONDS = 3.0
"""How long the usage and the end marker may take after the model has said that it ended."""
_SILENT_TIMES_IDLE = 4.0
"""Signs of life without a token stretch the time between two tokens, at most so far."""
_DONE = b"data: [DONE]\n\n"


class StreamRelay:
    """Of streams."""

    def __init__(self, responses: Responses, failover: Failover, ledger: Ledger):
        self._responses, self._failover, self._ledger = responses, failover, ledger

    async def stream(self, exchange: Exchange, served: Served, route: RoutePlan, guard: Guard, send: Send) -> str:
        """Event by event, to its end; an error event where it breaks off and nobody goes on.

        The text of a whole answer where it teaches something of stems; else nothing.
        """
        answer, made, itinerary = served
        if not isinstance(answer, Stream) or made is None or exchange.call is None:
            raise AssertionError("a stream has an attempt")
        call = exchange.call
        exchange.status = 200
        exchange.first_token = exchange.loop.time() - exchange.started
        kind = (b"content-type", answer.content_type)
        extra = (kind, (b"cache-control", b"no-cache"), (b"x-merit-expected-cost", usd(made.bid.marginal).encode()))
        stem = made.stem
        begun = Begun(stem.text, stem.tokens) if stem is not None else None
        part = _Part(exchange, made, answer, begun)
        sent, parts = Sent(answer.held), 1
        try:
            await send(
                {"type": "http.response.start", "status": 200, "headers": self._responses.headers(exchange, extra)}
            )
            while True:
                guard.extend(math.inf)  # what flows is limited by its pauses
                fault = await part.pump(guard, send)
                if begun is not None and part.made is made:
                    said(exchange, made, repeats=begun.repeats)
                if not fault:
                    await part.finish(guard, send)
                    return part.text if exchange.stemming is not None and part.teaches else ""
                sent.add(part.answer.progress, part.text, part.answer.progress.pieces)
                part.break_off(fault, self._ledger)
                itinerary = itinerary.onward(Stop(part.made.bid, part.made.endpoint))
                lost = part.lose()
                joined = None
                if parts < route.attempts:
                    joined = await self._joined(exchange, itinerary, route, call, sent, guard)
                if joined is None:
                    exchange.keep(lost)
                    await self._end(exchange, part, fault, guard, send)
                    return ""
                part, parts = joined, parts + 1
        except asyncio.CancelledError:
            part.made.endpoint.circuit.abandoned()
            raise
        finally:
            part.close()

    async def _joined(  # noqa: PLR0917 # the stages' own order
        self,
        exchange: Exchange,
        itinerary: Itinerary,
        route: RoutePlan,
        call: Call,
        sent: Sent,
        guard: Guard,
    ) -> "_Part | None":
        """The next part of the answer, if somebody goes on."""
        guard.extend(route.total_seconds)
        for way in ways_on(route, call, sent):
            served = await self._failover.next_answer(exchange, itinerary.onward(), route, call, guard, way.adapt)
            if served is None or served.made is None or not isinstance(served.answer, Stream):
                continue
            splice = way.splice(served.made.bid)
            exchange.mid_stream = way.name
            self._ledger.mid_stream[route.key, way.name] += 1
            return _Part(exchange, served.made, served.answer, splice)
        return None

    async def _end(self, exchange: Exchange, part: "_Part", fault: str, guard: Guard, send: Send) -> None:
        """The client is told that the answer is incomplete: in the provider's own words where it has said so."""
        exchange.error, exchange.status = f"stream_{fault}", 502
        if not part.answer.content_type.startswith(_SSE):
            return  # without an end: the server closes the connection, and no word of ours gets into a sound
        message = "The provider's stream broke off; the answer is incomplete."
        error = errors.error_body(message, kind="upstream_error", code="stream_interrupted")
        guard.limit(CLIENT_STALL_SECONDS, Verdict.CLIENT_GONE)
        event = part.answer.progress.error or b"data: " + error + b"\n\n"
        if part.answer.estimate is not None and part.answer.translator.failed:
            event = b""  # the provider's own has passed
        await send({"type": "http.response.body", "body": event})


class _Part:
    """What one attempt writes of an answer."""

    __slots__ = ("_ended", "_exchange", "_fault", "_splice", "answer", "made")

    def __init__(self, exchange: Exchange, made: Attempt, answer: Stream, splice: Splice | None):
        self._exchange, self.made, self._splice, self.answer = exchange, made, splice, answer
        self._ended, self._fault = False, ""

    @property
    def text(self) -> str:
        """All that the client has."""
        return self.answer.progress.text if self._splice is None else self._splice.text

    @property
    def teaches(self) -> bool:
        """Whether it is a text and nothing else, that ended well."""
        progress = self.answer.progress
        return not (progress.calls or progress.fixed) and progress.reason in {"stop", "length"}

    async def pump(self, guard: Guard, send: Send) -> str:
        """Relays until the stream ends. What went wrong; empty when it is complete."""
        answer = self.answer
        try:
            fault = await self._relay(guard, send)
        except UpstreamError as error:
            fault = error.failure
        except MalformedStreamError:
            fault = "malformed"
        except asyncio.CancelledError:
            if guard.verdict in (None, Verdict.CLIENT_GONE):
                raise
            fault = guard.forgive()
        guard.sending = False
        if self._splice is not None and self._splice.diverged:
            return "diverged"
        if answer.progress.finished:
            return ""  # a fault after the model has said that it ended is none
        if answer.progress.error:
            return "error"
        return "" if answer.translator.complete else fault

    async def _relay(self, guard: Guard, send: Send) -> str:
        answer, idle, splice = self.answer, self.made.bid.target.idle_seconds, self._splice
        translator, progress, reading = answer.translator, answer.progress, answer.reading
        clock = self._exchange.loop.time
        heard = clock()
        guard.until(heard + idle, Verdict.IDLE)
        if answer.held:
            await self._send(answer.held, guard, send)
        if translator.complete or (splice is not None and splice.diverged):
            return ""
        guard.until(clock() + (_TAIL_SECONDS if progress.finished else idle), Verdict.IDLE)
        async for piece in answer.rest:
            data = reading.feed(piece)
            if data:
                guard.sending = True
                if splice is None:
                    await send({"type": "http.response.body", "body": data, "more_body": True})
                else:
                    await self._send(data, guard, send)
                guard.sending = False
            if translator.complete or (splice is not None and splice.diverged):
                return ""
            if progress.broken:
                return "malformed"
            now = clock()
            if data and data[:1] != b":":
                heard = now
            elif now - heard > _SILENT_TIMES_IDLE * idle:
                return Verdict.IDLE
            guard.until(now + (_TAIL_SECONDS if progress.finished else idle), Verdict.IDLE)
        await self._send(reading.finish(), guard, send)
        return "truncated"

    async def finish(self, guard: Guard, send: Send) -> None:
        """The answer is complete: whether its stream said so or not."""
        made, answer = self.made, self.answer
        made.endpoint.circuit.succeeded(self._exchange.loop.time(), made.began)
        guard.unwatch()
        guard.limit(CLIENT_STALL_SECONDS, Verdict.CLIENT_GONE)
        ended = answer.translator.complete and not answer.progress.broken  # else the vendor's mark was held back
        end = b"" if ended else _DONE
        await send({"type": "http.response.body", "body": end})
        if answer.translator.complete:
            await _drain(answer, guard)

    def break_off(self, fault: str, ledger: Ledger) -> None:
        """The attempt is over, and paid for."""
        made, exchange = self.made, self._exchange
        self._fault = f"stream_{fault}"
        if fault != "diverged":
            made.endpoint.circuit.failed(exchange.loop.time(), told=fault == "error")
        labels = made.bid.target.labels
        ledger.attempt(labels[2], made.endpoint.name, made.bid.target.model, self._fault)
        exchange.failures.append(f"{labels[2]}/{made.endpoint.name}: {self._fault}")
        if exchange.trace is not None:
            exchange.trace.failed(self._fault, 0)
        self._leave()

    def lose(self) -> Lost:
        """Another part is to go on: this one is paid for all the same."""
        return self._exchange.lose(self.made.bid, self.made.endpoint, self._fault, self._spent())

    def close(self) -> None:
        """It is the last part, however it ended: what came of it is what the request's own account has."""
        self._leave()
        usage, estimated = self._spent()
        self._exchange.book(usage, estimated=estimated)

    def _spent(self) -> Spent:
        return spent.on_relayed(self.made.bid, self.answer)

    def _leave(self) -> None:
        if not self._ended:
            self._ended = True
            self.answer.response.close()
            self.made.bid.target.provider.account.ended()

    async def _send(self, data: bytes, guard: Guard, send: Send) -> None:
        if self._splice is not None:
            data = self._splice.feed(data)
        if data:
            guard.sending = True
            await send({"type": "http.response.body", "body": data, "more_body": True})
            guard.sending = False


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
