"""The simulated vendor, a plain ASGI application: routes, keys, statistics, one request after the other."""

import asyncio
import contextlib
import hashlib
import random
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from merit_dataplane.fake_provider import faults
from merit_dataplane.fake_provider.answers import Answer, NoRecordingError, answer
from merit_dataplane.fake_provider.behaviour import Behaviour, InvalidBehaviourError, Stats
from merit_dataplane.fake_provider.connection import ClientGoneError, Connection, Message, Receive, Send
from merit_dataplane.fake_provider.errors import Refusal, prefix_refused, unknown_model, unknown_url, wrong_key
from merit_dataplane.fake_provider.native import Native, asked, key_of, native_of, refused
from merit_dataplane.fake_provider.native_answers import native_answer
from merit_dataplane.fake_provider.question import InvalidQuestionError, Question, question
from merit_dataplane.fake_provider.recordings import Replay
from merit_dataplane.fake_provider.storage import Storage, is_stored

_OPERATIONS = {"/v1/chat/completions": "chat", "/v1/completions": "completions", "/v1/embeddings": "embeddings"}
_CONTROLS = {"/_fake/behaviour": ("GET", "PUT"), "/_fake/stats": ("GET", "DELETE")}
_SECRETS = ("authorization", "api-key", "x-api-key", "x-goog-api-key", "cookie")


