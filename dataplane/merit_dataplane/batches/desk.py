"""Where calls of `/v1/files` and `/v1/batches` come in: who asks, whether it may, and what it gets back.

These calls cost nothing and are not in the usage log: what a batch's lines cost is booked when it has ended. They count
as requests of their consumer; a batch's expected cost is taken off its budgets before it is created.
"""

import asyncio
import logging
import re
import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from merit_dataplane.batches.asked import Asked, Reply
from merit_dataplane.batches.batch_calls import BatchCalls
from merit_dataplane.batches.file_calls import FileCalls
from merit_dataplane.batches.ids import Ids
from merit_dataplane.batches.watch import Watch
from merit_dataplane.exchange import Exchange
from merit_dataplane.limits.account import Grant
from merit_dataplane.observability.ledger import Ledger
from merit_dataplane.overload.bodies import Bodies
from merit_dataplane.overload.turns import Turns
from merit_dataplane.resilience.guard import Guard, Receive, Verdict
from merit_dataplane.snapshots.holder import SnapshotHolder
from merit_dataplane.stages.admission import Admission
from merit_dataplane.stages.intake import authenticate, in_force
from merit_dataplane.stages.responses import JSON, Responses, Send
from merit_dataplane.upstream.client import UpstreamClient
from merit_dataplane.wire.errors import RequestError

if TYPE_CHECKING:
    from merit_dataplane.request_path import Scope

log = logging.getLogger("merit.batches")
_OURS = re.compile(r"/v1/(?:files|batches)(?:/|$)")
_CLIENT_STALL_SECONDS = 60.0
_LONGEST_SECONDS = 3600.0
_MOST_QUERY_BYTES = 8192
Call = Callable[[Asked], Awaitable[Reply]]
CallOfOne = Callable[[Asked, str], Awaitable[Reply]]


class Desk:
    """One for all calls."""

    def __init__(  # the parts of a process
        self,
        *,
        holder: SnapshotHolder,
        client: UpstreamClient,
        ledger: Ledger,
        admission: Admission,
        bodies: Bodies,
        turns: Turns,
        responses: Responses,
        ids: Ids,
        watch: Watch,
        max_body_bytes: int,
        pod: str,
    ):
        self._holder, self._ledger, self._admission, self._bodies = holder, ledger, admission, bodies
        self._turns, self._responses, self.watch = turns, responses, watch
        self._files = FileCalls(client, ids, bodies, max_body_bytes, watch)
        self._batches = BatchCalls(client=client, ids=ids, live=holder.live, watch=watch, charge=self._charge, pod=pod)

        files, batches = self._files, self._batches
        self._files_whole: dict[str, Call] = {"POST": files.upload, "GET": files.page}
        self._files_one: dict[tuple[str, str], CallOfOne] = {
            ("GET", ""): files.retrieve,
            ("GET", "content"): files.content,
            ("DELETE", ""): files.delete,
        }
        self._batches_whole: dict[str, Call] = {"POST": batches.create, "GET": batches.page}
        self._batches_one: dict[tuple[str, str], CallOfOne] = {
            ("GET", ""): batches.retrieve,
            ("POST", "cancel"): batches.cancel,
        }

    async def serve(self, scope: "Scope", receive: Receive, send: Send) -> None:
        """One call."""
        exchange = Exchange(self._holder.tables)
        call = self._call(scope["method"], scope["path"])
        self._ledger.in_flight += 1
        asked: Asked | None = None
        try:
            asked = await self._known(exchange, scope, receive)
            await self._reply(asked, await call(asked), send)
        except RequestError as refusal:
            if not exchange.status:
                await self._responses.refuse(exchange, send, refusal)
        except Exception:
            if exchange.status:  # the server closes the connection: nobody takes it for complete
                raise
            log.exception("request %s", exchange.id)
            fault = RequestError(500, "Merit failed to serve this.", kind="server_error")
            await self._responses.refuse(exchange, send, fault)
        finally:
            self._ledger.in_flight -= 1
            if asked is not None:
                self._bodies.give(asked.held)
            if exchange.grant is not None:
                self._settle(exchange.grant, 0)

    def _call(self, method: str, path: str) -> Call:
        what, *rest = path.removeprefix("/v1/").rstrip("/").split("/")
        whole, one = (
            (self._files_whole, self._files_one) if what == "files" else (self._batches_whole, self._batches_one)
        )
        if not rest:
            return whole.get(method) or _unknown(method, path)
        found = one.get((method, "/".join(rest[1:])))
        return (lambda asked: found(asked, rest[0])) if found is not None else _unknown(method, path)

    async def _known(self, exchange: Exchange, scope: "Scope", receive: Receive) -> Asked:
        """Who asks, and that it may. Raises RequestError."""
        headers = tuple(scope["headers"])
        tables = in_force(exchange)
        consumer = exchange.consumer = authenticate(tables, headers)
        if self._turns.late:
            await self._turns.enter(consumer.key)
        if consumer.account is not None:
            exchange.grant = await self._admission.admit_call(exchange, consumer.account)
        query = dict(parse_qsl(scope["query_string"][:_MOST_QUERY_BYTES].decode("latin-1")))
        return Asked(exchange, tables, consumer, headers, query, receive)

    async def _charge(self, asked: Asked, cost: int) -> Callable[[bool], None]:
        """Takes it off the budgets; see BatchCalls."""
        account = asked.consumer.account
        if account is None:
            return lambda _: None
        if asked.exchange.grant is not None:
            self._settle(asked.exchange.grant, 0)
            asked.exchange.grant = None
        grant = await self._admission.admit_call(asked.exchange, account, cost=cost)
        return lambda made: self._settle(grant, cost if made else 0)

    @staticmethod
    def _settle(grant: Grant, cost: int) -> None:
        grant.settle(0, cost, asyncio.get_running_loop().time(), time.time())

    async def _reply(self, asked: Asked, reply: Reply, send: Send) -> None:
        exchange = asked.exchange
        headers = [(b"content-type", reply.kind), *reply.headers]
        if reply.stream is None:
            return await self._responses.send(exchange, send, 200, reply.body, tuple(headers) or (JSON,))
        exchange.status = 200
        async with aclosing(reply.stream) as stream:
            with Guard(asked.receive, total_seconds=_LONGEST_SECONDS) as guard:
                try:
                    started = self._responses.headers(exchange, tuple(headers))
                    await send({"type": "http.response.start", "status": 200, "headers": started})
                    async for piece in stream:
                        guard.limit(_CLIENT_STALL_SECONDS, Verdict.CLIENT_GONE)
                        await send({"type": "http.response.body", "body": piece, "more_body": True})
                        guard.limit(_LONGEST_SECONDS, Verdict.TOTAL)
                except asyncio.CancelledError:
                    guard.forgive()
                    return None
                except ConnectionResetError as error:
                    log.warning("request %s: %s", exchange.id, error)
                    return None  # without an end: the server closes the connection
                guard.unwatch()
        await send({"type": "http.response.body", "body": b""})
        return None


def _unknown(method: str, path: str) -> Call:
    async def refuse(_: Asked) -> Reply:
        message = f"Not Found: {method} {path[:200]} is no endpoint of Merit."
        raise RequestError(404, message, code="unknown_url")

    return refuse


def is_ours(path: str) -> bool:
    """Whether a call is for these endpoints."""
    return _OURS.match(path) is not None
