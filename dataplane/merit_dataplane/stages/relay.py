"""Relay: a complete answer, priced, to the client."""

from merit_crds.pricing import Usage, usd
from merit_dataplane.exchange import Exchange
from merit_dataplane.stages.answers import Answers
from merit_dataplane.stages.responses import Responses, Send
from merit_dataplane.upstream.attempt import Whole
from merit_dataplane.wire.openai_request import Call
from merit_dataplane.wire.openai_response import with_cost


class Relay:
    """Of whole answers."""

    def __init__(self, responses: Responses, answers: Answers):
        self._responses, self._answers = responses, answers

    async def whole(self, exchange: Exchange, answer: Whole, call: Call, key: bytes | None, send: Send) -> None:
        """A complete answer, priced; kept under `key`, if there is one."""
        body, extra = answer.body, [(b"content-type", answer.content_type)]
        if answer.status < 300:
            usage = answer.usage or Usage(
                exchange.bid.input if exchange.bid else call.input_tokens, output=max(1, len(body) // 8)
            )
            cost = exchange.book(usage, estimated=answer.usage is None)
            extra.append((b"x-merit-cost", usd(cost.total).encode()))
            if key is not None and exchange.target is not None and exchange.route is not None:
                self._answers.keep(key, exchange, exchange.route, exchange.target, body)
            body = with_cost(body, cost, usage if exchange.estimated else None)
        await self._responses.send(exchange, send, answer.status, body, tuple(extra))
