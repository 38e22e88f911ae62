"""The simulated vendor's HTTP side, a plain ASGI application."""

import asyncio
import contextlib
import hashlib
import random
import socket
import struct
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import msgspec

from merit_dataplane.fake_provider.behaviour import Behaviour, InvalidBehaviourError, Stats
from merit_dataplane.fake_provider.recordings import Answer, Recording, answer

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
_OPERATIONS = {"/v1/chat/completions": "chat", "/v1/completions": "completions", "/v1/embeddings": "embeddings"}
_ERRORS = {
    400: ("invalid_request_error", None),
    401: ("invalid_request_error", "invalid_api_key"),
    403: ("invalid_request_error", "unsupported_country_region_territory"),
    404: ("invalid_request_error", "model_not_found"),
    429: ("requests", "rate_limit_exceeded"),
}
_JSON = "application/json"


class Vendor:
    """One simulated vendor: `app` is its ASGI application."""

    def __init__(
        self,
        *,
        name: str,
        behaviour: Behaviour,
        recordings: tuple[Recording, ...],
        api_keys: frozenset[str] = frozenset(),
        models: tuple[str, ...] = (),
        counted: bool = True,
        seed: int = 0,
    ):
        self.name, self.behaviour, self.stats = name, behaviour, Stats()
        self.closing = asyncio.Event()
        """Set at the end: hanging requests give up."""
        self._recordings, self._api_keys, self._models, self._counted = recordings, api_keys, models, counted
        self._random = random.Random(seed)  # noqa: S311 # a simulation

    async def app(self, scope: Message, receive: Receive, send: Send) -> None:
        """The ASGI application."""
        if scope["type"] != "http":
            return
        method, path = scope["method"], scope["path"]
        body = await _body(receive)
        if path.startswith("/_fake/"):
            await self._control(method, path, body, send)
        elif method == "POST" and path in _OPERATIONS:
            await self._serve(_OPERATIONS[path], scope, body, receive, send)
        elif method == "GET" and path == "/v1/models":
            data = [{"id": m, "object": "model", "created": 0, "owned_by": self.name} for m in self._models]
            await _send_json(send, 200, {"object": "list", "data": data})
        else:
            await _send_json(send, 404, _error(404, f"Unknown request URL: {method} {path}."))

    async def _control(self, method: str, path: str, body: bytes, send: Send) -> None:
        if path == "/_fake/behaviour" and method == "PUT":
            try:
                self.behaviour = self.behaviour.changed(body)
            except InvalidBehaviourError as error:
                return await _send_json(send, 400, {"error": str(error)})
        elif path == "/_fake/stats" and method == "DELETE":
            self.stats = Stats()
        shown = self.behaviour if path == "/_fake/behaviour" else self.stats
        return await _send_json(send, 200, shown)

    async def _serve(self, operation: str, scope: Message, body: bytes, receive: Receive, send: Send) -> None:
        self.stats.requests += 1
        self.stats.in_flight += 1
        exchange = asyncio.current_task()
        watcher = asyncio.create_task(_cancel_on_disconnect(receive, exchange, self.stats))
        try:
            await self._answer(operation, scope, body, send)
        except asyncio.CancelledError:
            if not getattr(exchange, "merit_client_gone", False):
                raise
        finally:
            watcher.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watcher
            self.stats.in_flight -= 1

    async def _answer(self, operation: str, scope: Message, body: bytes, send: Send) -> None:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        try:
            request = msgspec.json.decode(body, type=dict[str, Any])
        except msgspec.MsgspecError:
            return await self._refuse(send, 400, "We could not parse the JSON body of your request.", "")
        model = str(request.get("model", ""))
        token = headers.get("authorization", "").removeprefix("Bearer ")
        self._remember(headers, request)
        if self._api_keys and token not in self._api_keys:
            return await self._refuse(send, 401, "Incorrect API key provided.", model)
        if self._models and model not in self._models:
            return await self._refuse(send, 404, f"The model `{model}` does not exist.", model)
        behaviour, faulty = self.behaviour, self._is_faulty(model)
        if behaviour.latency or behaviour.jitter:
            await asyncio.sleep(behaviour.latency + self._random.uniform(0, behaviour.jitter))
        if faulty and await self._misbehave(behaviour, model, send):
            return None
        found = answer(self._recordings, operation, request, counted=self._counted)
        return await self._send_answer(
            found, behaviour if faulty else msgspec.structs.replace(behaviour, fault="none"), model, send
        )

    def _remember(self, headers: dict[str, str], request: dict[str, Any]) -> None:
        if "authorization" in headers:  # a test must see which key was used, a log must not
            headers["authorization"] = hashlib.sha256(headers["authorization"].encode()).hexdigest()[:12]
        self.stats.last_request = {"headers": headers, "body": request}

    def _is_faulty(self, model: str) -> bool:
        behaviour = self.behaviour
        if behaviour.fault == "none" and behaviour.status == 200 and not behaviour.failure_rate:
            return False
        if behaviour.match_model not in ("", model) or behaviour.times == 0:
            return False
        if behaviour.times > 0:
            self.behaviour = msgspec.structs.replace(behaviour, times=behaviour.times - 1)
        return True

    async def _misbehave(self, behaviour: Behaviour, model: str, send: Send) -> bool:
        """Errors and faults before the head. True when nothing else is to be sent."""
        if behaviour.status != 200:
            await self._refuse(send, behaviour.status, f"Simulated status {behaviour.status}.", model)
        elif self._random.random() < behaviour.failure_rate:
            await self._refuse(send, 500, "The server had an error while processing your request.", model)
        elif behaviour.fault == "hang":
            await self.closing.wait()
        elif behaviour.fault == "reset":
            _reset(send)
        elif behaviour.fault == "malformed":
            await _send(send, 200, {"content-type": _JSON}, b'{"id": "chatcmpl-1", "choices": [')
        else:
            return False
        return True

    async def _send_answer(self, found: Answer, behaviour: Behaviour, model: str, send: Send) -> None:
        if found.events:
            complete = await self._send_stream(found, behaviour, send)
        elif behaviour.fault == "half_body":
            head = [(b"content-type", _JSON.encode()), (b"content-length", str(len(found.body)).encode())]
            await send({"type": "http.response.start", "status": 200, "headers": head})
            await send({"type": "http.response.body", "body": found.body[: len(found.body) // 2], "more_body": True})
            _transport(send).close()
            complete = False
        else:
            await _send(send, 200, {**found.headers, "content-type": _JSON}, found.body)
            complete = True
        self.stats.ended(200, model)
        if complete:
            self.stats.prompt_tokens += found.prompt_tokens
            self.stats.completion_tokens += found.completion_tokens

    async def _send_stream(self, found: Answer, behaviour: Behaviour, send: Send) -> bool:
        headers = [(name.encode(), value.encode()) for name, value in found.headers.items()]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for index, event in enumerate(found.events):
            if index == behaviour.chunk and behaviour.fault.endswith("_at_chunk"):
                if behaviour.fault == "hang_at_chunk":
                    await self.closing.wait()
                elif behaviour.fault == "reset_at_chunk":
                    _reset(send)
                else:
                    await send({"type": "http.response.body", "body": b""})
                return False
            await send({"type": "http.response.body", "body": event, "more_body": True})
            if behaviour.chunk_interval:
                await asyncio.sleep(behaviour.chunk_interval)
        await send({"type": "http.response.body", "body": b""})
        return True

    async def _refuse(self, send: Send, status: int, message: str, model: str) -> None:
        headers = {"content-type": _JSON}
        if self.behaviour.retry_after:
            headers["retry-after"] = self.behaviour.retry_after
        await _send(send, status, headers, msgspec.json.encode(_error(status, message)))
        self.stats.ended(status, model)


def _error(status: int, message: str) -> dict[str, Any]:
    kind, code = _ERRORS.get(status, ("server_error", None))
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


async def _body(receive: Receive) -> bytes:
    pieces = []
    while True:
        message = await receive()
        pieces.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(pieces)


async def _cancel_on_disconnect(receive: Receive, exchange: asyncio.Task[Any] | None, stats: Stats) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    if exchange is not None and not exchange.done():
        stats.client_disconnects += 1
        exchange.merit_client_gone = True  # type: ignore[attr-defined] # tells our cancellation from another's
        exchange.cancel()


async def _send(send: Send, status: int, headers: dict[str, str], body: bytes) -> None:
    head = [(name.encode(), value.encode()) for name, value in headers.items()]
    head.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": head})
    await send({"type": "http.response.body", "body": body})


async def _send_json(send: Send, status: int, document: object) -> None:
    await _send(send, status, {"content-type": _JSON}, msgspec.json.encode(document))


def _transport(send: Send) -> asyncio.Transport:
    """The connection under uvicorn's `send`: a fault below HTTP needs it."""
    transport: asyncio.Transport = send.__self__.transport  # type: ignore[attr-defined]
    return transport


def _reset(send: Send) -> None:
    """Closes the connection with a TCP reset."""
    transport = _transport(send)
    connection = transport.get_extra_info("socket")
    if connection is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
