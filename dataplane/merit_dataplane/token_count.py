"""`POST /v1/messages/count_tokens`: how many input tokens a message would have.

The candidate that would be asked first counts: by its provider's own count, where that speaks Anthropic's protocol and
answers; else by the estimate that the merit order goes by, which is learned from what the candidate's `usage` reports.
"""

import asyncio
from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from merit_dataplane.authentication.contract import AuthenticationError
from merit_dataplane.dispatch.bid import Bid
from merit_dataplane.dispatch.legs import Leg
from merit_dataplane.dispatch.merit_order import explain, merit_order
from merit_dataplane.dispatch.refusal import nobody_left
from merit_dataplane.dispatch.tiers import classify
from merit_dataplane.snapshots.tables import Headers
from merit_dataplane.upstream.attempt import with_more
from merit_dataplane.upstream.client import UpstreamClient, UpstreamError
from merit_dataplane.wire.body import understood
from merit_dataplane.wire.clients import dialect_for
from merit_dataplane.wire.openai_request import Call, Operation

_SECONDS = 10.0
_MOST_BYTES = 64 * 1024


class Counted(NamedTuple):
    """The number, and where it comes from."""

    input_tokens: int
    source: str
    """`provider` or `estimate`."""
    headers: Headers
    """That say who would be asked."""


class _Count(msgspec.Struct):
    input_tokens: int


_count = msgspec.json.Decoder(_Count)


async def counted(client: UpstreamClient, leg: Leg, headers: Headers, *, now: float, wall: float) -> Counted:
    """`now`: `loop.time()`; `wall`: the epoch second of the prices. Raises RequestError when nobody can serve."""
    route, call = leg
    tier = classify(route, call, headers)
    order = merit_order(tier, call, now, wall)
    if not order:
        raise nobody_left(tier, call, explain(tier, call, now, wall))
    first = order[0]
    told = await _told(client, first, call)
    if told is None:
        return Counted(first.input, "estimate", first.target.headers)
    return Counted(told, "provider", first.target.headers)


async def _told(client: UpstreamClient, bid: Bid, call: Call) -> int | None:
    """The provider's own count; None where it has none, or doesn't answer well."""
    target, provider = bid.target, bid.target.provider
    dialect = dialect_for(provider.dialect, call, target.features)
    if dialect.asks is not Operation.COUNT_TOKENS:
        return None
    url = target.endpoints[0].urls[dialect.asks]
    body = understood(dialect.request, call, target.model_json, target.max_output_tokens)
    headers: Mapping[str, str] = with_more(provider.headers, dialect.more_headers or {})
    response = None
    try:
        async with asyncio.timeout(_SECONDS):
            if provider.authentication is not None:
                headers = await provider.authentication.headers(url, headers, body)
            response = await client.post(url, headers, body, provider.connect_seconds, once=True)
            return _count.decode(await response.read(_MOST_BYTES)).input_tokens if response.status == 200 else None
    except (TimeoutError, UpstreamError, AuthenticationError, ValueError, RecursionError):
        return None
    finally:
        if response is not None:
            response.close()
