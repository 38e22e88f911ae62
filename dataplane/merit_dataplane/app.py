"""The data port's application: the hot path as a plain ASGI callable, FastAPI for everything else."""

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from merit_dataplane.request_path import RequestPath, Scope, Send, authenticate
from merit_dataplane.resilience.guard import Receive
from merit_dataplane.snapshots.holder import SnapshotHolder
from merit_dataplane.wire.errors import RequestError, error_body
from merit_dataplane.wire.openai_request import Operation

App = Callable[[Scope, Receive, Send], Awaitable[None]]
_HOT = {f"/v1/{operation}": operation for operation in Operation}


def create_app(path: RequestPath, holder: SnapshotHolder) -> App:
    """The ASGI application of the data port."""
    api = _create_api(holder)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "POST":
            operation = _HOT.get(scope["path"])
            if operation is not None:
                return await path.serve(scope, receive, send, operation)
        return await api(scope, receive, send)

    return app


def _create_api(holder: SnapshotHolder) -> FastAPI:
    api = FastAPI(title="Merit", docs_url=None, redoc_url=None, openapi_url=None)

    @api.exception_handler(RequestError)
    async def refuse(_: Request, refusal: RequestError) -> Response:
        return Response(refusal.body(), refusal.status, media_type="application/json")

    @api.exception_handler(HTTPException)
    async def not_found(request: Request, error: HTTPException) -> Response:
        message = f"{error.detail}: {request.method} {request.url.path[:200]} is no endpoint of Merit."
        return Response(
            error_body(message, kind="invalid_request_error", code="unknown_url"),
            error.status_code,
            media_type="application/json",
        )

    @api.get("/v1/models")
    async def models(request: Request) -> Response:
        """The models that this consumer may ask for."""
        return JSONResponse({"object": "list", "data": _models(request, holder)})

    @api.get("/v1/models/{name:path}")
    async def model(request: Request, name: str) -> Response:
        """One of them."""
        for known in _models(request, holder):
            if known["id"] == name:
                return JSONResponse(known)
        raise RequestError(404, f"The model {name[:128]!r} does not exist.", code="model_not_found", param="model")

    return api


def _models(request: Request, holder: SnapshotHolder) -> list[dict[str, Any]]:
    tables = holder.tables
    if tables is None:
        raise RequestError(503, "This pod has no snapshot yet.", kind="server_error")
    consumer = authenticate(tables, tuple(request.scope["headers"]))
    return [
        {"id": name, "object": "model", "created": 0, "owned_by": f"merit:{route.name}"}
        for name, route in sorted(consumer.routes.items())
    ]
