"""Relay: a complete answer, priced, to the client."""

from merit_crds.pricing import Usage, usd
from merit_dataplane.exchange import Exchange
from merit_dataplane.stages.responses import Responses, Send
from merit_dataplane.upstream.attempt import Whole
from merit_dataplane.wire.openai_request import Call
from merit_dataplane.wire.openai_response import with_cost


class Relay:
    """Of whole answers."""

    def __init__(self, responses: Responses):
        self._responses = responses

    async def whole(self, exchange: Exchange, answer: Whole, call: Call, send: Send) -> None:
        """A complete answer, priced."""
        body, extra = answer.body, [(b"content-type", answer.content_type)]
        if answer.status < 300:
            usage = (
                answer.usage
                or answer.estimate
                or Usage(exchange.bid.input if exchange.bid else call.input_tokens, output=max(1, len(body) // 8))
            )
            cost = exchange.book(usage, estimated=answer.usage is None)
            total = usd(cost.total)
            extra.append((b"x-merit-cost", total.encode()))
            if cost.amortised is not None:
                extra.append((b"x-merit-effective-cost", usd(cost.effective).encode()))
            if answer.estimate is None:
                body = with_cost(body, cost, usage if exchange.estimated else None, total=total)
        await self._responses.send(exchange, send, answer.status, body, tuple(extra))
