"""One provider's files and batches over HTTP, at one of its endpoints.

Who is asked is never another one: what is kept is kept there. What comes back is an answer, or a RequestError in the
client's words:

    404                      not there
    other 4xx                the client's own mistake, in the provider's words
    401, 402, 403, 407       our credential: 502
    429                      429, with the provider's Retry-After
    5xx, no answer           502, 504 after a time-out

`UnansweredError` says that the provider may have done what it was asked for all the same.
"""

import asyncio
import math
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

import msgspec

from merit_dataplane.authentication.contract import AuthenticationError
from merit_dataplane.resilience.account import retry_after_seconds
from merit_dataplane.snapshots.places import Place
from merit_dataplane.snapshots.tables import ProviderPlan, Tables
from merit_dataplane.upstream.attempt import with_more, without_secrets
from merit_dataplane.upstream.client import Failure, Upload, UpstreamClient, UpstreamError, UpstreamResponse
from merit_dataplane.wire.dialects import Shelf
from merit_dataplane.wire.errors import RequestError

MOST_OBJECT_BYTES = 32 * 1024 * 1024
"""A page of 10,000 files has 3 MB."""
_MOST_ERROR_BYTES = 1024 * 1024
_OURS = frozenset({401, 402, 403, 407})
_SLOWEST_BYTES_PER_SECOND = 128 * 1024
_DONT_RETRY = ((b"x-should-retry", b"false"),)
_NOTHING_SENT = frozenset({Failure.CONNECT, Failure.REFUSED_ADDRESS, Failure.CREDENTIAL})
Query = Sequence[tuple[str, str]]
Object = dict[str, Any]


class UnaskedError(RequestError):
    """The provider has not done it: somebody else may be asked."""


class UnansweredError(RequestError):
    """Nobody knows whether the provider has done it."""


class ProviderShelf:
    """Where files and batches of one provider are."""

    def __init__(self, client: UpstreamClient, provider: ProviderPlan, place: Place, shelf: Shelf):
        self._client, self.provider, self.place, self.shelf = client, provider, place, shelf

    @property
    def key(self) -> tuple[str, str]:
        """Provider and endpoint."""
        return self.provider.key, self.place.name

    def file(self, name: str) -> str:
        """Path of a file, by the vendor's id."""
        return f"{self.shelf.files}/{quote(name, safe='')}"

    def batch(self, name: str) -> str:
        """Path of a batch."""
        return f"{self.shelf.batches}/{quote(name, safe='')}"

    def header(self, consumer: str) -> tuple[bytes, bytes]:
        """Says to a consumer who it is."""
        namespace = consumer.split("/", 1)[0]
        return b"x-merit-provider", self.provider.key.removeprefix(f"{namespace}/").encode()

    async def ask(
        self,
        method: str,
        path: str,
        query: Query = (),
        *,
        body: object = None,
        upload: Upload | None = None,
        kind: str = "",
    ) -> Object:
        """A JSON object. `body` is sent as JSON, `upload` as it is, with the content type `kind`."""
        if body is not None:
            data = msgspec.json.encode(body)
            upload, kind = Upload(len(data), (data,)), "application/json"
        async with _Within(self._seconds(upload), self.provider):
            response = await self._send(method, path, query, upload, kind)
            try:
                found: Object = msgspec.json.decode(await self._read(response), type=dict[str, Any])
            except ValueError:
                raise UnansweredError(502, self._words("answered with no JSON object"), **_UPSTREAM) from None
            except UpstreamError as error:
                raise UnansweredError(502, self._words(str(error)), **_UPSTREAM) from None
            finally:
                response.close()
        return found

    async def open(self, path: str) -> UpstreamResponse:
        """An answer whose body is still to come; the caller closes it."""
        async with _Within(self.provider.first_byte_seconds + self.provider.connect_seconds, self.provider):
            return await self._send("GET", path, (), None, "")

    async def chunks(self, response: UpstreamResponse) -> AsyncGenerator[bytes, None]:
        """Its body. Raises UpstreamError, TimeoutError when it stands still."""
        pieces = response.chunks().__aiter__()
        while True:
            try:
                async with asyncio.timeout(self.provider.idle_seconds):
                    piece = await anext(pieces)
            except StopAsyncIteration:
                return
            yield piece

    # ----

    async def _send(self, method: str, path: str, query: Query, upload: Upload | None, kind: str) -> UpstreamResponse:
        provider = self.provider
        url = self.place.url(path, query)
        headers: Mapping[str, str] = {n: v for n, v in provider.headers.items() if n.lower() != "content-type"}
        if kind:
            headers = with_more(headers, {"Content-Type": kind})
        account, loop = provider.account, asyncio.get_running_loop()
        try:
            if provider.authentication is not None:
                headers = await provider.authentication.headers(url, headers, b"")
            response = await self._client.send(method, url, headers, provider.connect_seconds, upload=upload)
        except AuthenticationError as error:
            raise UnaskedError(502, str(error), **_UPSTREAM) from None
        except UpstreamError as error:
            unasked = error.failure in _NOTHING_SENT
            raise (UnaskedError if unasked else UnansweredError)(502, self._words(str(error)), **_UPSTREAM) from None
        account.heard(response.headers, loop.time(), time.time())
        if response.status < 300:
            return response
        try:
            raise await self._refusal(response)
        finally:
            response.close()

    async def _refusal(self, response: UpstreamResponse) -> RequestError:
        provider, status = self.provider, response.status
        try:
            body = without_secrets(await response.read(_MOST_ERROR_BYTES), provider)
        except UpstreamError:
            body = b""
        refusal = provider.dialect.error(status, body, response.header)
        now = asyncio.get_running_loop().time()
        if status == 429:
            pause = retry_after_seconds(response.header("retry-after"), time.time())
            provider.account.rate_limited(now, pause)
            headers = ((b"retry-after", str(max(1, math.ceil(pause or 1))).encode()),)
            words = self._words("is at its rate limit")
            return UnaskedError(429, words, kind="rate_limit_error", code="rate_limit_exceeded", headers=headers)
        if status in _OURS:
            if provider.authentication is not None and status == 401:
                provider.authentication.refused(refusal.why)
            return UnaskedError(502, self._words(f"refused our credential ({status})"), **_UPSTREAM)
        if 400 <= status < 500 and status != 408:
            return _said(status, refusal.body)
        return UnansweredError(502, self._words(f"answered {status}"), **_UPSTREAM)

    async def _read(self, response: UpstreamResponse) -> bytes:
        return await response.read(MOST_OBJECT_BYTES)

    def _seconds(self, upload: Upload | None) -> float:
        sent = upload.length / _SLOWEST_BYTES_PER_SECOND if upload is not None else 0.0
        return self.provider.connect_seconds + self.provider.first_byte_seconds + sent

    def _words(self, what: str) -> str:
        return f"Provider {self.provider.key}: {what}."


