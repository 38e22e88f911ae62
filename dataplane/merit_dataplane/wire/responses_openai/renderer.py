"""What a Responses client gets: responses, streams and errors, made of a chat's."""

import msgspec

from merit_dataplane.wire.anthropic_openai.answer import with_costs
from merit_dataplane.wire.chat_chunks import ABSENT, Choice, Chunk, Delta
from merit_dataplane.wire.errors import error_body
from merit_dataplane.wire.openai_request import Call
from merit_dataplane.wire.passenger import PASSENGER
from merit_dataplane.wire.rate_limits import Headers
from merit_dataplane.wire.responses_openai.stream import ResponseStream


class _Choice(msgspec.Struct):
    message: Delta | None = None
    finish_reason: str | None = None
    logprobs: msgspec.Raw = ABSENT


class _Answer(msgspec.Struct):
    id: str | None = None
    model: str | None = None
    created: int | float | None = None
    service_tier: str | None = None
    choices: list[_Choice] | None = None
    usage: msgspec.Raw = ABSENT
    native: msgspec.Raw = msgspec.field(default=ABSENT, name=PASSENGER)


_answer = msgspec.json.Decoder(_Answer)
_any = msgspec.json.Decoder()


class ResponseRenderer:
    """Of one request."""

    def __init__(self, call: Call | None, _: str):
        self._stream = ResponseStream(call)

    def head(self, headers: list[tuple[bytes, bytes]], _: Headers) -> list[tuple[bytes, bytes]]:
        """See Renderer: all have what OpenAI's SDKs look for."""
        return headers

    def feed(self, data: bytes) -> bytes:
        """See ResponseStream."""
        return self._stream.feed(data)

    def finish(self) -> bytes:
        """See ResponseStream."""
        return self._stream.finish()

    def whole(self, body: bytes, status: int) -> tuple[int, bytes]:
        """A response; an error is one in both."""
        if status >= 400:
            return status, body
        try:
            answer = _answer.decode(body)
        except (ValueError, RecursionError):
            answer = _Answer()
        if answer.native is not ABSENT:
            return status, with_costs(bytes(answer.native), answer.usage)
        if not answer.choices:
            return 502, error_body("The provider's answer has no choice.", kind="upstream_error", code="all_failed")
        first = answer.choices[0]
        logprobs = _any.decode(first.logprobs) if first.logprobs is not ABSENT else None
        choice = Choice(0, first.message or Delta(), first.finish_reason or "stop", logprobs=logprobs)
        chunk = Chunk(
            answer.id,
            answer.model,
            [choice],
            usage=answer.usage,
            created=answer.created,
            service_tier=answer.service_tier,
        )
        return status, self._stream.whole(chunk, body)
