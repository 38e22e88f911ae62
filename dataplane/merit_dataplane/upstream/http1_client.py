"""The upstream client: HTTP/1.1 over kept connections, and nothing else that a client can do (docs/adr/0013)."""

import asyncio
import functools
import ssl
from collections.abc import Mapping

from merit_dataplane.upstream.addresses import Addresses, RefusedAddressError
from merit_dataplane.upstream.client import (
    Failure,
    NotAskedError,
    Upload,
    UpstreamClient,
    UpstreamError,
    UpstreamResponse,
)
from merit_dataplane.upstream.http1_connection import Http1Connection
from merit_dataplane.upstream.http1_request import Origin, Prepared, prepare

_IDLE_SECONDS = 30.0
_SETTLED_SECONDS = 60.0
"""So long a connection is kept wherever its name leads: some names have other addresses each time they are asked."""
_MOST_PREPARED = 2048


@functools.cache  # reading the system's certificates, or those of SSL_CERT_FILE, takes a while
def _tls() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


class Http1Client(UpstreamClient):
    """One pool for all providers; the connection that was used last is used next. Never follows a redirect."""

    def __init__(self) -> None:
        self._tls = _tls()  # reads the system's certificates: now, not at the first request
        self._addresses = Addresses()
        self._prepared: dict[tuple[str, int], Prepared] = {}
        self._idle: dict[Origin, list[Http1Connection]] = {}
        self._open: set[Http1Connection] = set()
        self._sweeper: asyncio.TimerHandle | None = None
        self._closed = False

    async def post(
        self, url: str, headers: Mapping[str, str], body: bytes, connect_seconds: float, *, once: bool = False
    ) -> UpstreamResponse:
        """See UpstreamClient."""
        key = (url, id(headers))
        prepared = self._prepared.get(key)
        if prepared is None or prepared.headers != headers:  # an id is soon another mapping's
            prepared = prepare(url, headers)
            if not once:
                if len(self._prepared) >= _MOST_PREPARED:
                    self._prepared.clear()
                self._prepared[key] = prepared
        origin = prepared.origin
        idle = self._idle.get(origin)
        while idle:
            connection = idle.pop()
            if not connection.usable:
                continue
            response = connection.send(prepared.head, body)
            await response.head()
            if response.status:
                return response
            if connection.was_stale():
                break
            raise _no_answer(origin, response.error)
        connection = await self._connect(origin, connect_seconds)
        response = connection.send(prepared.head, body)
        await response.head()
        if response.status:
            return response
        raise _no_answer(origin, response.error)

    async def send(
        self, method: str, url: str, headers: Mapping[str, str], connect_seconds: float, *, upload: Upload | None = None
    ) -> UpstreamResponse:
        """See UpstreamClient."""
        prepared = prepare(url, headers, method)
        origin = prepared.origin
        idle = self._idle.get(origin) if upload is None else None
        while idle:
            connection = idle.pop()
            if not connection.usable:
                continue
            response = connection.ask(prepared.without_body)
            await response.head()
            if response.status:
                return response
            if connection.was_stale():
                break
            raise _no_answer(origin, response.error)
        connection = await self._connect(origin, connect_seconds)
        if upload is None:
            response = connection.ask(prepared.without_body)
        else:
            response = await connection.stream(prepared.head, upload)
        await response.head()
        if response.status:
            return response
        raise _no_answer(origin, response.error)

    async def close(self) -> None:
        """See UpstreamClient."""
        self._closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
        self._addresses.close()
        for connection in list(self._open):
            connection.abort()
        for _ in range(3):  # the loop tells of lost connections later
            await asyncio.sleep(0)

    async def _connect(self, origin: Origin, seconds: float) -> Http1Connection:
        """To one address after the other, each for its share of the time that names, TCP and TLS may take together."""
        if self._closed:
            raise UpstreamError(Failure.CONNECT, f"no connection to {origin}: the gateway ends")
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        try:
            async with asyncio.timeout(seconds):
                addresses = await self._addresses.of(origin.host)
            for left in range(len(addresses), 0, -1):
                try:
                    async with asyncio.timeout(max(0.0, until - loop.time()) / left):
                        return await self._connect_to(addresses[-left], origin, loop)
                except OSError:
                    if left == 1:
                        raise
        except asyncio.CancelledError as error:
            raise NotAskedError from error
        except RefusedAddressError as error:  # 169.254.169.254 in disguise
            raise UpstreamError(Failure.REFUSED_ADDRESS, str(error)) from error
        except (OSError, ValueError) as error:  # also time-outs, TLS, names that can't be
            raise UpstreamError(Failure.CONNECT, f"no connection to {origin}: {_reason(error, seconds)}") from error
        raise UpstreamError(Failure.CONNECT, f"no connection to {origin}: it has no address")

    async def _connect_to(self, address: str, origin: Origin, loop: asyncio.AbstractEventLoop) -> Http1Connection:
        connection = Http1Connection(origin, loop, free=self._keep, lost=self._forget)
        connection.opened_at, connection.address = loop.time(), address
        self._open.add(connection)
        try:
            await loop.create_connection(
                lambda: connection,
                address,
                origin.port,
                ssl=self._tls if origin.tls else None,
                server_hostname=origin.host if origin.tls else None,
            )
        except BaseException:
            connection.abort()
            self._open.discard(connection)
            raise
        return connection

    def _keep(self, connection: Http1Connection) -> None:
        if self._closed:
            connection.abort()
            return
        loop = asyncio.get_running_loop()
        connection.idle_since = now = loop.time()
        if now - connection.opened_at > _SETTLED_SECONDS and self._addresses.moved(
            connection.origin.host, connection.address
        ):
            connection.abort()
            return
        self._idle.setdefault(connection.origin, []).append(connection)
        if self._sweeper is None:
            self._sweeper = loop.call_later(_IDLE_SECONDS, self._sweep)

    def _forget(self, connection: Http1Connection) -> None:
        self._open.discard(connection)
        idle = self._idle.get(connection.origin)
        if idle and connection in idle:
            idle.remove(connection)

    def _sweep(self) -> None:
        """Closes what was idle for too long. One timer for all of them, none while there are none."""
        loop = asyncio.get_running_loop()
        now, self._sweeper = loop.time(), None
        for origin, idle in list(self._idle.items()):
            old = [connection for connection in idle if now - connection.idle_since >= _IDLE_SECONDS]
            del idle[: len(old)]  # the oldest stand first
            for connection in old:
                connection.abort()
            if not idle:
                del self._idle[origin]
        oldest = min((idle[0].idle_since for idle in self._idle.values()), default=None)
        if oldest is not None:
            self._sweeper = loop.call_later(oldest + _IDLE_SECONDS - now + 0.1, self._sweep)


def _reason(error: Exception, seconds: float) -> str:
    """What an operator can act on: neither type names nor the parts of OpenSSL that complained."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not valid: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"no TLS: {error.reason or error.strerror}"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, TimeoutError):
        return f"not within {seconds:g} s"
    return str(error)[:200] or type(error).__name__


def _no_answer(origin: Origin, why: str) -> UpstreamError:
    return UpstreamError(Failure.RESET, f"{origin} gave no HTTP answer: {why}")
