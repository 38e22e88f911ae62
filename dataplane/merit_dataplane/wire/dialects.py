"""What each protocol of a Provider needs: paths, API key, and the translation to and from OpenAI's format.

A dialect that is OpenAI's own hands the bytes on. How else requests are authenticated is no dialect's business: see
merit_dataplane.authentication.
"""

from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, replace
from typing import Final, NamedTuple
from urllib.parse import urlsplit

import msgspec

from merit_crds.pricing import CostDetails, Usage
from merit_dataplane.wire.amazon_event_stream import CONTENT_TYPE
from merit_dataplane.wire.features import ENDPOINTS, Feature
from merit_dataplane.wire.openai_anthropic.answer import answer_body, error_answer
from merit_dataplane.wire.openai_anthropic.request import KEPT as ANTHROPIC_KEPT
from merit_dataplane.wire.openai_anthropic.request import request_body, vertex_body
from merit_dataplane.wire.openai_anthropic.stream import AnthropicStream
from merit_dataplane.wire.openai_bedrock.dialect import (
    bedrock_answer,
    bedrock_keeps,
    bedrock_request,
    bedrock_stream,
    told_usage,
)
from merit_dataplane.wire.openai_bedrock.errors import bedrock_error
from merit_dataplane.wire.openai_cohere.answer import error_answer as cohere_error
from merit_dataplane.wire.openai_cohere.dialect import cohere_answer, cohere_kept, cohere_request, cohere_stream
from merit_dataplane.wire.openai_gemini import errors as google
from merit_dataplane.wire.openai_gemini.dialect import (
    gemini_answer,
    gemini_kept,
    gemini_request,
    gemini_stream,
    vertex_answer,
    vertex_kept,
    vertex_request,
)
from merit_dataplane.wire.openai_request import Call, Operation
from merit_dataplane.wire.openai_response import usage_of
from merit_dataplane.wire.openai_stream import StreamTranslator
from merit_dataplane.wire.openai_vendors.errors import openai_error
from merit_dataplane.wire.openai_vendors.request import vendor_body, vendor_keeps
from merit_dataplane.wire.openai_vendors.stream import UnmarkedStream
from merit_dataplane.wire.openai_vendors.table import Vendor, vendor_of
from merit_dataplane.wire.streamed import OpenStream, StreamedAnswer

Header = Callable[[str], str | None]
"""Of an answer: a header's value by its name."""


class Path(NamedTuple):
    """Of one operation, under the endpoint's URL. `{model}` stands for the model's name, percent-encoded."""

    whole: str
    stream: str
    """The same unless the protocol has another for streams. May have a query of its own."""
    without: tuple[str, ...] = ()
    """Parameters that the protocol's other URLs have, and this one refuses."""


class Shelf(NamedTuple):
    """Where a protocol has files and batches, under the endpoint's URL."""

    files: str
    batches: str
    prefix: str
    """What stands before an operation's path in a batch's `endpoint` and in its lines' `url`."""


class Refusal(NamedTuple):
    """An error answer of a provider's, as it is understood."""

    status: int
    """What it means, in the words of HTTP: a vendor's 400 for a wrong key is a 401."""
    body: bytes
    """In OpenAI's format."""
    retry_after: float | None = None
    """Seconds that the body asks to wait."""
    why: str = ""
    """The vendor's words, for the operator's log."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """One wire protocol, seen from a client that speaks OpenAI's; `clients` makes of it what others see."""

    paths: Mapping[Operation, Path]
    """Of the operations that it has."""
    can_say: int
    """Bits of the features that a translation keeps."""
    always: int
    """Bits of the features that no price list has to name."""
    api_key: Callable[[str], tuple[str, str]]
    """Header and value for an API key."""
    headers: Mapping[str, str]
    request: Callable[[Call, msgspec.Raw, int], bytes]
    """Of a call, the model's name as JSON, and the most tokens that it writes (0: unknown). Raises RequestError."""
    answer: Callable[[bytes, Call, str, int], tuple[bytes, Usage | None]]
    """Of a whole answer, the call, the model's name at the provider, and the epoch second. Raises ValueError."""
    stream: OpenStream
    error: Callable[[int, bytes, Header], Refusal]
    """Of an error's status, body and headers."""
    keeps: Callable[[Operation, str], Container[str] | None]
    """Of an operation and the model's name: the parameters that `request` sends on; None for all."""
    stream_type: str | tuple[str, ...] = "text/event-stream"
    """Content type of a streamed answer, or those that it may have."""
    query: tuple[tuple[str, str], ...] = ()
    """Parameters of every URL, for which a Provider may set others."""
    reads_refusals: bool = False
    """Whether the body of an error that is not handed on says something: what it means, how long to wait."""
    trims_prefix: bool = False
    """Whether white space at the end of an assistant prefix is lost."""
    caches_only_marked: bool = False
    """Whether the provider caches prompts only up to the client's marks, and else every long one by itself."""
    version_in_body: bool = False
    """Whether requests of Anthropic's protocol say its version, and not the model, in their body."""
    knows_only_openais: bool = False
    """Whether the vendor gets OpenAI's fields as they are, and so no words of others may be among them."""
    asks: Operation | None = None
    """The endpoint to call; None where it is the call's own operation."""
    more_headers: Mapping[str, str] | None = None
    """Of this request alone."""
    estimate: Callable[[Call, bytes], Usage] | None = None
    """Of an answer's body (empty: a stream): what to book where it tells no usage. Such answers go on as they are."""
    shelf: Shelf | None = None
    """None where it has no files and batches such as OpenAI's."""
    told_usage: Callable[[bytes, Header], tuple[bytes, Usage | None]] | None = None
    """Of an answer without usage, already translated, and its headers: the same with what these say."""

    @property
    def names_model(self) -> bool:
        """Whether a URL has the model's name in it."""
        return any("{model}" in path.whole + path.stream for path in self.paths.values())


