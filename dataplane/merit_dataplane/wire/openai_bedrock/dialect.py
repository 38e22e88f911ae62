"""The translation as a dialect asks for it: with an id of its own for each answer, since Bedrock's bodies have none."""

import secrets
from collections.abc import Callable

import msgspec

from merit_crds.pricing import CostDetails, Usage
from merit_dataplane.wire.openai_bedrock.answer import answer_body
from merit_dataplane.wire.openai_bedrock.embeddings import KEPT as KEPT_OF_EMBEDDINGS
from merit_dataplane.wire.openai_bedrock.embeddings import embeddings_body, embeddings_request
from merit_dataplane.wire.openai_bedrock.request import kept, request_body
from merit_dataplane.wire.openai_bedrock.stream import BedrockStream
from merit_dataplane.wire.openai_request import Call, Operation
from merit_dataplane.wire.openai_response import usage_of
from merit_dataplane.wire.vectors import as_base64

_name = msgspec.json.Decoder(str)
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])
_MOST_DIGITS = 15


def bedrock_request(call: Call, model: msgspec.Raw, max_output_tokens: int) -> bytes:
    """See Dialect."""
    if call.operation is Operation.EMBEDDINGS:
        return embeddings_request(call, _name.decode(model))
    return request_body(call, _name.decode(model), max_output_tokens)


def bedrock_answer(body: bytes, call: Call, model: str, created: int) -> tuple[bytes, Usage | None]:
    """See Dialect."""
    if call.operation is Operation.EMBEDDINGS:
        return embeddings_body(body, model=model, base64_wanted=as_base64(call))
    translated = answer_body(body, identity=_identity(), model=model, created=created)
    return translated, usage_of(translated)


def bedrock_stream(call: Call, model: str, price: Callable[[Usage], CostDetails], created: int) -> BedrockStream:
    """See Dialect."""
    return BedrockStream(wants_usage=call.wants_usage, price=price, identity=_identity(), model=model, created=created)


def bedrock_keeps(operation: Operation, model: str) -> frozenset[str]:
    """See Dialect."""
    return KEPT_OF_EMBEDDINGS if operation is Operation.EMBEDDINGS else kept(model)


def told_usage(body: bytes, header: Callable[[str], str | None]) -> tuple[bytes, Usage | None]:
    """See Dialect. InvokeModel counts in headers, whatever the model's own body says."""
    counted = header("x-amzn-bedrock-input-token-count") or ""
    if not counted.isascii() or not counted.isdigit() or len(counted) > _MOST_DIGITS:
        return body, None
    fields = _fields.decode(body)
    fields["usage"] = msgspec.Raw(f'{{"prompt_tokens":{int(counted)},"total_tokens":{int(counted)}}}'.encode())
    return msgspec.json.encode(fields), Usage(int(counted), 0)


def _identity() -> str:
    return f"chatcmpl-{secrets.token_hex(12)}"
