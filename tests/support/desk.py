"""A vendor with an answer for each question: in OpenAI's protocol, whole or streamed, and from a beginning on."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

Says = Callable[[str], str]
"""The answer to what the user said last."""


@dataclass
class Desk:
    """What it was asked, and how it behaves."""

    says: Says
    url: str = ""
    asked: list[dict[str, Any]] = field(default_factory=list)
    goes_on: bool = True
    """Whether it writes only the rest of an answer that it is given the beginning of; else it says all of it."""
    refuses: bool = False
    """Whether it takes no message of an assistant at the end."""
    fails: int = 0
    """So many of the next requests."""
    breaks_after: int = 0
    """Words, after which a stream breaks off; 0: it doesn't."""

    @property
    def last(self) -> dict[str, Any]:
        return self.asked[-1]

    def beginning(self, body: dict[str, Any]) -> str:
        """That it is given."""
        last = body["messages"][-1]
        return str(last["content"]) if last["role"] == "assistant" else ""

    def answer(self, body: dict[str, Any]) -> tuple[int, bytes, bool]:
        """Status, body, whether it is a stream."""
        if self.fails:
            self.fails -= 1
            return 503, b'{"error": {"message": "overloaded"}}', False
        begun = self.beginning(body)
        if begun and self.refuses:
            return 400, b'{"error": {"message": "This model does not support assistant message prefill."}}', False
        asked = next(m["content"] for m in reversed(body["messages"]) if m["role"] == "user")
        said = self.says(asked if isinstance(asked, str) else asked[0]["text"])
        if begun and self.goes_on:
            said = said.removeprefix(begun) if said.startswith(begun) else " But no."
        sent = sum(len(str(message["content"]).split()) for message in body["messages"])
        usage = {
            "prompt_tokens": sent,
            "completion_tokens": len(said.split()),
            "total_tokens": sent + len(said.split()),
        }
        if not body.get("stream"):
            choice = {"index": 0, "message": {"role": "assistant", "content": said}, "finish_reason": "stop"}
            whole = {"id": "x", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}
            return 200, json.dumps(whole | {"usage": usage}).encode(), False
        return 200, self._events(said, usage), True

    def _events(self, said: str, usage: dict[str, int]) -> bytes:
        words = said.split(" ")
        pieces = [word + " " for word in words[:-1]] + words[-1:]
        if self.breaks_after:
            pieces = pieces[: self.breaks_after]
        chunk = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m"}
        deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}, *({"content": piece} for piece in pieces)]
        events: list[dict[str, Any]] = [
            chunk | {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas
        ]
        if not self.breaks_after:
            events.append(chunk | {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
            events.append(chunk | {"choices": [], "usage": usage})
        told = "".join(f"data: {json.dumps(event)}\n\n" for event in events)
        return (told + ("" if self.breaks_after else "data: [DONE]\n\n")).encode()


@contextlib.asynccontextmanager
async def desk(says: Says, **behaviour: Any) -> AsyncIterator[Desk]:
    """Serves until the end of the block."""
    made = Desk(says, **behaviour)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
                headers = {n.lower(): v for n, _, v in (line.partition(": ") for line in head[1:] if line)}
                body = json.loads(await reader.readexactly(int(headers.get("content-length", "0"))))
                made.asked.append(body)
                status, answer, stream = made.answer(body)
                kind = "text/event-stream" if stream else "application/json"
                reason = {200: "OK", 400: "Bad Request", 503: "Service Unavailable"}[status]
                start = f"HTTP/1.1 {status} {reason}\r\ncontent-type: {kind}\r\n"
                if stream:
                    ends = b"" if made.breaks_after else b"0\r\n\r\n"
                    start += "transfer-encoding: chunked\r\n\r\n"
                    writer.write(start.encode() + b"%x\r\n%b\r\n" % (len(answer), answer) + ends)
                    if made.breaks_after:
                        break
                else:
                    writer.write(f"{start}content-length: {len(answer)}\r\n\r\n".encode() + answer)
                await writer.drain()
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    try:
        yield made
    finally:
        server.close()