def same(path: str) -> Path:
    """One path for whole answers and for streams."""
    return Path(path, path)


def _openai_stream(call: Call, _: str, price: Callable[[Usage], CostDetails], __: int) -> StreamedAnswer:
    return StreamTranslator(wants_usage=call.wants_usage, price=price)


def _unmarked_stream(call: Call, _: str, price: Callable[[Usage], CostDetails], __: int) -> StreamedAnswer:
    return UnmarkedStream(wants_usage=call.wants_usage, price=price)


def _openai_error(status: int, body: bytes, _: Header) -> Refusal:
    return Refusal(status, openai_error(status, body))


def _anthropic_answer(body: bytes, _: Call, __: str, created: int) -> tuple[bytes, Usage | None]:
    translated = answer_body(body, created)
    return translated, usage_of(translated)


def _anthropic_stream(call: Call, _: str, price: Callable[[Usage], CostDetails], created: int) -> StreamedAnswer:
    return AnthropicStream(wants_usage=call.wants_usage, price=price, created=created)


_OPENAIS = (Operation.CHAT, Operation.COMPLETIONS, Operation.EMBEDDINGS)
_OPENAI_ALONE = (Operation.MODERATIONS, Operation.IMAGE_VARIATIONS)
_PASSED = (
    Operation.IMAGES,
    Operation.IMAGE_EDITS,
    Operation.SPEECH,
    Operation.TRANSCRIPTIONS,
    Operation.TRANSLATIONS,
)
"""What Azure has under a deployment's URL."""
_AZURES_RESPONSES = "openai/v1/responses"
"""Of the v1 API, which names the deployment in the body and has no dated versions."""


def _gemini_error(status: int, body: bytes, _: Header) -> Refusal:
    return Refusal(*google.read_error(status, body))


def _claude_error(status: int, body: bytes, header: Header) -> Refusal:
    """Google's words about the way to Claude, or Claude's own."""
    return _gemini_error(status, body, header) if google.error_in(body) else Refusal(status, error_answer(body))


_GEMINI: Final = Dialect(
    paths={
        Operation.CHAT: Path("models/{model}:generateContent", "models/{model}:streamGenerateContent?alt=sse"),
        Operation.EMBEDDINGS: same("models/{model}:batchEmbedContents"),
    },
    can_say=~ENDPOINTS,
    always=int(Feature.CHOICES),
    api_key=lambda key: ("x-goog-api-key", key),
    headers={},
    request=gemini_request,
    answer=gemini_answer,
    stream=gemini_stream,
    error=_gemini_error,
    keeps=gemini_kept,
    stream_type=("text/event-stream", "application/json"),
    reads_refusals=True,
)
_GOOGLE = "publishers/google/models/{model}"
_CLAUDE = "publishers/anthropic/models/{model}"
_ANTHROPIC: Final = Dialect(
    paths={
        Operation.CHAT: same("messages"),
        Operation.MESSAGES: same("messages"),
        Operation.COUNT_TOKENS: same("messages/count_tokens"),
    },
    can_say=int(
        Feature.STREAMING
        | Feature.TOOLS
        | Feature.PARALLEL_TOOLS
        | Feature.JSON_SCHEMA
        | Feature.IMAGES
        | Feature.ASSISTANT_PREFIX
    ),
    always=int(Feature.ANTHROPIC_ONLY | Feature.ANTHROPIC_API),
    trims_prefix=True,
    api_key=lambda key: ("x-api-key", key),
    headers={"anthropic-version": "2023-06-01"},
    request=request_body,
    answer=_anthropic_answer,
    stream=_anthropic_stream,
    error=lambda status, body, _: Refusal(status, error_answer(body)),
    keeps=lambda *_: ANTHROPIC_KEPT,
    caches_only_marked=True,
)

