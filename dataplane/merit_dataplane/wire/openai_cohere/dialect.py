"""The translation as a dialect asks for it: chats and embeddings behind one door."""

from collections.abc import Callable

import msgspec

from merit_crds.pricing import CostDetails, Usage
from merit_dataplane.wire.openai_cohere.answer import answer_body
from merit_dataplane.wire.openai_cohere.embeddings import KEPT as KEPT_OF_EMBEDDINGS
from merit_dataplane.wire.openai_cohere.embeddings import embeddings_body, embeddings_request
from merit_dataplane.wire.openai_cohere.request import KEPT, request_body
from merit_dataplane.wire.openai_cohere.stream import CohereStream
from merit_dataplane.wire.openai_request import Call, Operation
from merit_dataplane.wire.vectors import as_base64


def cohere_request(call: Call, model: msgspec.Raw, max_output_tokens: int) -> bytes:
    """See Dialect."""
    if call.operation is Operation.EMBEDDINGS:
        return embeddings_request(call, model)
    return request_body(call, model, max_output_tokens)


def cohere_kept(operation: Operation, _: str) -> frozenset[str]:
    """See Dialect."""
    return KEPT_OF_EMBEDDINGS if operation is Operation.EMBEDDINGS else KEPT


def cohere_answer(body: bytes, call: Call, model: str, created: int) -> tuple[bytes, Usage | None]:
    """See Dialect."""
    if call.operation is Operation.EMBEDDINGS:
        return embeddings_body(body, model=model, base64_wanted=as_base64(call))
    return answer_body(body, model=model, created=created)


def cohere_stream(call: Call, model: str, price: Callable[[Usage], CostDetails], created: int) -> CohereStream:
    """See Dialect."""
    return CohereStream(wants_usage=call.wants_usage, price=price, model=model, created=created)
