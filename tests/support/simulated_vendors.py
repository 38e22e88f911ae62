"""Vendors behind the port of the HTTP client, for tests in virtual time: what they serve, when, and what they bill."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from merit_dataplane.upstream.client import Failure, Upload, UpstreamClient, UpstreamError, UpstreamResponse


@dataclass
class Turn:
    """How one request is served."""

    seconds: float = 0.1
    """Until the head of a whole answer, or a stream's first token."""
    fault: str = ""
    """`500`, `503`, `429`, `400`: that status; `reset`: the connection is lost instead; `hang`: never anything."""
    tokens: int = 8
    between: float = 0.05
    """Seconds between two tokens of a stream."""


@dataclass(eq=False)
class Served:
    """What a vendor has on its bill for one request."""

    model: str
    input: int
    output: int = 0
    cut_off: bool = False
    """The other side closed the connection before the end."""


@dataclass
class SimulatedVendors(UpstreamClient):
    """One per host. A prompt is billed once it is worked on, output as it is written.

    An error that is told is not billed; one that nobody waited for was still work. Of a whole answer nothing is written
    before its end.
    """

    turns: dict[str, list[Turn]]
    """By host, the last one for all further requests."""
    input_tokens: int
    served: list[Served] = field(default_factory=list)
    asked: list[tuple[float, str]] = field(default_factory=list)
    """When, and which host."""
    open: int = 0
    """Requests that are being worked on."""

    async def post(
        self, url: str, headers: Mapping[str, str], body: bytes, connect_seconds: float, *, once: bool = False
    ) -> UpstreamResponse:
        """See UpstreamClient."""
        del headers, connect_seconds, once
        host = str(urlsplit(url).hostname)
        waiting, loop = self.turns[host], asyncio.get_running_loop()
        turn = waiting.pop(0) if len(waiting) > 1 else waiting[0]
        self.asked.append((loop.time(), host))
        request = json.loads(body)
        bill = Served(request["model"], self.input_tokens)
        self.open += 1
        self.served.append(bill)
        try:
            if turn.fault == "hang":
                await loop.create_future()
            if turn.fault:
                await asyncio.sleep(turn.seconds)
                self.served.remove(bill)
                if turn.fault == "reset":
                    raise UpstreamError(Failure.RESET, "the connection was lost")
                return _Response(self, int(turn.fault), error=True)
            if request.get("stream"):
                return _Response(self, 200, turn=turn, bill=bill)
            await asyncio.sleep(turn.seconds)
        except BaseException as error:
            self.open -= 1
            bill.cut_off = isinstance(error, asyncio.CancelledError)
            raise
        bill.output = turn.tokens
        return _Response(self, 200, turn=turn, bill=bill)

    async def send(
        self, method: str, url: str, headers: Mapping[str, str], connect_seconds: float, *, upload: Upload | None = None
    ) -> UpstreamResponse:
        """No path of a request that is answered by a model goes here."""
        raise NotImplementedError

    async def close(self) -> None:
        """See UpstreamClient."""


class _Response(UpstreamResponse):
    def __init__(
        self,
        vendors: SimulatedVendors,
        status: int,
        *,
        turn: Turn | None = None,
        bill: Served | None = None,
        error: bool = False,
    ):
        self.status = status
        self.headers = {}
        self._vendors, self._turn, self._bill, self._error = vendors, turn, bill, error
        self._open = True

    def header(self, name: str) -> str | None:
        """No header says anything."""
        del name
        return None

    def arrived(self) -> bytes:
        """Nothing yet."""
        return b""

    async def read(self, limit: int) -> bytes:
        """The whole body."""
        del limit
        self._over()
        if self._error or self._bill is None:
            return b'{"error": {"message": "no", "code": "no"}}'
        message = {"message": {"role": "assistant", "content": "x" * self._bill.output}, "finish_reason": "stop"}
        return json.dumps({"choices": [message], "usage": self._usage()}).encode()

    def chunks(self) -> AsyncIterator[bytes]:
        """The body as it arrives."""
        return self._events()

    async def _events(self) -> AsyncIterator[bytes]:
        bill, turn = self._bill, self._turn
        assert bill is not None
        assert turn is not None
        yield b": thinking\n\n"
        await asyncio.sleep(turn.seconds)
        for _ in range(turn.tokens):
            bill.output += 1
            yield _event({"choices": [{"index": 0, "delta": {"content": "x"}}]})
            await asyncio.sleep(turn.between)
        yield _event({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
        yield _event({"choices": [], "usage": self._usage()})
        self._over()
        yield b"data: [DONE]\n\n"

    def _usage(self) -> dict[str, int]:
        assert self._bill is not None
        return {"prompt_tokens": self._bill.input, "completion_tokens": self._bill.output}

    def close(self) -> None:
        """Nobody wants the rest."""
        if self._open and self._bill is not None:
            self._bill.cut_off = True
        self._over()

    def _over(self) -> None:
        if self._open:
            self._open = False
            self._vendors.open -= 1


def _event(fields: dict[str, object]) -> bytes:
    return b"data: " + json.dumps({"id": "x", "object": "chat.completion.chunk", **fields}).encode() + b"\n\n"
