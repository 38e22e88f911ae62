"""One request's side of a connection: answers by HTTP, and faults below HTTP."""

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Headers = Iterable[tuple[bytes, bytes]]


class ClientGoneError(Exception):
    """The other side closed the connection before it had sent its request."""


class Connection:
    """Wraps the two callables that uvicorn gives an ASGI application for one request."""

    def __init__(self, receive: Receive, send: Send):
        self._receive, self._send = receive, send
        self.started = False
        """The head was sent."""
        self.written = 0
        """Parts of the body that were sent."""
        self.ended = False
        """The answer is complete, or was cut off by this side: the other side may close now."""

    async def body(self) -> bytes:
        """The request's body. Raises ClientGoneError."""
        pieces = []
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientGoneError
            pieces.append(message.get("body", b""))
            if not message.get("more_body"):
                return b"".join(pieces)

    async def closed(self) -> None:
        """Returns when uvicorn has seen the connection closed or the answer complete. Only after `body`."""
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def head(self, status: int, headers: Headers) -> None:
        """Sends status and headers."""
        self.started = True
        await self._send({"type": "http.response.start", "status": status, "headers": [*headers]})

    async def write(self, data: bytes) -> None:
        """Sends a part of the body."""
        self.written += 1
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def end(self, data: bytes = b"") -> None:
        """Sends the last part of the body."""
        self.ended = True
        await self._send({"type": "http.response.body", "body": data})

    async def whole(self, status: int, headers: Headers, body: bytes) -> None:
        """Sends a complete answer."""
        await self.head(status, [*headers, (b"content-length", b"%d" % len(body))])
        await self.end(body)

    async def reset(self) -> None:
        """Closes the connection with a TCP reset, after what was written before."""
        transport = self._transport()
        self.ended = True
        connection = transport.get_extra_info("socket")
        if connection is not None and not transport.is_closing():
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
        await self.closed()  # an application that returns sooner has, to uvicorn, forgotten to answer

    async def cut(self) -> None:
        """Closes the connection, after what was written before."""
        self.ended = True
        self._transport().close()
        await self.closed()

    def _transport(self) -> asyncio.Transport:
        # ASGI has no word for a connection: the callable is a method of uvicorn's request cycle, which has it
        transport: asyncio.Transport = self._send.__self__.transport  # type: ignore[attr-defined]
        return transport
