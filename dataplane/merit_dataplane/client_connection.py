"""One client's connection to the data port: uvicorn's, with bounds on a request's head and fewer steps per answer."""

import asyncio
from collections.abc import MutableMapping
from typing import Any

from uvicorn.protocols.http.httptools_impl import (
    HEADER_RE,
    HEADER_VALUE_RE,
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

_CONNECTION = frozenset({b"connection", b"transfer-encoding"})
"""Headers that change how an answer ends: uvicorn knows how."""
_BODILESS = frozenset({204, 304})


class FewWrites(RequestResponseCycle):
    """Sends the head of an answer with the beginning of its body, checks all headers at once, and a chunk in one step.

    Whatever is not such an answer goes uvicorn's own way.
    """

    _held = b""

    async def send(self, message: MutableMapping[str, Any]) -> None:  # type: ignore[override] # as RequestPath has it
        """One ASGI message. Raises RuntimeError for a header that would break the answer's framing."""
        if self.response_started:
            return None if self._continue(message) else await self._uvicorns(message)
        if (
            message["type"] != "http.response.start"
            or self.disconnected
            or self.flow.write_paused
            or not self.keep_alive
            or self.default_headers
            or self.scope["method"] == "HEAD"
            or not self._begin(message)
        ):
            await super().send(message)  # type: ignore[arg-type]
        return None

    def _continue(self, message: MutableMapping[str, Any]) -> bool:
        """Sends a part of the body, or all of it. False: it is nothing that is understood here."""
        if self.flow.write_paused or self.disconnected or self.response_complete:
            return False
        body: bytes = message.get("body", b"")
        if self.chunked_encoding:
            if not body or not message.get("more_body") or self.scope["method"] == "HEAD":
                return False
            head, self._held = self._held, b""
            self.transport.write(b"%b%x\r\n%b\r\n" % (head, len(body), body))
            return True
        if not self._held or message.get("more_body") or len(body) != self.expected_content_length:
            return False
        self._whole(body)
        return True

    def _begin(self, message: MutableMapping[str, Any]) -> bool:
        """Makes the head. False: it is none that is understood here."""
        names = [name.lower() for name, _ in message["headers"]]
        lengths = names.count(b"content-length")
        if lengths > 1 or not _CONNECTION.isdisjoint(names) or (not lengths and message["status"] in _BODILESS):
            return False
        values = [value for _, value in message["headers"]]
        if HEADER_RE.search(b"".join(names)) or HEADER_VALUE_RE.search(b"".join(values)):
            raise RuntimeError("a header of the answer has a character that no header may have")
        lines = [b"%b: %b\r\n" % pair for pair in zip(names, values, strict=True)]
        self.response_started, self.waiting_for_100_continue = True, False
        self.chunked_encoding = not lengths
        if lengths:
            self.expected_content_length = int(values[names.index(b"content-length")])
        else:
            lines.append(b"transfer-encoding: chunked\r\n")
        self._held = b"".join((STATUS_LINE[message["status"]], *lines, b"\r\n"))
        return True

    def _whole(self, body: bytes) -> None:
        head, self._held = self._held, b""
        self.transport.write(head + body)
        self.expected_content_length = 0
        self.response_complete = True
        self.message_event.set()
        if not self.keep_alive:  # the server has begun to shut down since the head
            self.transport.close()
        self.on_response()

    async def _uvicorns(self, message: MutableMapping[str, Any]) -> None:
        head, self._held = self._held, b""
        if head and not self.disconnected:
            self.transport.write(head)
        await super().send(message)  # type: ignore[arg-type]


class ClientConnection(HttpToolsProtocol):
    """uvicorn's protocol, with bounds that it lacks: on a request's head, in bytes and time, up to its body's start."""

    longest_head = 64 * 1024
    head_seconds = 20.0
    _timer: asyncio.TimerHandle | None = None
    _in_head = False
    _head_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn has it
        """Gives the first head its time."""
        super().connection_made(transport)
        self._timer = self.loop.call_later(self.head_seconds, self._too_slow)

    def connection_lost(self, exc: Exception | None) -> None:
        """Ends the timer with the connection."""
        self._stop_timer()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """A head begins."""
        self._in_head, self._head_bytes = True, 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """The request's cycle answers in one write."""
        super().on_headers_complete()
        if self.cycle is not None:
            self.cycle.__class__ = FewWrites  # its task starts later; uvicorn has no setting for the class

    def on_body(self, body: bytes) -> None:
        """The body has begun: from here on whoever reads it has a limit."""
        if self._in_head:
            self._begun()
        super().on_body(body)

    def on_message_complete(self) -> None:
        """A request without a body is complete."""
        if self._in_head:
            self._begun()
        super().on_message_complete()

    def data_received(self, data: bytes) -> None:
        """Counts what belongs to an unfinished head."""
        super().data_received(data)
        if self._in_head:  # most heads come in one piece and are never counted
            self._head_bytes += len(data)
            if self._head_bytes > self.longest_head:
                self.transport.abort()
            elif self._timer is None:
                self._timer = self.loop.call_later(self.head_seconds, self._too_slow)

    def _begun(self) -> None:
        self._in_head = False
        self._stop_timer()

    def _too_slow(self) -> None:
        self._timer = None
        self.transport.abort()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
