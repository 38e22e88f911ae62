"""What a client is sent, in few writes."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import MutableMapping
from functools import lru_cache
from typing import Any, NamedTuple

from uvicorn.protocols.http.httptools_impl import HEADER_RE, STATUS_LINE, RequestResponseCycle

_EVENTS = b"text/event-stream"
_IN_VALUES = bytes(byte for byte in range(256) if (byte >= 0x20 and byte != 0x7F) or byte == 0x09)
"""What uvicorn lets pass in a header's value; to take it away is the quickest look for anything else."""
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


class _Template(NamedTuple):
    """A head of these names: its lines with a place for each value, none where a name has a character that none may
    have, and where three of the values are, or -1."""

    lines: bytes
    simple: bool
    """Its end is told by one length, or by chunks."""
    length_at: int
    connection_at: int
    kind_at: int


@lru_cache(maxsize=512)
def _template(names: tuple[bytes, ...]) -> _Template:
    lower = [name.lower() for name in names]
    length_at, connection_at, kind_at = (
        lower.index(name) if name in lower else -1 for name in (b"content-length", b"connection", b"content-type")
    )
    simple = lower.count(b"content-length") < 2 and b"transfer-encoding" not in lower
    if HEADER_RE.search(b"".join(lower)):
        return _Template(b"", simple, length_at, connection_at, kind_at)
    lines = b"".join(b"%b: %%b\r\n" % name.replace(b"%", b"%%") for name in lower)
    chunks = b"" if length_at >= 0 else b"transfer-encoding: chunked\r\n"
    return _Template(b"%b%b\r\n" % (lines, chunks), simple, length_at, connection_at, kind_at)


class FewWrites(RequestResponseCycle):
    """Sends the head of an answer with the beginning of its body, checks all headers at once, and a chunk in one step.

    Whatever is not such an answer goes uvicorn's own way.
    """

    unread_seconds = 60.0
    between_events = False
    """Whether the client has been sent the whole of an event, and nothing of the next one."""
    _held = b""
    _events = False

    async def receive(self) -> MutableMapping[str, Any]:  # type: ignore[override] # as RequestPath has it
        """The next ASGI message: that of a short request whose body has come at once without waiting for it."""
        if (
            self.more_body
            or not self.body
            or self.flow.read_paused
            or self.disconnected
            or self.response_started
            or self.waiting_for_100_continue
        ):
            return await super().receive()  # type: ignore[return-value]
        body, self.body = bytes(self.body), bytearray()
        self.message_event.clear()
        return {"type": "http.request", "body": body, "more_body": False}

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
        names, values = zip(*message["headers"], strict=True) if message["headers"] else ((), ())
        head = _template(names)
        if head.connection_at >= 0 and values[head.connection_at] == b"close":
            self.keep_alive = False
        elif not self.keep_alive:
            head, values = _template((*names, b"connection")), (*values, b"close")
        if (
            not head.simple
            or (head.connection_at >= 0 and self.keep_alive)
            or (head.length_at < 0 and (message["status"] in _BODILESS or self.scope["http_version"] != "1.1"))
        ):
            return False
        if not head.lines or b"".join(values).translate(None, _IN_VALUES):
            raise RuntimeError("a header of the answer has a character that no header may have")
        self.response_started, self.waiting_for_100_continue = True, False
        self.chunked_encoding = head.length_at < 0
        if head.length_at >= 0:
            self.expected_content_length = int(values[head.length_at])
        else:
            self._events = head.kind_at >= 0 and values[head.kind_at].startswith(_EVENTS)
        self._held = STATUS_LINE[message["status"]] + head.lines % values
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
