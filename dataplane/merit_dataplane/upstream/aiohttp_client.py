"""The upstream client on aiohttp: 7 times the requests per core of httpx here (docs/adr/0005)."""

import asyncio
import functools
import ipaddress
import socket
from collections.abc import AsyncIterator, Mapping

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from merit_dataplane.upstream.client import Failure, UpstreamClient, UpstreamError, UpstreamResponse

_READ_BUFFER = 256 * 1024


class RefusedAddressError(OSError):
    """The name resolves to an address that no provider can have."""


@functools.lru_cache(maxsize=4096)
def refused(address: str) -> bool:
    """Link-local addresses are refused: cloud metadata services give credentials away there."""
    ip = ipaddress.ip_address(address.split("%", 1)[0])
    mapped = getattr(ip, "ipv4_mapped", None)
    return (mapped or ip).is_link_local or (mapped or ip).is_multicast or (mapped or ip).is_unspecified


class CheckedResolver(AbstractResolver):
    """Resolves names and refuses the addresses that `refused` names, at the moment of connecting."""

    def __init__(self) -> None:
        self._inner = aiohttp.ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Addresses of a name, without the refused ones."""
        found = await self._inner.resolve(host, port, family)
        usable = [address for address in found if not refused(address["host"])]
        if not usable:
            raise RefusedAddressError(f"{host} resolves to a link-local address only")
        return usable

    async def close(self) -> None:
        """Nothing to close."""
        await self._inner.close()


class _Response(UpstreamResponse):
    __slots__ = ("_response", "status")

    def __init__(self, response: aiohttp.ClientResponse):
        self._response = response
        self.status = response.status

    def header(self, name: str) -> str | None:
        return self._response.headers.get(name)

    async def read(self, limit: int) -> bytes:
        announced = self._response.content_length
        if announced is not None and announced > limit:
            raise UpstreamError(Failure.MALFORMED, f"the answer has more than {limit} bytes")
        try:
            if announced is not None and not self._response.headers.get("content-encoding"):
                return await self._response.read()
            pieces, size = [], 0
            async for piece in self._response.content.iter_any():
                size += len(piece)
                if size > limit:
                    raise UpstreamError(Failure.MALFORMED, f"the answer has more than {limit} bytes")
                pieces.append(piece)
            return b"".join(pieces)
        except (aiohttp.ClientError, OSError) as error:
            raise UpstreamError(Failure.RESET, f"the answer broke off: {type(error).__name__}") from error

    async def chunks(self) -> AsyncIterator[bytes]:
        try:
            async for piece in self._response.content.iter_any():
                yield piece
        except (aiohttp.ClientError, OSError) as error:
            raise UpstreamError(Failure.RESET, f"the answer broke off: {type(error).__name__}") from error

    def close(self) -> None:
        self._response.close()


class AiohttpClient(UpstreamClient):
    """One pool for all providers; connections are kept per endpoint. Never follows a redirect."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(
                limit=0, limit_per_host=0, ttl_dns_cache=10, keepalive_timeout=30, resolver=CheckedResolver()
            )
            self._session = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
                timeout=aiohttp.ClientTimeout(total=None),
                read_bufsize=_READ_BUFFER,
                trust_env=False,
            )
        return self._session

    async def post(self, url: str, headers: Mapping[str, str], body: bytes, connect_seconds: float) -> UpstreamResponse:
        """See UpstreamClient."""
        target = _parsed(url)
        if target.host and _is_literal(target.host) and refused(target.host):
            raise UpstreamError(Failure.REFUSED_ADDRESS, f"{target.host} is a link-local address: no provider is there")
        try:
            response = await self._open().post(
                target, data=body, headers=headers, allow_redirects=False, timeout=_timeout(connect_seconds)
            )
        except (RefusedAddressError, aiohttp.InvalidURL) as error:  # no host, or 169.254.169.254 in disguise
            raise UpstreamError(Failure.REFUSED_ADDRESS, str(error)) from error
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            failure = Failure.REFUSED_ADDRESS if isinstance(error.__cause__, RefusedAddressError) else Failure.CONNECT
            raise UpstreamError(failure, f"no connection to {target.host}:{target.port}") from error
        except (aiohttp.ClientError, OSError) as error:
            words = f"{target.host}:{target.port} gave no HTTP answer: {type(error).__name__}"
            raise UpstreamError(Failure.RESET, words) from error
        return _Response(response)

    async def close(self) -> None:
        """See UpstreamClient."""
        if self._session is not None:
            await self._session.close()
            await asyncio.sleep(0)


@functools.lru_cache(maxsize=4096)
def _parsed(url: str) -> URL:
    return URL(url)


@functools.lru_cache(maxsize=256)
def _timeout(connect_seconds: float) -> aiohttp.ClientTimeout:
    # only connecting is limited here: the request's guard limits the rest with one timer
    return aiohttp.ClientTimeout(total=None, sock_connect=connect_seconds)


@functools.lru_cache(maxsize=4096)
def _is_literal(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
