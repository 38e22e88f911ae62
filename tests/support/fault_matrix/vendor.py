"""A vendor on a socket that fails as it is told, and keeps a ledger of what it served, to the token.

What it says it served: nothing where it answers with an error or loses the connection before its answer has begun; the
prompt from the moment at which it works on it; of the output all of an answer that is not streamed, and of a stream
each token that it wrote.
"""

import asyncio
import contextlib
import json
import re
import socket
import struct
import zlib
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.support import event_stream
from tests.support.fault_matrix.answers import TEXT, WORDS, Answer, Asked, Event, Kind, answer
from tests.support.fault_matrix.faults import STATUSES, Fault, Moment

_CELL = re.compile(rb"cell-(\d+)")
_SHAPES = (
    (re.compile(r"/chat/completions$"), "chat"),
    (re.compile(r"/completions$"), "completions"),
    (re.compile(r"/messages$"), "messages"),
    (re.compile(r"/responses$"), "responses"),
    (re.compile(r":(stream)?[gG]enerateContent"), "gemini"),
    (re.compile(r":batchEmbedContents"), "embeddings-gemini"),
    (re.compile(r"/converse(-stream)?$"), "bedrock"),
    (re.compile(r"/invoke$"), "embeddings-bedrock"),
    (re.compile(r"/v2/chat$"), "cohere"),
    (re.compile(r"/v2/embed$"), "embeddings-cohere"),
    (re.compile(r"/embeddings$"), "embeddings"),
)
_STREAMS = re.compile(r"streamGenerateContent|/converse-stream$")
_BYTES_PER_TOKEN, _TEMPLATE_TOKENS = 7, 1000
"""This vendor's own way to count a prompt: no estimate hits it by chance."""
_SILENCE_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What goes wrong in one cell."""

    fault: Fault
    moment: Moment
    calls: bool
    """The answer is a tool call."""


@dataclass(slots=True)
class Served:
    """What the vendor says of one request."""

    fallback: bool
    input: int = 0
    output: int = 0
    silent: bool = False
    """It has nothing more to say."""
    told_all: bool = False
    """Whether it had said over the wire all that it charges for."""


@dataclass(slots=True)
class Ledger:
    """Of all requests, by cell."""

    served: dict[int, list[Served]] = field(default_factory=dict)

    def entry(self, cell: int, *, fallback: bool) -> Served:
        """Of a new request."""
        made = Served(fallback)
        self.served.setdefault(cell, []).append(made)
        return made

    def by(self, cell: int, *, fallback: bool) -> list[Served]:
        """What the primary, or the fallback, served in a cell."""
        return [served for served in self.served.get(cell, ()) if served.fallback is fallback]


class _Over(Exception):  # noqa: N818 # no error: the connection has come to its end
    """The connection is closed as the fault wants it."""


class Vendor:
    """Primary under `/primary/`, healthy fallback under `/fallback/`; the cell stands in what the user says."""

    def __init__(self, plans: Mapping[int, Plan]):
        self._plans = plans
        self._struck: Counter[int] = Counter()
        self.ledger = Ledger()

    def silent(self, cell: int) -> bool:
        """Whether the primary has fallen silent there."""
        return any(served.silent for served in self.ledger.by(cell, fallback=False))

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serves one request; each has a connection of its own, so that none is found stale."""
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            length = next((int(li[15:]) for li in head if li.lower().startswith("content-length:")), 0)
            body = await reader.readexactly(length)
            await self._serve(head[0].split(" ")[1], body, reader, writer)
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError, _Over):
            pass
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _serve(self, url: str, body: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        path = url.partition("?")[0]
        cell = next((int(found[1]) for found in (_CELL.search(body),) if found), -1)
        fallback = path.startswith("/fallback/")
        wire = _Wire(reader, writer, self.ledger.entry(cell, fallback=fallback))
        shape = next(shape for pattern, shape in _SHAPES if pattern.search(path))
        asked = _asked(path, json.loads(body), self._plans[cell], len(body))
        made = answer(shape, asked)
        stream = bool(_STREAMS.search(path)) or json.loads(body).get("stream") is True
        plan = self._plans[cell]
        struck = not fallback and (plan.fault.times < 0 or self._struck[cell] < plan.fault.times)
        self._struck[cell] += not fallback
        if struck and plan.moment is Moment.HEAD:
            await wire.before_head(plan.fault, shape, made)
        elif stream:
            await wire.stream(plan if struck else None, shape, made)
        else:
            await wire.whole(plan if struck else None, made)


def _asked(path: str, body: dict[str, Any], plan: Plan, size: int) -> Asked:
    """The prompt is counted by its length, so that no two prompts are alike to the accounts."""
    last = (body.get("messages") or [{}])[-1]
    begun = last.get("content") if last.get("role") == "assistant" else None
    begun = begun if isinstance(begun, str) else "".join(part.get("text", "") for part in begun or ())
    if not TEXT.startswith(begun):
        raise AssertionError(f"{path}: goes on from what was never said: {begun!r}")
    skipped = sum(len(TEXT) - len("".join(WORDS[number:])) < len(begun) for number in range(len(WORDS)))
    return Asked(str(body.get("model") or "m"), _TEMPLATE_TOKENS + size // _BYTES_PER_TOKEN, plan.calls, skipped)


class _Wire:
    """One request's side of a connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, served: Served):
        self._reader, self._writer, self._served = reader, writer, served

    # ---- before the head

    async def before_head(self, fault: Fault, shape: str, made: Answer) -> None:
        if fault.name in STATUSES:
            status, code, pause = STATUSES[fault.name]
            body = _refusal(shape, status, code)
            more = f"retry-after: {pause}\r\n" if pause else ""
            if "bedrock" in shape and status in _EXCEPTIONS:
                more += f"x-amzn-errortype: {_EXCEPTIONS[status]}\r\n"
            self._head(status, "application/json", f"{more}content-length: {len(body)}\r\n")
            self._writer.write(body)
            return
        match fault.name:
            case "reset" | "reset once":
                await self._reset()
            case "eof":
                raise _Over
            case "hang" | "slow" | "client leaves":
                self._served.input = made.input
                await self._silence()
            case "garbage":
                self._writer.write(bytes(range(256)) * 4)
            case "big head":
                self._head(200, made.kind, "x-big: " + "b" * 80 * 1024 + "\r\ncontent-length: 0\r\n")
        await self._writer.drain()
        raise _Over

    # ---- whole answers

    async def whole(self, plan: Plan | None, made: Answer) -> None:
        served = self._served
        body, kind, fault = made.whole, "application/json", plan.fault.name if plan else ""
        served.input, served.output = made.input, made.output
        half = body[: len(body) // 2]
        match fault if plan is not None and plan.moment is Moment.BODY else "":
            case "reset" | "hang" | "cut" | "client leaves":
                self._head(200, kind, f"content-length: {len(body)}\r\n")
                self._writer.write(half)
                await self._writer.drain()
                if fault == "reset":
                    await self._reset()
                elif fault != "cut":
                    await self._silence()
                raise _Over
            case "broken chunk":
                self._head(200, kind, "transfer-encoding: chunked\r\n")
                self._writer.write(b"%x\r\n%b\r\nhello\r\n" % (len(half), half))
                raise _Over
            case "long length":
                self._head(200, kind, f"content-length: {len(body) + 10}\r\n")
                self._writer.write(body)
                raise _Over
            case "short length":
                self._head(200, kind, f"content-length: {len(half)}\r\n")
                self._writer.write(body)
                raise _Over
            case "truncated":
                body = half
            case "no JSON":
                body = b"\x00\xfe upstream connect error"
            case "empty":
                body = b""
            case "page":
                body, kind = _PAGE, "text/html"
                served.input = served.output = 0
            case "wrong type":
                kind = "text/plain"
                served.told_all = True
            case "gzip":
                body = _damaged(zlib.compress(body, wbits=31))
                self._head(200, kind, f"content-encoding: gzip\r\ncontent-length: {len(body)}\r\n")
                self._writer.write(body)
                return
            case _:
                served.told_all = True
        self._head(200, kind, f"content-length: {len(body)}\r\n")
        self._writer.write(body)

    # ---- streams

    async def stream(self, plan: Plan | None, shape: str, made: Answer) -> None:
        served = self._served
        fault = plan.fault.name if plan else ""
        if fault == "page":
            self._head(200, "text/html", f"content-length: {len(_PAGE)}\r\n")
            self._writer.write(_PAGE)
            return
        served.input = made.input
        packed = zlib.compressobj(wbits=31) if fault == "gzip" else None
        coding = "content-encoding: gzip\r\n" if packed else ""
        self._head(200, "text/plain" if fault == "wrong type" else made.kind, f"{coding}transfer-encoding: chunked\r\n")
        at = place(made.events, plan.moment) if plan is not None else None
        written = 0
        for number, event in enumerate(made.events):
            if number == at:
                await self._strike(fault, shape)
            data = event.data
            if packed is not None:
                data = packed.compress(data) + packed.flush(zlib.Z_SYNC_FLUSH)
            await self._chunk(data)
            written += event.tokens
            served.output = max(served.output, written, event.least)
            served.told_all = event.tells_all
            await asyncio.sleep(0.001)  # each event a read of its own, most of the time
        if at == len(made.events):
            await self._strike(fault, shape)
        self._writer.write(b"0\r\n\r\n")

    async def _strike(self, fault: str, shape: str) -> None:
        """Nothing comes after it: what is written to a caller who has given up is no matter of chance."""
        match fault:
            case "reset":
                await self._reset()
            case "hang" | "client leaves":
                await self._silence()
            case "ends":
                self._writer.write(b"0\r\n\r\n")
            case "broken chunk":
                self._writer.write(b"hello\r\n")
            case "gzip":
                await self._chunk(b"\x00\xff" * 32)
            case "malformed":
                await self._chunk(_malformed(shape))
                await self._silence()
            case "error":
                await self._chunk(_error_event(shape))
                self._writer.write(b"0\r\n\r\n")
            case "wrong type":
                await self._silence()
        await self._writer.drain()
        raise _Over

    # ---- bytes

    def _head(self, status: int, kind: str, more: str) -> None:
        self._writer.write(f"HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\nconnection: close\r\n{more}\r\n".encode())

    async def _chunk(self, data: bytes) -> None:
        self._writer.write(b"%x\r\n%b\r\n" % (len(data), data))
        await self._writer.drain()

    async def _reset(self) -> None:
        connection = self._writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()
        raise _Over

    async def _silence(self) -> None:
        """Until the other side has enough of it."""
        await self._writer.drain()
        self._served.silent = True
        async with asyncio.timeout(_SILENCE_SECONDS):
            await self._reader.read()
        raise _Over


def place(events: tuple[Event, ...], moment: Moment) -> int | None:
    """Before which event a fault strikes; None where these events have no such moment."""
    kinds = [event.kind for event in events]
    tokens = [number for number, kind in enumerate(kinds) if kind is Kind.TOKEN]
    match moment:
        case Moment.BODY:
            return 0
        case Moment.TOKEN:
            return tokens[0] or None
        case Moment.TEXT | Moment.CALL:
            return tokens[len(tokens) // 2] if len(tokens) > 1 else None
        case Moment.STOP:
            return kinds.index(Kind.STOP)
        case Moment.USAGE:
            return kinds.index(Kind.USAGE) if Kind.USAGE in kinds else None
        case Moment.END:
            return kinds.index(Kind.END) if Kind.END in kinds else len(kinds)
    return None


# ---- words of errors

_PAGE = b"<!doctype html><title>502</title><h1>Bad gateway</h1>"
_EXCEPTIONS = {
    400: "ValidationException",
    401: "UnrecognizedClientException",
    403: "AccessDeniedException",
    404: "ResourceNotFoundException",
    408: "ModelTimeoutException",
    429: "ThrottlingException",
    500: "InternalServerException",
    503: "ServiceUnavailableException",
}
_GOOGLES = {400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND",
            429: "RESOURCE_EXHAUSTED", 503: "UNAVAILABLE", 504: "DEADLINE_EXCEEDED"}  # fmt: skip
_TOO_LONG = {
    "messages": "prompt is too long: 300000 tokens > 200000 maximum",
    "gemini": "The input token count (2000000) exceeds the maximum number of tokens allowed (1048576).",
    "bedrock": "Input is too long for requested model.",
    "cohere": "too many tokens: total number of tokens in the prompt cannot exceed 128000 - received 300000",
}
"""As the vendors word it: see tests/cassettes."""


def _refusal(shape: str, status: int, code: str) -> bytes:
    words = f"Simulated status {status}."
    if code == "context_length_exceeded":
        words = _TOO_LONG.get(shape, "This model's maximum context length is 8192 tokens.")
    if shape == "messages":
        kind = {400: "invalid_request_error", 401: "authentication_error", 429: "rate_limit_error"}.get(
            status, "api_error"
        )
        return json.dumps({"type": "error", "error": {"type": kind, "message": words}}).encode()
    if "gemini" in shape:
        name = _GOOGLES.get(status, "INTERNAL" if status >= 500 else "FAILED_PRECONDITION")
        return json.dumps({"error": {"code": status, "message": words, "status": name}}).encode()
    if "bedrock" in shape or "cohere" in shape:
        return json.dumps({"message": words}).encode()
    return json.dumps({"error": {"message": words, "type": "invalid_request_error", "code": code or None}}).encode()


def _error_event(shape: str) -> bytes:
    if shape == "messages":
        error = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
        return b"event: error\ndata: " + json.dumps(error).encode() + b"\n\n"
    if shape == "gemini":
        error = {"error": {"code": 503, "message": "The model is overloaded.", "status": "UNAVAILABLE"}}
        return b"data: " + json.dumps(error).encode() + b"\r\n\r\n"
    if shape == "bedrock":
        return event_stream.exception("serviceUnavailableException", b'{"message":"overloaded"}')
    if shape == "cohere":
        end = {"type": "message-end", "delta": {"finish_reason": "ERROR", "error": "overloaded"}}
        return b"event: message-end\ndata: " + json.dumps(end).encode() + b"\n\n"
    if shape == "responses":
        failed = {"type": "error", "code": "server_error", "message": "overloaded", "sequence_number": 99}
        return b"event: error\ndata: " + json.dumps(failed).encode() + b"\n\n"
    return b'data: {"error": {"message": "overloaded", "type": "server_error", "code": "overloaded"}}\n\n'


def _malformed(shape: str) -> bytes:
    if shape == "bedrock":
        return event_stream.event("contentBlockDelta", b'{"contentBlockIndex":0,"del')
    return b'data: {"id": "x", "choi\n\n'


def _damaged(data: bytes) -> bytes:
    half = len(data) // 2
    return data[:half] + bytes(255 - byte for byte in data[half:])


@contextlib.asynccontextmanager
async def listening(vendor: Vendor) -> AsyncIterator[int]:
    """Serves; yields the port."""
    server = await asyncio.start_server(vendor.connected, "127.0.0.1", 0)
    try:
        yield int(server.sockets[0].getsockname()[1])
    finally:
        server.close()
