"""What each protocol of a Provider needs: paths, credential, and the translation to and from OpenAI's format.

A dialect that is OpenAI's own hands the bytes on.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

import msgspec

from merit_crds.pricing import CostDetails, Usage
from merit_dataplane.wire.features import Feature
from merit_dataplane.wire.openai_anthropic.answer import answer_body, error_answer
from merit_dataplane.wire.openai_anthropic.request import request_body
from merit_dataplane.wire.openai_anthropic.stream import AnthropicStream
from merit_dataplane.wire.openai_request import Call, Operation
from merit_dataplane.wire.openai_response import usage_of
from merit_dataplane.wire.openai_stream import StreamTranslator


class StreamedAnswer(Protocol):
    """A stream's translator."""

    usage: Usage | None
    complete: bool
    failed: bool
    events: int

    def feed(self, data: bytes) -> bytes:
        """The client's bytes for the provider's next ones. Raises MalformedStreamError."""

    def finish(self) -> bytes:
        """What is left when the provider's bytes have ended. Raises MalformedStreamError."""


OpenStream = Callable[[bool, Callable[[Usage], CostDetails], int], StreamedAnswer]
"""Of whether the client wants usage, the price of a usage, and the epoch second."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """One wire protocol, seen from a client that speaks OpenAI's."""

    paths: Mapping[Operation, str]
    """Of the operations that it has, under the endpoint's URL."""
    can_say: int
    """Bits of the features that a translation keeps."""
    always: int
    """Bits of the features that no price list has to name."""
    credential: Callable[[str], tuple[str, str]]
    """Header and value for an API key."""
    headers: Mapping[str, str]
    request: Callable[[Call, msgspec.Raw, int], bytes]
    """Of a call, the model's name as JSON, and the most tokens that it writes (0: unknown). Raises RequestError."""
    answer: Callable[[bytes, int], tuple[bytes, Usage | None]]
    """Of a whole answer and the epoch second. Raises ValueError."""
    stream: OpenStream
    error: Callable[[bytes], bytes]
    """Of an error's body."""
    trims_prefix: bool = False
    """Whether white space at the end of an assistant prefix is lost."""
    caches_only_marked: bool = False
    """Whether the provider caches prompts only up to the client's marks, and else every long one by itself."""


def _openai_stream(wants_usage: bool, price: Callable[[Usage], CostDetails], _: int) -> StreamedAnswer:
    return StreamTranslator(wants_usage=wants_usage, price=price)


def _anthropic_answer(body: bytes, created: int) -> tuple[bytes, Usage | None]:
    translated = answer_body(body, created)
    return translated, usage_of(translated)


def _anthropic_stream(wants_usage: bool, price: Callable[[Usage], CostDetails], created: int) -> StreamedAnswer:
    return AnthropicStream(wants_usage=wants_usage, price=price, created=created)


DIALECTS: Final[Mapping[str, Dialect]] = {
    "OpenAI": Dialect(
        paths={operation: str(operation) for operation in Operation},
        can_say=-1,
        always=int(Feature.COMPLETIONS | Feature.CHOICES),
        credential=lambda key: ("Authorization", f"Bearer {key}"),
        headers={},
        request=lambda call, model, _: call.body_for(model),
        answer=lambda body, _: (body, usage_of(body)),
        stream=_openai_stream,
        error=lambda body: body,
    ),
    "Anthropic": Dialect(
        paths={Operation.CHAT: "messages"},
        can_say=int(
            Feature.STREAMING
            | Feature.TOOLS
            | Feature.PARALLEL_TOOLS
            | Feature.JSON_SCHEMA
            | Feature.IMAGES
            | Feature.ASSISTANT_PREFIX
        ),
        always=0,
        credential=lambda key: ("x-api-key", key),
        headers={"anthropic-version": "2023-06-01"},
        request=request_body,
        answer=_anthropic_answer,
        stream=_anthropic_stream,
        error=error_answer,
        trims_prefix=True,
        caches_only_marked=True,
    ),
}
"""By the `protocol` of a Provider."""
