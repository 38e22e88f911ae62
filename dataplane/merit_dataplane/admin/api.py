"""The admin port's application."""

import hmac
import re
from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec
from fastapi import FastAPI, Request, Response
from prometheus_client import CollectorRegistry

from merit_crds.push import (
    COMMITMENTS_PATH,
    FORMAT_HEADER,
    MAX_PUSH_BYTES,
    MOST_PODS,
    PODS_HEADER,
    SNAPSHOT_PATH,
    TERM_HEADER,
    VERSION_HEADER,
    VERSION_PATH,
    Ack,
    Nack,
    Rejection,
    Volumes,
)
from merit_crds.snapshot import FORMAT, encode
from merit_dataplane.caching.purges import Scope, scope_of
from merit_dataplane.limits.fleet import Fleet
from merit_dataplane.observability.metrics import exposition
from merit_dataplane.snapshots.holder import SnapshotHolder
from merit_dataplane.snapshots.receiver import Receiver

if TYPE_CHECKING:
    from merit_dataplane.shared_state import SharedState

_STATUS = {
    Rejection.UNAUTHORIZED: 401,
    Rejection.STALE_TERM: 409,
    Rejection.TOO_LARGE: 413,
    Rejection.UNKNOWN_FORMAT: 426,
}
_TERM = re.compile(r"-?[0-9]{1,18}")
_VERSION = re.compile(r"[0-9a-f]{64}")
_encode = msgspec.json.Encoder().encode
_volumes = msgspec.json.Decoder(Volumes)
_MOST_PURGED = 100
Purge = Callable[[list[Scope]], bool]
"""Ends what was kept of these scopes. Whether other pods hear of it."""


class _Purge(msgspec.Struct, forbid_unknown_fields=True):
    routes: tuple[str, ...] = ()
    consumers: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()

    def by_kind(self) -> dict[str, tuple[str, ...]]:
        return {"route": self.routes, "consumer": self.consumers, "tag": self.tags}


_purge = msgspec.json.Decoder(_Purge)


def create_admin(
    *,
    holder: SnapshotHolder,
    receiver: Receiver | None,
    token: Callable[[], str],
    registry: CollectorRegistry,
    draining: Callable[[], bool],
    state: "SharedState | None" = None,
    fleet: Fleet | None = None,
    purge: Purge | None = None,
) -> FastAPI:
    """The admin application.

    `receiver` is None for a standalone gateway: its folder is the only source. `token` gives the push token at each
    call, so that a rotated one counts at once; an empty token lets nobody in.
    """
    api = FastAPI(title="Merit admin", docs_url=None, redoc_url=None, openapi_url=None)
    _add_push(api, holder=holder, receiver=receiver, token=token, fleet=fleet or Fleet())
    if purge is not None:
        _add_purge(api, purge, lambda request: receiver is None or _authorized(request, token))
    _add_health(api, holder=holder, registry=registry, draining=draining, state=state)
    return api


