"""The data port's application: the hot path as a plain ASGI callable, FastAPI for everything else."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from merit_dataplane.dispatch.legs import legs
from merit_dataplane.explanation import explanation
from merit_dataplane.feedback.recorder import Recorder
from merit_dataplane.models import listed_model
from merit_dataplane.request_path import RequestPath, Scope
from merit_dataplane.resilience.guard import Receive
from merit_dataplane.snapshots.holder import SnapshotHolder
from merit_dataplane.snapshots.tables import Tables
from merit_dataplane.stages.intake import authenticate, read_body
from merit_dataplane.stages.responses import Send
from merit_dataplane.wire.clients import CLIENTS
from merit_dataplane.wire.errors import RequestError, error_body
from merit_dataplane.wire.openai_request import Operation, parse

App = Callable[[Scope, Receive, Send], Awaitable[None]]
_MOST_FEEDBACK_BYTES = 64 * 1024
_HOT = {f"/v1/{operation}": operation for operation in CLIENTS}


def create_app(path: RequestPath, holder: SnapshotHolder, recorder: Recorder) -> App:
    """The ASGI application of the data port."""
    api = _create_api(holder, path.max_body_bytes)
    _add_feedback(api, holder, recorder)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "POST":
            operation = _HOT.get(scope["path"])
            if operation is not None:
                return await path.serve(scope, receive, send, operation)
        return await api(scope, receive, send)

    return app


def _create_api(holder: SnapshotHolder, max_body_bytes: int) -> FastAPI:
    api = FastAPI(title="Merit", docs_url=None, redoc_url=None, openapi_url=None)

    @api.exception_handler(RequestError)
    async def refuse(_: Request, refusal: RequestError) -> Response:
        headers = {name.decode(): value.decode() for name, value in refusal.headers}
        return Response(refusal.body(), refusal.status, headers, "application/json")

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
        tables = _in_force(holder)
        consumer = authenticate(tables, tuple(request.scope["headers"]))
        listed = []
        for name in sorted(consumer.routes):
            listed.append(listed_model(tables, consumer.routes[name], name, time.time()))
            await asyncio.sleep(0)  # thousands of routes must not hold up the hot path
        return JSONResponse({"object": "list", "data": listed})

    @api.get("/v1/models/{name:path}")
    async def model(request: Request, name: str) -> Response:
        """One of them."""
        tables = _in_force(holder)
        route = authenticate(tables, tuple(request.scope["headers"])).routes.get(name)
        if route is None:
            raise RequestError(404, f"The model {name[:128]!r} does not exist.", code="model_not_found", param="model")
        return JSONResponse(listed_model(tables, route, name, time.time()))

    @api.post("/v1/explain")
    async def explain(request: Request) -> Response:
        """The merit order of a chat completion, without asking anybody for it."""
        tables, headers = _in_force(holder), tuple(request.scope["headers"])
        consumer = authenticate(tables, headers)
        call = parse(Operation.CHAT, await read_body(request.receive, max_body_bytes))
        now = asyncio.get_running_loop().time()
        document = explanation(legs(consumer, call), headers, now=now, wall=time.time())
        return JSONResponse({"snapshot": tables.version[:12], **document})

    return api


def _add_feedback(api: FastAPI, holder: SnapshotHolder, recorder: Recorder) -> None:
    @api.post("/v1/feedback")
    async def feedback(request: Request) -> Response:
        """A score for an answer."""
        consumer = authenticate(_in_force(holder), tuple(request.scope["headers"]))
        body = await read_body(request.receive, _MOST_FEEDBACK_BYTES)
        recorded = await recorder.record(consumer, body)
        route, tier, provider, model = recorded.answer.labels
        return JSONResponse(
            {
                "object": "feedback",
                "id": recorded.answer.id.text,
                "score": recorded.score,
                "replaced": recorded.replaced,
                "route": route,
                "tier": tier,
                "provider": provider,
                "model": model,
            }
        )


def _in_force(holder: SnapshotHolder) -> Tables:
    if holder.tables is None:
        raise RequestError(503, "This pod has no snapshot yet.", kind="server_error")
    return holder.tables
