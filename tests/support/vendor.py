"""A vendor on a socket that notes what it gets and says what it is told."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Vendor:
    """What came, and what goes back, always the same."""

    body: bytes = b"{}"
    status: str = "200 OK"
    kind: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)
    heads: list[str] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    chunk: int = 0
    """Bytes of a piece; 0 is all at once."""
    reply: Callable[[bytes], bytes] | None = None
    """Makes the body of what it was asked."""

    @property
    def asked(self) -> dict[str, Any]:
        """The last request's body."""
        made: dict[str, Any] = json.loads(self.bodies[-1])
        return made

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            self.heads.append(head)
            length = head.lower().partition("content-length: ")[2].split("\r\n")[0]
            self.bodies.append(await reader.readexactly(int(length or 0)))
            body = self.reply(self.bodies[-1]) if self.reply else self.body
            more = "".join(f"{name}: {value}\r\n" for name, value in self.headers.items())
            size = f"content-length: {len(body)}"
            writer.write(f"HTTP/1.1 {self.status}\r\ncontent-type: {self.kind}\r\n{more}{size}\r\n\r\n".encode())
            step = self.chunk or max(1, len(body))
            for at in range(0, len(body), step):
                writer.write(body[at : at + step])
                await writer.drain()
        writer.close()


@contextlib.asynccontextmanager
async def listening(vendor: Vendor) -> AsyncIterator[str]:
    """The vendor's URL."""
    async with await asyncio.start_server(vendor.serve, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