def _add_push(  # noqa: C901 # three endpoints behind one check
    api: FastAPI, *, holder: SnapshotHolder, receiver: Receiver | None, token: Callable[[], str], fleet: Fleet
) -> None:
    def authorized(request: Request) -> bool:
        return _authorized(request, token)

    def refuse(rejection: Rejection, message: str) -> Response:
        nack = Nack(version=holder.version, rejection=rejection, message=message, term=holder.term)
        return _json(nack, _STATUS.get(rejection, 422))

    def count(request: Request) -> None:
        told = request.headers.get(PODS_HEADER, "")
        if told.isascii() and told.isdigit() and 0 < len(told) < 7 and 0 < int(told) <= MOST_PODS:
            fleet.pods = int(told)

    @api.put(SNAPSHOT_PATH)
    async def push(request: Request) -> Response:
        """The operator's push: see merit_crds.push."""
        if receiver is None or not authorized(request):
            return refuse(Rejection.UNAUTHORIZED, "the push token is missing or wrong")
        count(request)
        if request.headers.get(FORMAT_HEADER) != str(FORMAT):
            return refuse(Rejection.UNKNOWN_FORMAT, f"this pod knows snapshot format {FORMAT}")
        term, version = _term(request.headers.get(TERM_HEADER, "")), request.headers.get(VERSION_HEADER, "")
        if term is None:
            return refuse(Rejection.MALFORMED, f"header {TERM_HEADER} must be a whole number")
        if not _VERSION.fullmatch(version):
            return refuse(Rejection.MALFORMED, f"header {VERSION_HEADER} must be a SHA-256 in hex")
        data = await _bounded_body(request)
        if data is None:
            return refuse(Rejection.TOO_LARGE, f"a push has at most {MAX_PUSH_BYTES} bytes")
        answer = await receiver.receive(data, version=version, term=term)
        return _json(answer, 200 if isinstance(answer, Ack) else _STATUS.get(answer.rejection, 422))

    @api.get(VERSION_PATH)
    async def version(request: Request) -> Response:
        """What this pod serves."""
        if receiver is None or not authorized(request):
            return refuse(Rejection.UNAUTHORIZED, "the push token is missing or wrong")
        count(request)
        return _json(receiver.serving(), 200)

    @api.put(COMMITMENTS_PATH)
    async def commitments(request: Request) -> Response:
        """What others have drawn of commitments, and what this pod has: see merit_crds.push."""
        if receiver is None or not authorized(request):
            return refuse(Rejection.UNAUTHORIZED, "the push token is missing or wrong")
        data = await _bounded_body(request)
        if data is None:
            return refuse(Rejection.TOO_LARGE, f"a push has at most {MAX_PUSH_BYTES} bytes")
        try:
            answer = receiver.hear(_volumes.decode(data))
        except ValueError as error:
            return refuse(Rejection.MALFORMED, str(error))
        return _json(answer, 200 if isinstance(answer, Ack) else _STATUS.get(answer.rejection, 422))

    @api.get(SNAPSHOT_PATH)
    async def dump(request: Request) -> Response:
        """The snapshot in force, canonical bytes; it holds no credentials."""
        if receiver is not None and not authorized(request):
            return refuse(Rejection.UNAUTHORIZED, "the push token is missing or wrong")
        if holder.tables is None:
            return Response(b"", 404)
        headers = {VERSION_HEADER: holder.version, TERM_HEADER: str(holder.term)}
        return Response(encode(holder.tables.snapshot), 200, headers=headers, media_type="application/json")


def _add_purge(api: FastAPI, purge: Purge, may: Callable[[Request], bool]) -> None:
    @api.post("/cache/purge")
    async def ended(request: Request) -> Response:
        """What was kept until now of a route, a consumer or a tag is served no more: by all pods of a Redis."""
        if not may(request):
            return Response("the push token is missing or wrong\n", 401)
        data = await request.body()
        try:
            asked = _purge.decode(data)
        except msgspec.MsgspecError as error:
            return Response(f"{error}\n", 400)
        named = [*asked.routes, *asked.consumers, *asked.tags]
        if not named or len(named) > _MOST_PURGED:
            return Response(f"name 1 to {_MOST_PURGED} routes, consumers or tags\n", 400)
        scopes = [scope_of(kind, n) for kind, names in asked.by_kind().items() for n in names]
        everywhere = purge(scopes)
        return Response(_encode({"purged": len(scopes), "everywhere": everywhere}), media_type="application/json")


def _add_health(
    api: FastAPI,
    *,
    holder: SnapshotHolder,
    registry: CollectorRegistry,
    draining: Callable[[], bool],
    state: "SharedState | None",
) -> None:
    @api.get("/livez")
    async def live() -> Response:
        """The event loop turns."""
        return Response("ok\n")

    @api.get("/readyz")
    async def ready() -> Response:
        """There is a snapshot, and the pod isn't draining. Nothing else: nobody's absence makes a pod unready."""
        if draining():
            return Response("draining\n", 503)
        if holder.tables is None:
            return Response("no snapshot yet\n", 503)
        more = f"{state.describe()}\n" if state is not None else ""
        return Response(f"serving {holder.version[:12]}\n{more}")

    @api.get("/metrics")
    async def metrics() -> Response:
        """Prometheus text."""
        return Response(exposition(registry), media_type="text/plain; version=0.0.4; charset=utf-8")


def _authorized(request: Request, token: Callable[[], str]) -> bool:
    expected, given = token(), request.headers.get("authorization", "")
    return bool(expected) and hmac.compare_digest(given.encode(), f"Bearer {expected}".encode())


def _term(text: str) -> int | None:
    return int(text) if _TERM.fullmatch(text) else None


def _json(answer: Ack | Nack, status: int) -> Response:
    return Response(_encode(answer), status, media_type="application/json")


async def _bounded_body(request: Request) -> bytes | None:
    pieces, size = [], 0
    async for piece in request.stream():
        size += len(piece)
        if size > MAX_PUSH_BYTES:
            return None
        pieces.append(piece)
    return b"".join(pieces)
