"""What google-auth calls the metadata server and federated token endpoints with: httpx, in a thread of its own."""

from collections.abc import Mapping
from types import TracebackType
from typing import Any

import httpx
from google.auth import exceptions, transport


class _Answer(transport.Response):
    """An answer as google-auth reads it."""

    def __init__(self, answer: httpx.Response):
        self._answer = answer

    @property
    def status(self) -> int:
        """HTTP status."""
        return self._answer.status_code

    @property
    def headers(self) -> Mapping[str, str]:
        """Of the answer."""
        return self._answer.headers

    @property
    def data(self) -> bytes:
        """The body."""
        return self._answer.content


class Transport(transport.Request):
    """One fetch's transport. Uses no proxy of the environment: what it asks is the machine's own."""

    def __init__(self) -> None:
        self._client = httpx.Client(trust_env=False, timeout=5.0)

    def __enter__(self) -> "Transport":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, frames: TracebackType | None
    ) -> None:
        self._client.close()

    def __call__(  # google-auth's own signature
        self,
        url: str,
        method: str = "GET",
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
        **_: Any,
    ) -> _Answer:
        """One request. Raises TransportError."""
        try:
            sent = self._client.request(method, url, content=body, headers=headers, timeout=timeout or 5.0)
            return _Answer(sent)
        except httpx.HTTPError as error:
            raise exceptions.TransportError(type(error).__name__) from None
