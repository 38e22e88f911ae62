"""What an Anthropic client gets: messages, streams and errors, made of OpenAI's."""

import time

import msgspec

from merit_dataplane.wire.anthropic_openai.answer import message_body
from merit_dataplane.wire.anthropic_openai.errors import error_body
from merit_dataplane.wire.anthropic_openai.stream import MessageStream
from merit_dataplane.wire.openai_request import Call
from merit_dataplane.wire.rate_limits import Headers, for_anthropics

_stops = msgspec.json.Decoder(tuple[str, ...] | None)


class MessageRenderer(MessageStream):
    """Of one request."""

    def __init__(self, call: Call | None, request: str):
        given = call.native.fields.get("stop_sequences", b"null") if call is not None and call.native else b"null"
        self._met = _stops.decode(given) or ()
        super().__init__(self._met)
        self._request = request

    def head(self, headers: list[tuple[bytes, bytes]], limits: Headers) -> list[tuple[bytes, bytes]]:
        """See Renderer: the request's id and the rate limits have names of their own."""
        return [*for_anthropics(headers, limits, time.time()), (b"request-id", self._request.encode())]

    def whole(self, body: bytes, status: int) -> tuple[int, bytes]:
        """A message, or an error."""
        if status >= 400:
            return status, error_body(body, status, self._request)
        try:
            return status, message_body(body, self._met)
        except ValueError:
            return 502, error_body(b"The provider's answer has no message.", 502, self._request)
