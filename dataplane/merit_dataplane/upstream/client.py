"""The port behind which the HTTP client stands, so that it can be exchanged."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from enum import StrEnum
from typing import NamedTuple, Protocol


class Failure(StrEnum):
    """How an attempt ended without a usable answer; the label of the attempts metric."""

    CONNECT = "connect_error"
    RESET = "connection_lost"
    MALFORMED = "malformed_answer"
    REFUSED_ADDRESS = "refused_address"
    CREDENTIAL = "no_credential"


class UpstreamError(Exception):
    """The endpoint gave no answer. The message holds no credential."""

    def __init__(self, failure: Failure, message: str):
        super().__init__(message)
        self.failure = failure


class NotAskedError(asyncio.CancelledError):
    """The task was ended while there was no connection yet: the endpoint has never heard of the request."""


class UpstreamResponse(Protocol):
    """The head of an answer, with its body still to come."""

    status: int
    headers: dict[bytes, bytes]
    """By lower-case name; of one that came several times, the first."""

    def header(self, name: str) -> str | None:
        """A header's value."""
        ...

    async def read(self, limit: int) -> bytes:
        """The whole body. Raises UpstreamError when it breaks off or has more than `limit` bytes."""
        ...

    def chunks(self) -> AsyncIterator[bytes]:
        """The body as it arrives. Raises UpstreamError when it breaks off."""
        ...

    def arrived(self) -> bytes:
        """The whole body where it has come already, for who doesn't wait for it; else nothing."""
        ...

    def close(self) -> None:
        """Ends the exchange; an unread body ends the connection, so that the provider stops writing."""
        ...


class Upload(NamedTuple):
    """A body that is sent piece by piece, each one once the provider has taken those before it."""

    length: int
    """Bytes of all pieces."""
    pieces: Iterable[bytes]


class UpstreamClient(Protocol):
    """Sends requests over kept connections. Cancelling the task closes the connection."""

    async def post(
        self, url: str, headers: Mapping[str, str], body: bytes, connect_seconds: float, *, once: bool = False
    ) -> UpstreamResponse:
        """Sends a request, returns at the answer's head. `once`: these headers are for this request alone.

        Raises UpstreamError; NotAskedError when the task is ended before the request was sent.
        """
        ...

    async def send(
        self, method: str, url: str, headers: Mapping[str, str], connect_seconds: float, *, upload: Upload | None = None
    ) -> UpstreamResponse:
        """Sends a request of any method, returns at the answer's head, which may come before the body was sent.

        One with a body goes over a connection of its own, and is never sent twice. Raises UpstreamError, with the
        failure CONNECT, REFUSED_ADDRESS or CREDENTIAL where nothing was sent.
        """
        ...

    async def close(self) -> None:
        """Closes idle connections."""
        ...
