"""What writes an answer of OpenAI's format in a client's protocol."""

from collections.abc import Callable
from typing import Protocol

from merit_dataplane.wire.openai_request import Call
from merit_dataplane.wire.rate_limits import Headers


class Renderer(Protocol):
    """Of one request."""

    def head(self, headers: list[tuple[bytes, bytes]], limits: Headers) -> list[tuple[bytes, bytes]]:
        """An answer's headers as the client's SDK looks for them. `limits`: the provider's, as it told them."""

    def whole(self, body: bytes, status: int) -> tuple[int, bytes]:
        """Status and body of a whole answer, or of an error."""

    def feed(self, data: bytes) -> bytes:
        """The client's bytes for the next ones of a stream; may be empty. Raises MalformedStreamError."""

    def finish(self) -> bytes:
        """What is left when the stream has ended."""


OpenRenderer = Callable[[Call | None, str], Renderer]
"""Of the call, None where there is none yet, and the request's id."""
