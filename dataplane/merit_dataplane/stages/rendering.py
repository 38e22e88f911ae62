"""The last step to a client that does not speak OpenAI's: what the path sends, in the client's own protocol."""

from collections.abc import MutableMapping
from typing import Any

from merit_dataplane.exchange import Exchange
from merit_dataplane.stages.responses import JSON, Send
from merit_dataplane.wire.renderer import OpenRenderer, Renderer

_OF_THE_BODY = frozenset({b"content-length", b"content-type"})


class Rendering:
    """A `Send` of one request. An answer is held until it is whole, a stream is written on as it comes."""

    def __init__(self, send: Send, exchange: Exchange, opens: OpenRenderer):
        self._send, self._exchange, self._opens = send, exchange, opens
        self._renderer: Renderer | None = None
        self._start: MutableMapping[str, Any] | None = None
        self._pieces: list[bytes] = []

    async def __call__(self, message: MutableMapping[str, Any]) -> None:
        """One ASGI message. Raises MalformedStreamError where a stream's events are none of OpenAI's."""
        if message["type"] == "http.response.start":
            return await self._begin(message)
        data, more = message.get("body", b""), bool(message.get("more_body"))
        if self._start is not None:
            self._pieces.append(data)
            return None if more else await self._whole(self._start, b"".join(self._pieces))
        if self._renderer is None:
            raise AssertionError("a body comes after its head")
        out = self._renderer.feed(data)
        if not more:
            out += self._renderer.finish()
        if out or not more:
            await self._send({"type": "http.response.body", "body": out, "more_body": more})
        return None

    async def _begin(self, message: MutableMapping[str, Any]) -> None:
        renderer = self._renderer = self._opens(self._exchange.call, self._exchange.id)
        headers = renderer.head(message["headers"], self._exchange.limits)
        streams = any(name == b"content-type" and value.startswith(b"text/event-stream") for name, value in headers)
        if streams and message["status"] == 200:  # one that is replayed has a length, in OpenAI's words
            headers = [header for header in headers if header[0] != b"content-length"]
            return await self._send({**message, "headers": headers})
        self._start = {**message, "headers": headers}
        return None

    async def _whole(self, start: MutableMapping[str, Any], given: bytes) -> None:
        if self._renderer is None:
            raise AssertionError("an answer has a head")
        status, body = self._renderer.whole(given, start["status"])
        headers = [header for header in start["headers"] if header[0] not in _OF_THE_BODY]
        headers += [JSON, (b"content-length", b"%d" % len(body))]
        await self._send({**start, "status": status, "headers": headers})
        await self._send({"type": "http.response.body", "body": body})
