"""One client's connection to the data port: uvicorn's, with bounds that it lacks, and answers for who exceeds them.

An unfinished head has 20 s, 64 KiB and 256 lines; a body 20 s to begin (then `intake` has a limit); an answer that
nobody reads is given up after 60 s; and there are never more connections than leave descriptors for the providers.
"""

import asyncio
import socket
from typing import NamedTuple, cast

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from merit_dataplane.client_answer import FewWrites, drop, shared
from merit_dataplane.wire.errors import error_body

_LINGER_SECONDS = 2.0
"""For a client that still sends when it is refused: closed at once, its connection is reset, and the answer lost."""
_LOOK_SECONDS = (0.03, 0.2, 1.0, 4.0)
_TCP_CLOSED = 7
"""Linux' `TCP_CLOSE`, the first byte of `tcp_info`."""
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_COMMENT = b"3\r\n:\n\n\r\n"
"""Of a stream of events, in a chunk of its own."""


class _Why(NamedTuple):
    message: str
    code: str


_WHY = {
    400: _Why("This is no HTTP request.", code="bad_request"),
    408: _Why("The request did not arrive in time.", code="request_timeout"),
    414: _Why("The URL is too long.", code="url_too_long"),
    431: _Why("The request has too many headers, or too large ones.", code="headers_too_large"),
    503: _Why("This pod has as many connections as it can have.", code="overloaded"),
}


class _RefusedError(Exception):
    """Ends the parser's work on a head."""


