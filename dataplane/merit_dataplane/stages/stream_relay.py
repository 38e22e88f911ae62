"""Relay: a stream to the client as it arrives, and what it cost once it has ended."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing

from merit_crds.pricing import Usage, usd
from merit_dataplane.exchange import Exchange
from merit_dataplane.observability.ledger import Ledger
from merit_dataplane.resilience.guard import Guard, Verdict
from merit_dataplane.snapshots.tables import EndpointPlan
from merit_dataplane.stages.responses import Responses, Send
from merit_dataplane.upstream.attempt import Stream
from merit_dataplane.upstream.client import UpstreamError
from merit_dataplane.wire import errors
from merit_dataplane.wire.clients import dialect_for
from merit_dataplane.wire.openai_request import Call
from merit_dataplane.wire.server_sent_events import MalformedStreamError
from merit_dataplane.wire.streamed import StreamedAnswer

_SSE = (b"content-type", b"text/event-stream; charset=utf-8")
_CLIENT_STALL_SECONDS = 60.0
_DRAIN_SECONDS = 1.0


class StreamRelay:
    """Of streams."""

    def __init__(self, responses: Responses, ledger: Ledger):
        self._responses, self._ledger = responses, ledger

    async def stream(  # noqa: PLR0917 # the stages' own order
        self, exchange: Exchange, answer: Stream, endpoint: EndpointPlan, call: Call, guard: Guard, send: Send
    ) -> None:
        """Event by event, to its end; an error event where it breaks off."""
        bid = exchange.bid
        if bid is None:
            raise AssertionError("a stream has a bid")
        exchange.status = 200
        exchange.first_token = exchange.loop.time() - exchange.started
        translator = dialect_for(bid.target.provider.dialect, call, bid.target.features).stream(
            call, bid.target.model, exchange.book, int(time.time())
        )
        try:
            extra = (_SSE, (b"cache-control", b"no-cache"), (b"x-merit-expected-cost", usd(bid.marginal).encode()))
            await send(
                {"type": "http.response.start", "status": 200, "headers": self._responses.headers(exchange, extra)}
            )
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
