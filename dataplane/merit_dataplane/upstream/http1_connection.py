"""One connection to a provider: one exchange at a time, many after each other."""

import asyncio
from collections.abc import Callable
from typing import cast

import httptools

from merit_dataplane.upstream.client import Upload
from merit_dataplane.upstream.http1_request import Origin
from merit_dataplane.upstream.http1_response import Http1Response

MAX_HEAD_BYTES = 64 * 1024
_ONE_WRITE_BYTES = 64 * 1024
_STALE_SECONDS = 1.0
_MANY_PIECES = 16
_MOST_NAMES, _LONGEST_NAME = 1024, 64


class _Lower(dict[bytes, bytes]):
    """Names of headers in lower case: the same few come again and again, and these have been hashed before."""

    def __missing__(self, name: bytes) -> bytes:
        made = name.lower()
        if len(self) < _MOST_NAMES and len(name) < _LONGEST_NAME:
            self[name] = made
        return made


_lower = _Lower()


class Http1Connection(asyncio.Protocol):
    """The parser calls `on_…`. Between exchanges `_response` is None, and whatever comes then ends the connection."""

    def __init__(
        self,
        origin: Origin,
        loop: asyncio.AbstractEventLoop,
        *,
        free: Callable[["Http1Connection"], None],
        lost: Callable[["Http1Connection"], None],
    ):
        self.origin = origin
        self.idle_since = self.opened_at = 0.0
        self.address = ""
        self._loop = loop
        self._free = free
        self._lost = lost
        self._transport: asyncio.Transport | None = None
        self._parser: httptools.HttpResponseParser  # from connection_made to connection_lost
        self._response: Http1Response | None = None
        self._exchanges = 0
        self._sent_at = 0.0
        self._received = 0
        self._fields: dict[bytes, bytes] = {}
        self.on_header = self._fields.setdefault
        """The parser's call for each line of a head: a built-in one, as answers have a dozen of them."""
        self._without_body = 0
        self._interim = False
        self._over = True
        self._surplus = False
        self._keep = False
        self._paused = False
        self._too_long = False
        self._sending = False
        self._full = False
        self._room: asyncio.Future[None] | None = None

    @property
    def usable(self) -> bool:
        """Whether a request can be sent."""
        return self._transport is not None and not self._transport.is_closing()

    def send(self, head: bytes, body: bytes) -> Http1Response:
        """Writes a request. The response's `head()` waits for what comes back."""
        response = self._begin()
        transport = self._transport
        if transport is None:
            self._fail("connection lost")
        elif len(body) <= _ONE_WRITE_BYTES:
            transport.write(b"%b%d\r\n\r\n%b" % (head, len(body), body))
        else:
            transport.write(b"%b%d\r\n\r\n" % (head, len(body)))
            transport.write(body)
        return response

    def ask(self, head: bytes) -> Http1Response:
        """Writes a request that has no body; its head is whole."""
        response = self._begin()
        if self._transport is None:
            self._fail("connection lost")
        else:
            self._transport.write(head)
        return response

    async def stream(self, head: bytes, upload: Upload) -> Http1Response:
        """Writes a request as fast as the provider reads it; stops where an answer comes before the end."""
        response = self._begin()
        if self._transport is None:
            self._fail("connection lost")
            return response
        self._sending = True
        self._transport.write(b"%b%d\r\n\r\n" % (head, upload.length))
        try:
            for piece in upload.pieces:
                if self._full:
                    self._room = self._loop.create_future()
                    await self._room
                else:
                    await asyncio.sleep(0)  # others run between two pieces
                if response.status or response.error or self._transport is None:
                    return response  # what is left of the body keeps the connection from being used again
                self._transport.write(piece)
        except BaseException:
            response.close()
            raise
        self._sending = False
        return response

    def _begin(self) -> Http1Response:
        response = self._response = Http1Response(self, self._loop)
        self._exchanges += 1
        self._received = self._without_body = 0
        self._over = self._keep = False
        self._sent_at = self._loop.time()
        return response

    def was_stale(self) -> bool:
        """The provider had closed it before the request came: that says nothing about the provider.

        It shows within a round trip. One that closes later may have worked on the request:
        that must not be sent twice.
        """
        return self._exchanges > 1 and not self._received and self._loop.time() - self._sent_at < _STALE_SECONDS

    def more(self) -> None:
        """See Source."""
        if self._paused and self._transport is not None:
            self._paused = False
            self._transport.resume_reading()

    def abort(self) -> None:
        """Ends the connection, and an exchange with it."""
        if self._response is not None:
            self._fail("closed")
        elif self._transport is not None:
            self._transport.abort()

    # ---- the transport's calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See Protocol."""
        self._transport = cast("asyncio.Transport", transport)
        self._parser = httptools.HttpResponseParser(self)
        # as lenient as browsers: line ends without CR, and spaces after a chunk's size
        self._parser.set_dangerous_leniencies(lenient_optional_cr_before_lf=True, lenient_spaces_after_chunk_size=True)

    def data_received(self, data: bytes) -> None:
        """See Protocol."""
        response = self._response
        if response is None:
            self.abort()
            return
        self._received += len(data)
        size, count = response.size, len(response.pieces)
        try:
            if self._received > MAX_HEAD_BYTES and not response.status:
                in_head = max(0, MAX_HEAD_BYTES - self._received + len(data))
                self._parser.feed_data(data[:in_head])
                self._too_long = not response.status
                data = b"" if self._too_long else data[in_head:]
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._surplus = True
            if not self._over:
                self._fail(type(error).__name__)
                return
        if len(response.pieces) - count > _MANY_PIECES:  # tiny chunks would take many times their length
            response.pieces[count:] = [b"".join(response.pieces[count:])]
        if self._sending and response.status:
            self._go_on()
        if self._too_long:
            self._fail("its head is too long")
        elif self._over:
            self._finish(response)
        else:
            self._without_body = self._without_body + len(data) if response.size == size else 0
            if self._without_body > 2 * MAX_HEAD_BYTES:  # chunk sizes and trailers without end
                self._fail("no body in what it sends")
                return
            if response.size > response.read_ahead and not self._paused and self._transport is not None:
                self._paused = True
                self._transport.pause_reading()
            response.wake()

    def pause_writing(self) -> None:
        """See Protocol."""
        self._full = True

    def resume_writing(self) -> None:
        """See Protocol."""
        self._full = False
        self._go_on()

    def connection_lost(self, exc: Exception | None) -> None:
        """See Protocol."""
        self._transport = None
        self._go_on()
        del self._parser  # it holds this connection: a cycle is left to the collector, which has too much to look at
        response = self._response
        if response is not None:
            self._response = None
            framed = b"content-length" in response.headers or b"transfer-encoding" in response.headers
            ends_here = exc is None and response.status and not framed
            response.finish("" if ends_here else type(exc).__name__ if exc else "connection lost")
            response.wake()
        self._lost(self)

    # ---- the parser's calls

    def on_message_begin(self) -> None:
        """See httptools."""
        self._fields.clear()  # of trailers
        if self._over:
            self._surplus = True

    def on_headers_complete(self) -> None:
        """See httptools."""
        response, fields = self._response, self._fields
        if response is None or self._over:
            return
        status = self._parser.get_status_code()
        if status < 200:
            self._interim = True
            fields.clear()
            return
        response.headers = {_lower[name]: fields[name] for name in reversed(fields)}  # the first one counts
        fields.clear()
        response.status = status
        self._keep = self._parser.should_keep_alive()

    def on_body(self, body: bytes) -> None:
        """See httptools."""
        response = self._response
        if response is not None and not self._over:
            response.pieces.append(body)
            response.size += len(body)

    def on_message_complete(self) -> None:
        """See httptools."""
        if self._interim:
            self._interim = False
        else:
            self._over = True

    # ---- ends

    def _finish(self, response: Http1Response) -> None:
        self._response = None
        response.finish()
        transport = self._transport
        if transport is not None:
            # a provider that answered before it had read all may never read the rest
            if (
                self._keep
                and not self._sending
                and not self._surplus
                and not transport.is_closing()
                and not transport.get_write_buffer_size()
            ):
                self.more()
                self._free(self)
            else:
                transport.abort()
        response.wake()

    def _go_on(self) -> None:
        """Whoever waits for room to write looks again."""
        if self._room is not None and not self._room.done():
            self._room.set_result(None)

    def _fail(self, why: str) -> None:
        self._go_on()
        response, self._response = self._response, None
        if response is not None:
            response.finish(why)
            response.wake()
        if self._transport is not None:
            self._transport.abort()
