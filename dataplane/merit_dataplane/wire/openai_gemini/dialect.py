"""Gemini's protocol as a Dialect asks for it, at Google AI and on Vertex AI."""

from collections.abc import Callable

import msgspec

from merit_crds.pricing import CostDetails, Usage
from merit_dataplane.wire.openai_gemini import embeddings
from merit_dataplane.wire.openai_gemini.answer import answer_body
from merit_dataplane.wire.openai_gemini.request import KEPT, request_body
from merit_dataplane.wire.openai_gemini.stream import GeminiStream
from merit_dataplane.wire.openai_request import Call, Operation
from merit_dataplane.wire.openai_response import usage_of


def gemini_request(call: Call, model: msgspec.Raw, _: int) -> bytes:
    """The bytes for Google AI."""
    if call.operation is Operation.EMBEDDINGS:
        return embeddings.batch_request(call, model)
    return request_body(call, model, says_tier=True)


def gemini_kept(operation: Operation, _: str) -> frozenset[str]:
    """See Dialect."""
    return embeddings.KEPT if operation is Operation.EMBEDDINGS else KEPT | {"service_tier"}


def vertex_kept(operation: Operation, _: str) -> frozenset[str]:
    """See Dialect."""
    return embeddings.KEPT if operation is Operation.EMBEDDINGS else KEPT


def vertex_request(call: Call, model: msgspec.Raw, _: int) -> bytes:
    """The bytes for Vertex AI."""
    if call.operation is Operation.EMBEDDINGS:
        return embeddings.prediction_request(call)
    return request_body(call, model, says_tier=False)


def gemini_answer(body: bytes, call: Call, model: str, created: int) -> tuple[bytes, Usage | None]:
    """A whole answer of Google AI's."""
    if call.operation is Operation.EMBEDDINGS:
        translated = embeddings.batch_answer(body, call, model)
    else:
        translated = answer_body(body, model, created)
    return translated, usage_of(translated)


def vertex_answer(body: bytes, call: Call, model: str, created: int) -> tuple[bytes, Usage | None]:
    """A whole answer of Vertex AI's."""
    if call.operation is not Operation.EMBEDDINGS:
        return gemini_answer(body, call, model, created)
    translated = embeddings.prediction_answer(body, call, model)
    return translated, usage_of(translated)


def gemini_stream(call: Call, model: str, price: Callable[[Usage], CostDetails], created: int) -> GeminiStream:
    """A stream of either's."""
    return GeminiStream(wants_usage=call.wants_usage, price=price, model=model, created=created)
