"""What a client is sent, in few writes."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import MutableMapping
from typing import Any

from uvicorn.protocols.http.httptools_impl import HEADER_RE, HEADER_VALUE_RE, STATUS_LINE, RequestResponseCycle

_EVENTS = b"text/event-stream"
_BODILESS = frozenset({204, 304})


def shared(transport: asyncio.Transport) -> socket.socket:
    """The transport's socket, by another descriptor, to be closed: what loops hand out is not a whole one."""
    known: Any = transport.get_extra_info("socket")
    return socket.socket(fileno=socket.dup(known.fileno()))


def drop(transport: asyncio.Transport) -> None:
    """Ends a connection whose client does not read, with all that was to be sent: the kernel keeps nothing of it."""
    if not transport.is_closing() or transport.get_write_buffer_size():
        with contextlib.suppress(OSError), shared(transport) as copy:
            copy.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


class FewWrites(RequestResponseCycle):
    """Sends the head of an answer with the beginning of its body, checks all headers at once, and a chunk in one step.

    Whatever is not such an answer goes uvicorn's own way.
    """

    unread_seconds = 60.0
    between_events = False
    """Whether the client has been sent the whole of an event, and nothing of the next one."""
    _held = b""
    _events = False

    async def send(self, message: MutableMapping[str, Any]) -> None:  # type: ignore[override] # as RequestPath has it
        """One ASGI message. Raises RuntimeError for a header that would break the answer's framing."""
        if self.flow.write_paused and not self.disconnected:
            await self._room()
        if self.response_started:
            return None if self._continue(message) else await self._uvicorns(message)
        if self.more_body:  # nobody will read the rest of the request
            self.keep_alive = False
        if (
            message["type"] != "http.response.start"
            or self.disconnected
            or self.default_headers
            or self.scope["method"] == "HEAD"
            or not self._begin(message)
        ):
            await super().send(message)  # type: ignore[arg-type]
        return None

    async def _room(self) -> None:
        """Waits until the client has read what it has been sent. One that doesn't has gone."""
        try:
            async with asyncio.timeout(self.unread_seconds):
                await self.flow.drain()
        except TimeoutError:
            drop(self.transport)

    def _continue(self, message: MutableMapping[str, Any]) -> bool:
        """Sends a part of the body, or all of it. False: it is nothing that is understood here."""
        if self.disconnected or self.response_complete:
            return False
        body: bytes = message.get("body", b"")
        if self.chunked_encoding:
            if not body or not message.get("more_body") or self.scope["method"] == "HEAD":
                return False
            head, self._held = self._held, b""
            self.transport.write(b"%b%x\r\n%b\r\n" % (head, len(body), body))
            self.between_events = self._events and body.endswith(b"\n\n")
            return True
        if not self._held or message.get("more_body") or len(body) != self.expected_content_length:
            return False
        self._whole(body)
        return True

    def _begin(self, message: MutableMapping[str, Any]) -> bool:
        """Makes the head. False: it is none that is understood here."""
        names = [name.lower() for name, _ in message["headers"]]
        lengths = names.count(b"content-length")
        values = [value for _, value in message["headers"]]
        if b"connection" in names and values[names.index(b"connection")] == b"close":
            self.keep_alive = False
        elif not self.keep_alive:
            names.append(b"connection")
            values.append(b"close")
        if (
            lengths > 1
            or b"transfer-encoding" in names
            or (b"connection" in names and self.keep_alive)
            or (not lengths and (message["status"] in _BODILESS or self.scope["http_version"] != "1.1"))
        ):
            return False
        if HEADER_RE.search(b"".join(names)) or HEADER_VALUE_RE.search(b"".join(values)):
            raise RuntimeError("a header of the answer has a character that no header may have")
        lines = [b"%b: %b\r\n" % pair for pair in zip(names, values, strict=True)]
        self.response_started, self.waiting_for_100_continue = True, False
        self.chunked_encoding = not lengths
        if lengths:
            self.expected_content_length = int(values[names.index(b"content-length")])
        else:
            lines.append(b"transfer-encoding: chunked\r\n")
            self._events = b"content-type" in names and values[names.index(b"content-type")].startswith(_EVENTS)
        self._held = b"".join((STATUS_LINE[message["status"]], *lines, b"\r\n"))
        return True

    def _whole(self, body: bytes) -> None:
        head, self._held = self._held, b""
        self.transport.write(head + body)
        self.expected_content_length = 0
        self.response_complete = True
        self.message_event.set()
        self.on_response()  # closes the connection, where it is not kept

    async def _uvicorns(self, message: MutableMapping[str, Any]) -> None:
        head, self._held = self._held, b""
        if head and not self.disconnected:
            self.transport.write(head)
        await super().send(message)  # type: ignore[arg-type]