_OPENAI: Final = Dialect(
    paths={operation: same(operation) for operation in (*_OPENAIS, Operation.RESPONSES, *_OPENAI_ALONE, *_PASSED)},
    can_say=-1,
    always=int(Feature.COMPLETIONS | Feature.CHOICES),
    api_key=lambda key: ("Authorization", f"Bearer {key}"),
    headers={},
    request=Call.body_for,
    answer=lambda body, *_: (body, usage_of(body)),
    stream=_openai_stream,
    error=_openai_error,
    keeps=lambda *_: None,
    knows_only_openais=True,
    shelf=Shelf("files", "batches", "/v1/"),
)

DIALECTS: Final[Mapping[str, Dialect]] = {
    "OpenAI": _OPENAI,
    "Anthropic": _ANTHROPIC,
    "Gemini": _GEMINI,
    "VertexGemini": replace(
        _GEMINI,
        paths={
            Operation.CHAT: Path(f"{_GOOGLE}:generateContent", f"{_GOOGLE}:streamGenerateContent?alt=sse"),
            Operation.EMBEDDINGS: same(f"{_GOOGLE}:predict"),
        },
        request=vertex_request,
        answer=vertex_answer,
        keeps=vertex_kept,
    ),
    "VertexAnthropic": replace(
        _ANTHROPIC,
        paths={
            Operation.CHAT: Path(f"{_CLAUDE}:rawPredict", f"{_CLAUDE}:streamRawPredict"),
            Operation.MESSAGES: Path(f"{_CLAUDE}:rawPredict", f"{_CLAUDE}:streamRawPredict"),
            Operation.COUNT_TOKENS: same("publishers/anthropic/models/count-tokens:rawPredict"),
        },
        always=int(Feature.ANTHROPIC_ONLY),
        version_in_body=True,
        api_key=_GEMINI.api_key,
        headers={},
        request=vertex_body,
        error=_claude_error,
    ),
    "AzureOpenAI": replace(
        _OPENAI,
        paths={
            **{operation: same(f"openai/deployments/{{model}}/{operation}") for operation in (*_OPENAIS, *_PASSED)},
            Operation.RESPONSES: Path(_AZURES_RESPONSES, _AZURES_RESPONSES, without=("api-version",)),
        },
        can_say=~int(Feature.MODERATION | Feature.IMAGE_VARIATIONS),
        api_key=lambda key: ("api-key", key),
        query=(("api-version", "2024-10-21"),),
        shelf=Shelf("openai/files", "openai/batches", "/"),
    ),
    "Bedrock": Dialect(
        paths={
            Operation.CHAT: Path("model/{model}/converse", "model/{model}/converse-stream"),
            Operation.EMBEDDINGS: same("model/{model}/invoke"),
        },
        can_say=int(
            Feature.STREAMING
            | Feature.TOOLS
            | Feature.PARALLEL_TOOLS
            | Feature.JSON_SCHEMA
            | Feature.IMAGES
            | Feature.AUDIO
            | Feature.EMBEDDINGS
        ),
        always=0,
        api_key=lambda key: ("Authorization", f"Bearer {key}"),
        headers={},
        request=bedrock_request,
        answer=bedrock_answer,
        stream=bedrock_stream,
        error=lambda status, body, header: Refusal(*bedrock_error(status, body, header)),
        keeps=bedrock_keeps,
        stream_type=CONTENT_TYPE,
        reads_refusals=True,
        caches_only_marked=True,
        told_usage=told_usage,
    ),
    "Cohere": Dialect(
        paths={Operation.CHAT: same("chat"), Operation.EMBEDDINGS: same("embed")},
        can_say=int(
            Feature.STREAMING
            | Feature.TOOLS
            | Feature.PARALLEL_TOOLS
            | Feature.JSON_OBJECT
            | Feature.JSON_SCHEMA
            | Feature.IMAGES
            | Feature.LOGPROBS
            | Feature.EMBEDDINGS
        ),
        always=0,
        api_key=lambda key: ("Authorization", f"Bearer {key}"),
        headers={},
        request=cohere_request,
        answer=cohere_answer,
        stream=cohere_stream,
        error=lambda status, body, _: Refusal(*cohere_error(body, status)),
        keeps=cohere_kept,
        reads_refusals=True,
    ),
}
"""By the `protocol` of a Provider."""


def dialect_of(protocol: str, vendor: str, url: str) -> Dialect | None:
    """That of a Provider, by its protocol, its `vendor` (may be empty) and its first endpoint's URL. None: unknown."""
    dialect = DIALECTS.get(protocol)
    if dialect is None or protocol != "OpenAI":
        return dialect
    row = vendor_of(vendor, urlsplit(url).hostname or "")
    return dialect if row is None else _of_vendor(dialect, row)


def _of_vendor(dialect: Dialect, row: Vendor) -> Dialect:
    kept = vendor_keeps(row)
    return replace(
        dialect,
        can_say=dialect.can_say & ~int(row.lacks),
        always=dialect.always & ~int(row.lacks),
        request=lambda call, model, _: vendor_body(row, call, model),
        stream=dialect.stream if row.marks_end else _unmarked_stream,
        keeps=lambda *_: kept,
    )
