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
from merit_dataplane.wire.anthropic_anthropic.stream import PassedStream
from merit_dataplane.wire.anthropic_openai.plain import NOT_OPENAIS, plain
from merit_dataplane.wire.anthropic_openai.renderer import MessageRenderer
from merit_dataplane.wire.anthropic_openai.request import parse_messages
from merit_dataplane.wire.dialects import Dialect, Header, Refusal
from merit_dataplane.wire.openai_request import Call, Native, Operation, parse
from merit_dataplane.wire.renderer import OpenRenderer

Headers = tuple[tuple[bytes, bytes], ...]


@dataclass(frozen=True, slots=True)
class ClientDialect:
    """One endpoint that clients call."""

    parse: Callable[[bytes, Headers], Call]
    """Raises RequestError."""
    renders: OpenRenderer | None = None
    """None where the client speaks OpenAI's."""
    passes: Callable[[Dialect, Native], Dialect] | None = None
    """For providers of the same protocol."""


def _of_openai(operation: Operation) -> ClientDialect:
    return ClientDialect(parse=lambda body, _: parse(operation, body))


def _messages_pass(dialect: Dialect, native: Native) -> Dialect:
    def error(status: int, body: bytes, header: Header) -> Refusal:
        return dialect.error(status, body, header)._replace(body=passed_error(body))

    return replace(
        dialect,
        asks=native.operation,
        more_headers=dict(native.headers),
        request=lambda _, model, __: message_request(native, model),
        answer=lambda body, _, __, created: passed_answer(body, created),
        stream=PassedStream,
        error=error,
        keeps=lambda *_: None,
    )


CLIENTS: Final[Mapping[Operation, ClientDialect]] = {
    Operation.CHAT: _of_openai(Operation.CHAT),
    Operation.COMPLETIONS: _of_openai(Operation.COMPLETIONS),
    Operation.EMBEDDINGS: _of_openai(Operation.EMBEDDINGS),
    Operation.MESSAGES: ClientDialect(
        parse=lambda body, headers: parse_messages(body, headers, Operation.MESSAGES),
        renders=MessageRenderer,
        passes=_messages_pass,
    ),
    Operation.COUNT_TOKENS: ClientDialect(
        parse=lambda body, headers: parse_messages(body, headers, Operation.COUNT_TOKENS),
        renders=MessageRenderer,
        passes=_messages_pass,
    ),
}
"""By the endpoint that was called."""


def dialect_for(dialect: Dialect, call: Call) -> Dialect:
    """How this call is put to a provider of this dialect, and what comes back is heard."""
    native = call.native
    if native is None:
        return dialect
    passes = CLIENTS[native.operation].passes
    if passes is not None and native.operation in dialect.paths:
        return passes(dialect, native)
    if not dialect.knows_only_openais:
        return dialect
    return replace(dialect, request=_plainly(dialect), keeps=lambda *_: frozenset(call.fields) - NOT_OPENAIS)


def _plainly(dialect: Dialect) -> Callable[[Call, msgspec.Raw, int], bytes]:
    return lambda call, model, most: dialect.request(plain(call), model, most)
