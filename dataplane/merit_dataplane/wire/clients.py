"""What each protocol of a client needs: how its requests are read, put to a provider, and answered.

All stages between see requests and answers in OpenAI's words: for a client of OpenAI's nothing is added. What others
get is written from them in the last step (`renders`). Where client and provider speak the same protocol but OpenAI's,
the provider gets the client's own request (`passes`), and its answer rides along with its translation (`passenger`).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

import msgspec

from merit_dataplane.wire.anthropic_anthropic.answer import passed_answer, passed_error
from merit_dataplane.wire.anthropic_anthropic.request import request_body as message_request
from merit_dataplane.wire.anthropic_anthropic.request import vertex_body as vertex_message
from merit_dataplane.wire.anthropic_anthropic.stream import PassedStream
from merit_dataplane.wire.anthropic_openai.renderer import MessageRenderer
from merit_dataplane.wire.anthropic_openai.request import parse_messages
from merit_dataplane.wire.body import unreadable
from merit_dataplane.wire.dialects import Dialect, Header, Refusal
from merit_dataplane.wire.features import Feature
from merit_dataplane.wire.openai_passed.dialect import passed
from merit_dataplane.wire.openai_passed.request import TABLE, parse_passed
from merit_dataplane.wire.openai_request import Call, Native, Operation, parse
from merit_dataplane.wire.plain import kept, plain
from merit_dataplane.wire.renderer import OpenRenderer
from merit_dataplane.wire.responses_openai.renderer import ResponseRenderer
from merit_dataplane.wire.responses_openai.request import parse_responses
from merit_dataplane.wire.responses_responses.answer import passed_answer as passed_response
from merit_dataplane.wire.responses_responses.request import request_body as response_request
from merit_dataplane.wire.responses_responses.stream import PassedStream as PassedResponse

Headers = tuple[tuple[bytes, bytes], ...]


@dataclass(frozen=True, slots=True)
class ClientDialect:
    """One endpoint that clients call."""

    reads: Callable[[bytes, Headers], Call]
    """See `parse`."""
    renders: OpenRenderer | None = None
    """None where the client speaks OpenAI's."""
    passes: Callable[[Dialect, Native], Dialect] | None = None
    """For providers of the same protocol."""
    needs: int = 0
    """Bits of the features that a model of theirs has to have for that."""

    def parse(self, body: bytes, headers: Headers) -> Call:
        """A request. Raises RequestError."""
        try:
            return self.reads(body, headers)
        except (ValueError, RecursionError) as error:
            raise unreadable(error) from None


def _of_openai(operation: Operation) -> ClientDialect:
    return ClientDialect(reads=lambda body, _: parse(operation, body))


def _messages_pass(dialect: Dialect, native: Native) -> Dialect:
    def error(status: int, body: bytes, header: Header) -> Refusal:
        refusal, own = dialect.error(status, body, header), passed_error(body)
        return refusal if own is body else refusal._replace(body=own)  # a cloud's own error is none of Anthropic's

    written, headers = message_request, dict(native.headers)
    if dialect.version_in_body:
        written = vertex_message
        headers.pop("anthropic-version", None)
    return replace(
        dialect,
        asks=native.operation,
        more_headers=headers,
        request=lambda _, model, __: written(native, model),
        answer=lambda body, _, __, created: passed_answer(body, created),
        stream=PassedStream,
        error=error,
        keeps=lambda *_: None,
    )


def _responses_pass(dialect: Dialect, native: Native) -> Dialect:
    return replace(
        dialect,
        asks=native.operation,
        request=lambda _, model, __: response_request(native, model),
        answer=lambda body, _, __, created: passed_response(body, created),
        stream=PassedResponse,
        keeps=lambda *_: None,
    )


def _passed(operation: Operation) -> ClientDialect:
    return ClientDialect(reads=lambda body, headers: parse_passed(operation, body, headers), passes=passed)


CLIENTS: Final[Mapping[Operation, ClientDialect]] = {
    Operation.CHAT: _of_openai(Operation.CHAT),
    Operation.COMPLETIONS: _of_openai(Operation.COMPLETIONS),
    Operation.EMBEDDINGS: _of_openai(Operation.EMBEDDINGS),
    Operation.MESSAGES: ClientDialect(
        reads=lambda body, headers: parse_messages(body, headers, Operation.MESSAGES),
        renders=MessageRenderer,
        passes=_messages_pass,
    ),
    Operation.COUNT_TOKENS: ClientDialect(
        reads=lambda body, headers: parse_messages(body, headers, Operation.COUNT_TOKENS),
        renders=MessageRenderer,
        passes=_messages_pass,
    ),
    Operation.RESPONSES: ClientDialect(
        reads=parse_responses,
        renders=ResponseRenderer,
        passes=_responses_pass,
        needs=int(Feature.RESPONSES),
    ),
    **{operation: _passed(operation) for operation in TABLE},
}
"""By the endpoint that was called."""


def dialect_for(dialect: Dialect, call: Call, features: int) -> Dialect:
    """How this call is put to a provider of this dialect, and what comes back is heard.

    `features`: bits of those that the model has.
    """
    native = call.native
    if native is None:
        return dialect
    client = CLIENTS[native.operation]
    if client.passes is not None and native.operation in dialect.paths and not client.needs & ~features:
        return client.passes(dialect, native)
    if not dialect.knows_only_openais:
        return dialect
    return replace(dialect, request=_plainly(dialect), keeps=lambda _, model: kept(call, model))


def _plainly(dialect: Dialect) -> Callable[[Call, msgspec.Raw, int], bytes]:
    return lambda call, model, most: dialect.request(plain(call, model), model, most)