class ClientConnection(HttpToolsProtocol):
    """Seconds and bytes are class attributes, so that tests need not wait."""

    longest_head = 64 * 1024
    longest_url = 16 * 1024
    most_headers = 256
    head_seconds = 20.0
    most_connections: int | None = None
    """None: any number."""
    _timer: asyncio.TimerHandle | None = None
    _end_timer: asyncio.TimerHandle | None = None
    _answering: FewWrites | None = None
    """Others behind it wait for their turn: `cycle` is the last one."""
    _in_head = False
    _head_bytes = 0
    _reading = 0
    _refusal = 400
    _deaf = False
    _looks = -1
    _idle_since = 0.0

    # ---- the transport's calls

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn has it
        """Gives the first head its time."""
        super().connection_made(transport)
        self._timer = self.loop.call_later(self.head_seconds, self._too_slow)
        if self.most_connections is not None and len(self.connections) > self.most_connections:
            self._refuse(503)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tells all requests of this connection, and ends its timers."""
        self._stop_timer()
        if self._end_timer is not None:
            self._end_timer.cancel()
        for cycle in (self._answering, *(waiting for waiting, _ in self.pipeline)):
            if cycle is not None and not cycle.response_complete:
                cycle.disconnected = True
                cycle.message_event.set()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parses, and counts what belongs to an unfinished head."""
        if self._deaf:
            return
        self._reading = len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            pass  # to what Merit doesn't speak: a server may go on as if nobody had asked
        except httptools.HttpParserError:
            self._refuse(self._refusal)
            return
        if self._in_head:  # most heads come in one piece and are never counted
            self._head_bytes += len(data)
            if self._head_bytes > self.longest_head:
                self._refuse(414 if len(self.url) > self.longest_url else 431)
            elif self._timer is None:
                self._timer = self.loop.call_later(self.head_seconds, self._too_slow)

    def eof_received(self) -> bool:  # type: ignore[override] # uvicorn has none
        """The client sends no more: it may wait for its answer, or have gone. True: the connection stays open.

        The two look alike until something is sent to it: who has gone refuses that. So that it shows before the answer
        is there, and paid for, it is sent what every client passes over: an interim response (RFC 9110, 15.2), or a
        comment between two events.
        """
        cycle = self._answering
        if cycle is None or cycle.response_complete or cycle.more_body or self._deaf or not hasattr(socket, "TCP_INFO"):
            return False
        if cycle.scope["http_version"] != "1.1":
            return False
        cycle.keep_alive = False
        if self._looks < 0:
            self._probe()
        return True

    # ---- the parser's calls

    def on_message_begin(self) -> None:
        """A head begins."""
        self._in_head, self._head_bytes = True, 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """A head is complete: its request begins, or waits for those before it."""
        if len(self.url) > self.longest_url:
            self._refusal = 414
            raise _RefusedError
        if len(self.headers) > self.most_headers or (
            self._reading > self.longest_head
            and sum(len(name) + len(value) for name, value in self.headers) > self.longest_head
        ):
            self._refusal = 431
            raise _RefusedError
        super().on_headers_complete()
        cycle = self.cycle
        if cycle is not None:
            cycle.__class__ = FewWrites  # its task starts later; uvicorn has no setting for the class
            if self._answering is None or self._answering.response_complete:
                self._answering = cycle  # type: ignore[assignment] # it is one, since the line before

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

    # ---- the cycle's call, and uvicorn's timer

    def on_response_complete(self) -> None:
        """Closes the connection where it is not kept, else it is the next request's turn."""
        cycle = self._answering
        self._answering = cast("FewWrites", self.pipeline[-1][0]) if self.pipeline else None
        if cycle is not None and not cycle.keep_alive and not self.transport.is_closing():
            self._hang_up(lingers=cycle.more_body)
        self._idle_since = self.loop.time()
        if self.timeout_keep_alive_task is None or self.pipeline or self.transport.is_closing():
            super().on_response_complete()
        else:  # its timer looks when it fires
            self.server_state.total_requests += 1
            self.flow.resume_reading()

    def timeout_keep_alive_handler(self) -> None:
        """Nobody has asked for anything; a client that has not even read its answer won't."""
        self.timeout_keep_alive_task = None
        if self._in_head or (self._answering is not None and not self._answering.response_complete):
            return
        rest = self._idle_since + self.timeout_keep_alive - self.loop.time()
        if rest > 0:
            self.timeout_keep_alive_task = self.loop.call_later(rest, self.timeout_keep_alive_handler)
            return
        if self.transport.get_write_buffer_size():
            drop(self.transport)
        super().timeout_keep_alive_handler()

    def send_400_response(self, msg: str) -> None:
        """Never called: `data_received` refuses by itself."""
        raise AssertionError(msg)

    # ---- refusals and ends

    def _refuse(self, status: int) -> None:
        """Says no to what has come, unless an answer is under way: then to what comes after that."""
        cycle = self._answering
        self._stop_timer()
        if cycle is not None and not cycle.response_complete and (cycle.response_started or not cycle.more_body):
            cycle.keep_alive = False
            self._deaf = True
            self.pipeline.clear()
            return
        message, code = _WHY[status]
        body = error_body(message, kind="server_error" if status >= 500 else "invalid_request_error", code=code)
        self.transport.write(
            b"%bcontent-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%b"
            % (STATUS_LINE[status], len(body), body)
        )
        if cycle is not None and not cycle.response_complete:  # it waits for a body
            cycle.disconnected = True
            cycle.message_event.set()
        self._hang_up(lingers=True)

    def _hang_up(self, *, lingers: bool) -> None:
        self._deaf = True
        self._stop_timer()
        if lingers and self.transport.can_write_eof():
            self.transport.write_eof()
            seconds = _LINGER_SECONDS
        else:
            self.transport.close()
            seconds = FewWrites.unread_seconds
        self._end_timer = self.loop.call_later(seconds, drop, self.transport)

    def _begun(self) -> None:
        self._in_head = False
        self._stop_timer()

    def _too_slow(self) -> None:
        self._timer = None
        answering = self._answering is not None and not self._answering.response_complete
        if answering and self._answering is not self.cycle:
            self._timer = self.loop.call_later(self.head_seconds, self._too_slow)  # it has other things to wait for
        elif self._in_head:
            self._refuse(408)
        else:
            self.transport.abort()  # it has never said a word

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _probe(self) -> None:
        cycle = self._answering
        if cycle is not None and not cycle.response_started:
            self.transport.write(_CONTINUE)
        elif cycle is not None and cycle.between_events:
            self.transport.write(_COMMENT)
        self._looks = 0
        self.loop.call_later(_LOOK_SECONDS[0], self._look)

    def _look(self) -> None:
        """Whether the client has refused what it was sent."""
        if self.transport.is_closing() or self._answering is None:
            return
        with shared(self.transport) as copy:
            state = copy.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]
        if state == _TCP_CLOSED:
            self.transport.abort()
            return
        self._looks += 1
        if self._looks < len(_LOOK_SECONDS):
            self.loop.call_later(_LOOK_SECONDS[self._looks], self._look)
        else:
            self._probe()
