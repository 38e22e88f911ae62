"""What a request's attempt asks of a scheme."""

from collections.abc import Mapping
from typing import Protocol


class AuthenticationError(Exception):
    """There is nothing to prove it by now. The message names the Provider and holds no secret."""


class Authentication(Protocol):
    """One scheme of one Provider, for schemes whose headers are not the same for ever."""

    lasting: bool
    """Whether many requests get the same mapping of headers, so that what is made of it may be kept."""

    async def headers(self, url: str, given: Mapping[str, str], body: bytes) -> Mapping[str, str]:
        """`given` and what proves it. `url` is that of the request, whole. Raises AuthenticationError."""
        ...

    def secrets(self) -> tuple[bytes, ...]:
        """What must be taken out of a vendor's words before anybody reads them."""
        ...

    def refused(self, why: str = "") -> None:
        """The vendor answered 401, and `why`, where it said so."""
        ...

    def start(self) -> None:
        """Fetches what is needed, and keeps it fresh until `close`. Needs a running event loop; may be called again."""
        ...

    def close(self) -> None:
        """Fetches nothing more."""
        ...
