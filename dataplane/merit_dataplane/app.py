"""The data port's application: the hot path as a plain ASGI callable, FastAPI for everything else."""

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from merit_dataplane.batches.desk import Desk, is_ours
from merit_dataplane.dispatch.legs import legs
from merit_dataplane.explanation import explanation
from merit_dataplane.feedback.recorder import Recorder
from merit_dataplane.models import listed_model
from merit_dataplane.request_path import RequestPath, Scope
from merit_dataplane.resilience.guard import Receive
from merit_dataplane.snapshots.holder import SnapshotHolder
from merit_dataplane.snapshots.tables import Headers, Tables
from merit_dataplane.stages.intake import authenticate, read_body
from merit_dataplane.stages.responses import Send
from merit_dataplane.token_count import counted
from merit_dataplane.upstream.client import UpstreamClient
from merit_dataplane.wire.anthropic_openai.errors import error_body as anthropic_error
from merit_dataplane.wire.anthropic_openai.models import model_info, models_page
from merit_dataplane.wire.clients import CLIENTS
from merit_dataplane.wire.errors import RequestError, error_body
from merit_dataplane.wire.openai_request import Operation

App = Callable[[Scope, Receive, Send], Awaitable[None]]
_MOST_FEEDBACK_BYTES = 64 * 1024
_HOT = {f"/v1/{operation}": operation for operation in CLIENTS if operation is not Operation.COUNT_TOKENS}


def create_app(
    path: RequestPath, holder: SnapshotHolder, recorder: Recorder, client: UpstreamClient, desk: Desk
) -> App:
    """The ASGI application of the data port."""
    api = _create_api(holder, client, path.max_body_bytes)
    _add_feedback(api, holder, recorder)

    def app(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] == "http":
            if scope["method"] == "POST":
                operation = _HOT.get(scope["path"])
                if operation is not None:
                    return path.serve(scope, receive, send, operation)
            if is_ours(scope["path"]):
                return desk.serve(scope, receive, send)
        return api(scope, receive, send)

    return app


def _create_api(holder: SnapshotHolder, client: UpstreamClient, max_body_bytes: int) -> FastAPI:
    api = FastAPI(title="Merit", docs_url=None, redoc_url=None, openapi_url=None)

    @api.exception_handler(RequestError)
    async def refuse(request: Request, refusal: RequestError) -> Response:
        body = _for(request, refusal.body(), refusal.status)
        return Response(body, refusal.status, dict(_text(refusal.headers)), media_type="application/json")

    @api.exception_handler(HTTPException)
    async def not_found(request: Request, error: HTTPException) -> Response:
        message = f"{error.detail}: {request.method} {request.url.path[:200]} is no endpoint of Merit."
        body = error_body(message, kind="invalid_request_error", code="unknown_url")
        return Response(_for(request, body, error.status_code), error.status_code, media_type="application/json")

    @api.get("/v1/models")
    async def models(request: Request) -> Response:
        """The models that this consumer may ask for."""
        tables = _in_force(holder)
        consumer = authenticate(tables, tuple(request.scope["headers"]))
        listed = []
        for name in sorted(consumer.routes):
            listed.append(listed_model(tables, consumer.routes[name], name, time.time()))
            await asyncio.sleep(0)  # thousands of routes must not hold up the hot path
        return JSONResponse(models_page(listed) if _anthropics(request) else {"object": "list", "data": listed})

    @api.get("/v1/models/{name:path}")
    async def model(request: Request, name: str) -> Response:
        """One of them."""
        tables = _in_force(holder)
        route = authenticate(tables, tuple(request.scope["headers"])).routes.get(name)
        if route is None:
            raise RequestError(404, f"The model {name[:128]!r} does not exist.", code="model_not_found", param="model")
        listed = listed_model(tables, route, name, time.time())
        return JSONResponse(model_info(listed) if _anthropics(request) else listed)

    @api.post("/v1/messages/count_tokens")
    async def count_tokens(request: Request) -> Response:
        """How many input tokens a message would have."""
        tables, headers = _in_force(holder), tuple(request.scope["headers"])
        consumer = authenticate(tables, headers)
        body = await read_body(request.receive, max_body_bytes)
        call = CLIENTS[Operation.COUNT_TOKENS].parse(body, headers)
        now = asyncio.get_running_loop().time()
        count = await counted(client, legs(consumer, call)[0], headers, now=now, wall=time.time())
        shown = dict(_text((*count.headers, (b"x-merit-token-count", count.source.encode()))))
        return JSONResponse({"input_tokens": count.input_tokens}, headers=shown)

    @api.post("/v1/explain")
    async def explain(request: Request) -> Response:
        """The merit order of a request, without asking anybody for it."""
        tables, headers = _in_force(holder), tuple(request.scope["headers"])
        consumer = authenticate(tables, headers)
        operation = Operation.MESSAGES if _anthropics(request) else Operation.CHAT
        call = CLIENTS[operation].parse(await read_body(request.receive, max_body_bytes), headers)
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


def _for(request: Request, body: bytes, status: int) -> bytes:
    """An error in the client's words."""
    return anthropic_error(body, status, f"req_{uuid.uuid4().hex[:24]}") if _anthropics(request) else body


def _anthropics(request: Request) -> bool:
    """Whether a client of Anthropic's asks: its SDKs send the version of their protocol."""
    return "anthropic-version" in request.headers


def _text(headers: Headers) -> Iterator[tuple[str, str]]:
    return ((name.decode(), value.decode("latin-1")) for name, value in headers)


def _in_force(holder: SnapshotHolder) -> Tables:
    if holder.tables is None:
        raise RequestError(503, "This pod has no snapshot yet.", kind="server_error")
    return holder.tables