_UPSTREAM: Mapping[str, Any] = {"kind": "upstream_error", "code": "provider_failed"}


class _Within:
    """A time limit, as the error that a client sees."""

    def __init__(self, seconds: float, provider: ProviderPlan):
        self._scope, self._seconds, self._provider = asyncio.timeout(seconds), seconds, provider

    async def __aenter__(self) -> None:
        await self._scope.__aenter__()

    async def __aexit__(self, *raised: Any) -> None:
        try:
            await self._scope.__aexit__(*raised)
        except TimeoutError:
            words = f"Provider {self._provider.key}: no answer within {self._seconds:.0f} s."
            raise UnansweredError(504, words, **_UPSTREAM) from None


class _Error(msgspec.Struct):
    message: str = ""
    type: str | None = None
    param: str | None = None
    code: str | int | None = None


class _Body(msgspec.Struct):
    error: _Error


_body = msgspec.json.Decoder(_Body)


def _said(status: int, body: bytes) -> RequestError:
    """The provider's own words."""
    try:
        error = _body.decode(body).error
    except (ValueError, RecursionError):
        return RequestError(status, f"The provider answered {status}.", headers=_DONT_RETRY)
    code = None if error.code is None else str(error.code)
    kind = error.type or "invalid_request_error"
    return RequestError(
        status, error.message or f"The provider answered {status}.", kind=kind, code=code, param=error.param
    )


def listed(page: Object) -> list[Object]:
    """What a page of a list holds, as far as it is such as we know."""
    data = page.get("data")
    return [one for one in data if isinstance(one, dict)] if isinstance(data, list) else []


def with_id(found: Object) -> Object:
    """What was made, with the vendor's id. Raises UnansweredError where it has none."""
    if not isinstance(found.get("id"), str) or not found["id"]:
        raise UnansweredError(502, "The provider gave it no id.", kind="upstream_error", code="provider_failed")
    return found


def shelf_of(client: UpstreamClient, tables: Tables, provider: str, endpoint: str) -> ProviderShelf:
    """Raises RequestError (404) where provider or endpoint are no longer there."""
    plan = tables.providers.get(provider)
    if plan is None or plan.dialect.shelf is None:
        raise RequestError(404, f"Its provider {provider} is no longer configured here.", code="provider_gone")
    place = next((place for place in plan.places if place.name == endpoint), None)
    if place is None:
        words = f"Its provider {provider} no longer has the endpoint {endpoint!r} at which it is kept."
        raise RequestError(404, words, code="provider_gone")
    return ProviderShelf(client, plan, place, plan.dialect.shelf)


def shelves_of(client: UpstreamClient, provider: ProviderPlan) -> list[ProviderShelf]:
    """One for each of its endpoints."""
    shelf = provider.dialect.shelf
    return [ProviderShelf(client, provider, place, shelf) for place in provider.places] if shelf is not None else []
