"""A vendor that gives the answers of a test one after the other, and keeps what it was asked."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from tests.support.gateway import Script


@dataclass(frozen=True)
class Asked:
    """One request."""

    path: str
    headers: dict[str, str]
    """Names in lower case."""
    raw: bytes

    @property
    def body(self) -> Any:
        return json.loads(self.raw)


@dataclass
class Vendor:
    url: str
    """Base URL, up to and with the version."""
    asked: list[Asked] = field(default_factory=list)


@contextlib.asynccontextmanager
async def vendor(*scripts: Script) -> AsyncIterator[Vendor]:
    """The last script answers all further requests."""
    waiting = list(scripts)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
                headers = {n.lower(): v for n, _, v in (line.partition(": ") for line in head[1:] if line)}
                raw = await reader.readexactly(int(headers.get("content-length", "0")))
                made.asked.append(Asked(head[0].split(" ")[1], headers, raw))
                script = waiting.pop(0) if len(waiting) > 1 else waiting[0]
                await script(reader, writer)
                await writer.drain()
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    made = Vendor(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1")
    try:
        yield made
    finally:
        server.close()
