"""Authenticate, and read the body: what a request has to show before it is anything."""

import asyncio
import hashlib
from collections.abc import MutableMapping
from io import BytesIO
from typing import Any

from merit_dataplane.exchange import CLIENT_GONE, Exchange
from merit_dataplane.overload.bodies import Bodies
from merit_dataplane.resilience.guard import Receive
from merit_dataplane.snapshots.tables import ConsumerPlan, Headers, Tables
from merit_dataplane.wire import errors
from merit_dataplane.wire.errors import RequestError

_BODY_SECONDS = 60.0


def in_force(exchange: Exchange) -> Tables:
    """The tables that this request keeps to its end. Raises RequestError (503) before there are any."""
    if exchange.tables is None:
        raise not_ready()
    return exchange.tables


def not_ready() -> RequestError:
    """There are no tables yet."""
    return RequestError(503, "This pod has no snapshot yet.", kind="server_error", headers=((b"retry-after", b"1"),))


def authenticate(tables: Tables, headers: Headers) -> ConsumerPlan:
    """The consumer whose key this is. Raises RequestError (401)."""
    for name, value in headers:
        if name == b"authorization":
            if value[:7].lower() == b"bearer ":
                consumer = tables.consumers.get(hashlib.sha256(value[7:].strip()).digest())
                if consumer is not None:
                    return consumer
            break
    for name, value in headers:  # as Anthropic's clients send it
        if name == b"x-api-key":
            consumer = tables.consumers.get(hashlib.sha256(value.strip()).digest())
            if consumer is not None:
                return consumer
            break
    raise errors.invalid_key()


async def read_body(receive: Receive, limit: int, bodies: Bodies | None = None, headers: Headers = ()) -> bytes:
    """The whole body, which the caller gives back to `bodies`. Raises RequestError (413, 408, 503).

    With `headers`, a body that is announced as too large is refused before it is read.
    """
    message = await receive()  # the server ends a connection whose body doesn't begin
    if message["type"] == "http.request" and not message.get("more_body"):
        body: bytes = message.get("body", b"")
        if len(body) > limit:
            raise _too_large(limit)
        if bodies is not None:
            bodies.take(len(body))
        return body
    for name, value in headers:
        if name == b"content-length" and int(value) > limit:  # the server has seen that it is a number
            raise _too_large(limit)
    return await _read_on(message, receive, limit, bodies)


async def _read_on(message: MutableMapping[str, Any], receive: Receive, limit: int, bodies: Bodies | None) -> bytes:
    gathered = BytesIO()  # hands out what it holds without another copy
    size = 0
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            while size <= limit:
                if message["type"] == "http.disconnect":
                    raise RequestError(CLIENT_GONE, "the client has gone", kind="client_gone")
                piece = message.get("body", b"")
                if bodies is not None:
                    bodies.take(len(piece))
                gathered.write(piece)
                size += len(piece)
                if not message.get("more_body"):
                    break
                message = await receive()
        if size > limit:
            raise _too_large(limit)
        return gathered.getvalue()
    except BaseException as error:
        if bodies is not None:
            bodies.give(size)
        if isinstance(error, TimeoutError):
            raise RequestError(408, f"The body did not arrive within {_BODY_SECONDS:.0f} s.") from None
        raise


def _too_large(limit: int) -> RequestError:
    return RequestError(413, f"The body has more than {limit} bytes.", code="request_too_large")