class Vendor:
    """One simulated vendor: `app` is its ASGI application."""

    def __init__(
        self,
        *,
        name: str,
        behaviour: Behaviour,
        recordings: tuple[Replay, ...],
        api_keys: frozenset[str] = frozenset(),
        models: tuple[str, ...] = (),
        counted: bool = True,
        seed: int = 0,
    ):
        self.name, self.behaviour, self.stats = name, behaviour, Stats()
        self._recordings, self._api_keys, self._models, self._counted = recordings, api_keys, models, counted
        self._random = random.Random(seed)  # noqa: S311 # a simulation
        self._storage = Storage(self._line)
        self._open: set[asyncio.Timeout] = set()
        self._closed = False

    def close(self) -> None:
        """The end: requests that are served now are given up, and those to come."""
        self._closed = True
        for scope in self._open:
            _give_up(scope)

    def reset_stats(self) -> None:
        """Counts from 0 again; what is in flight stays so."""
        self.stats = Stats(in_flight=len(self._open))

    async def app(self, scope: Message, receive: Receive, send: Send) -> None:
        """The ASGI application."""
        method, path = scope["method"], scope["path"]
        connection = Connection(receive, send)
        try:
            body = await connection.body()
            if path.startswith("/_fake/"):
                await self._control(method, path, body, connection)
            elif method == "POST" and path in _OPERATIONS:
                await self._serve(_OPERATIONS[path], _headers(scope), body, connection)
            elif method == "POST" and (native := native_of(scope["raw_path"].decode("latin-1").partition("?")[0])):
                await self._serve(native, _headers(scope), body, connection)
            elif is_stored(path):
                await self._serve_stored(scope, body, connection)
            elif method == "GET" and path == "/v1/models":
                self._check_key(_headers(scope))
                await connection.whole(200, [faults.JSON], self._listing())
            else:
                raise unknown_url(method, path)
        except Refusal as refusal:
            await connection.whole(refusal.status, [faults.JSON], refusal.body)
        except ClientGoneError:
            pass  # nobody is left to answer

    async def _serve_stored(self, scope: Message, body: bytes, connection: Connection) -> None:
        """Files and batches. They count nowhere but for the requests of a batch's lines."""
        headers, behaviour = _headers(scope), self.behaviour
        found = self._fault("") if behaviour.fault != "lost_answer" or scope["method"] == "POST" else None
        fault = found or "none"
        if key := headers.get("api-key"):  # as Azure has it
            headers["authorization"] = f"Bearer {key}"
        self._check_key(headers)
        if behaviour.latency or behaviour.jitter:
            await asyncio.sleep(behaviour.latency + self._random.uniform(0, behaviour.jitter))
        if fault != "lost_answer" and await faults.send_instead(fault, connection):
            return None
        if found is not None and behaviour.status != 200:
            raise Refusal(behaviour.status, f"Simulated status {behaviour.status}.", behaviour.code or None)
        kind = headers.get("content-type", "").encode("latin-1")
        query = dict(parse_qsl(scope["query_string"].decode("latin-1")))
        status, answered, data = self._storage.serve(
            scope["method"], scope["path"], query, kind, body, behaviour.batch_seconds
        )
        if fault == "lost_answer":
            return await connection.reset()
        return await connection.whole(status, [(b"content-type", answered)], data)

    def _line(self, path: str, document: dict[str, Any]) -> Answer:
        """The answer to one line of a batch."""
        operation = _OPERATIONS.get(f"/v1/{path}")
        if operation is None:
            raise unknown_url("POST", path)
        try:
            made = question(operation, document)
        except InvalidQuestionError as error:
            raise Refusal(400, str(error)) from None
        self.stats.requests += 1
        self.stats.asked_for(made.model)
        if self._models and made.model not in self._models:
            raise unknown_model(made.model)
        try:
            found = answer(self._recordings, operation, made, counted=self._counted)
        except NoRecordingError as error:
            raise Refusal(501, str(error)) from None
        self.stats.prompt_tokens += found.prompt_tokens
        self.stats.completion_tokens += found.completion_tokens
        return found

    def _listing(self) -> bytes:
        names = self._models or sorted({r.model for r in self._recordings if r.model})
        data = [{"id": name, "object": "model", "created": 0, "owned_by": self.name} for name in names]
        return msgspec.json.encode({"object": "list", "data": data})

    async def _control(self, method: str, path: str, body: bytes, connection: Connection) -> None:
        status, shown = 200, dict[str, str]()
        if path not in _CONTROLS:
            status, shown = 404, {"error": f"{path}: unknown; there are {' and '.join(_CONTROLS)}"}
        elif method not in _CONTROLS[path]:
            status, shown = 405, {"error": f"{method} {path}: use {' or '.join(_CONTROLS[path])}"}
        elif method == "PUT":
            try:
                self.behaviour = self.behaviour.changed(body)
            except InvalidBehaviourError as error:
                status, shown = 400, {"error": str(error)}
        elif method == "DELETE":
            self.reset_stats()
        current = self.behaviour if path == "/_fake/behaviour" else self.stats
        await connection.whole(status, [faults.JSON], msgspec.json.encode(shown or current))

    async def _serve(
        self, operation: str | Native, headers: dict[str, str], body: bytes, connection: Connection
    ) -> None:
        """One request, given up when the other side closes the connection or the vendor ends."""
        if self._closed:
            return await connection.reset()
        self.stats.requests += 1
        scope = asyncio.timeout(None)  # without a time: a scope that can be cancelled from outside
        self._open.add(scope)
        self.stats.in_flight = len(self._open)
        watcher = asyncio.create_task(self._watch(connection, scope))
        try:
            async with scope:
                await self._answer(operation, headers, body, connection)
        except TimeoutError:
            if not connection.ended:
                await connection.reset()
        finally:
            self._open.discard(scope)
            self.stats.in_flight = len(self._open)
            watcher.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watcher

    async def _watch(self, connection: Connection, scope: asyncio.Timeout) -> None:
        await connection.closed()
        if not connection.ended:
            connection.ended = True
            self.stats.client_disconnects += 1
            _give_up(scope)

    async def _answer(
        self, operation: str | Native, headers: dict[str, str], body: bytes, connection: Connection
    ) -> None:
        try:
            await self._send_answer(operation, self._asked(operation, headers, body), connection)
        except Refusal as refusal:
            self.stats.answered(refusal.status)
            more, said = ([], refusal.body) if isinstance(operation, str) else refused(operation, refusal, str(refusal))
            if self.behaviour.retry_after:
                more.append((b"retry-after", self.behaviour.retry_after.encode()))
            await connection.whole(refusal.status, [faults.JSON, *more], said)

    def _asked(self, operation: str | Native, headers: dict[str, str], body: bytes) -> Question:
        """The request, if it is one that this vendor serves."""
        try:
            document = msgspec.json.decode(body, type=dict[str, Any])
        except ValueError:
            raise Refusal(400, "We could not parse the JSON body of your request.") from None
        self.stats.last_request = {"headers": _without_secrets(headers), "body": document}
        self._check_key(headers, operation)
        try:
            made = question(operation, document) if isinstance(operation, str) else asked(operation, document)
        except InvalidQuestionError as error:
            raise Refusal(400, str(error)) from None
        self.stats.asked_for(made.model)
        if self._models and made.model not in self._models:
            raise unknown_model(made.model)
        return made

    async def _send_answer(self, operation: str | Native, asked_for: Question, connection: Connection) -> None:
        behaviour, fault = self.behaviour, self._fault(asked_for.model)
        await self._wait(behaviour)
        if fault is not None and behaviour.status != 200:
            raise Refusal(behaviour.status, f"Simulated status {behaviour.status}.", behaviour.code or None)
        if fault is not None and self._random.random() < behaviour.failure_rate:
            words = "The server had an error while processing your request. Sorry about that!"
            raise Refusal(behaviour.failure_status, words if behaviour.failure_status == 500 else "Simulated failure.")
        if asked_for.prefix and behaviour.rejects_prefix:
            raise prefix_refused()
        fault = fault or "none"
        if fault == "malformed":
            self.stats.answered(200)
        if await faults.send_instead(fault, connection):
            return
        try:
            if isinstance(operation, str):
                found = answer(self._recordings, operation, asked_for, counted=self._counted)
            else:
                found = native_answer(operation, asked_for, counted=self._counted)
        except NoRecordingError as error:
            raise Refusal(501, str(error)) from None
        self.stats.answered(200)
        complete = False
        try:
            if found.events:
                complete = await faults.send_stream(found, fault, behaviour, connection)
            else:
                complete = await faults.send_whole(found, fault, connection)
        finally:
            self.stats.served(found.prompt_tokens, found.completion_tokens, connection.written, complete=complete)

    async def _wait(self, behaviour: Behaviour) -> None:
        latency = behaviour.latency
        if behaviour.slow_rate and self._random.random() < behaviour.slow_rate:
            latency = behaviour.slow_latency
        if latency or behaviour.jitter:
            await asyncio.sleep(latency + self._random.uniform(0, behaviour.jitter))

    def _check_key(self, headers: dict[str, str], operation: str | Native = "") -> None:
        scheme, _, key = headers.get("authorization", "").partition(" ")
        if not isinstance(operation, str):
            scheme, key = "bearer", key_of(operation, headers)
        if self._api_keys and (scheme.lower() != "bearer" or key not in self._api_keys):
            raise wrong_key(key)

    def _fault(self, model: str) -> str | None:
        """The fault of this request ("none" is one that may still get an error status); None: it is served well."""
        behaviour = self.behaviour
        if not behaviour.disturbs or behaviour.match_model not in ("", model) or behaviour.times == 0:
            return None
        if behaviour.times > 0:
            self.behaviour = msgspec.structs.replace(behaviour, times=behaviour.times - 1)
        return behaviour.fault


def _give_up(scope: asyncio.Timeout) -> None:
    if not scope.expired():  # the client may leave and the vendor end at the same time: the second has nothing to do
        scope.reschedule(asyncio.get_running_loop().time())


def _headers(scope: Message) -> dict[str, str]:
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}


def _without_secrets(headers: dict[str, str]) -> dict[str, str]:
    """A test must see which key was used, a log must not."""
    hashed = {n: hashlib.sha256(headers[n].encode()).hexdigest()[:12] for n in _SECRETS if n in headers}
    return headers | hashed
