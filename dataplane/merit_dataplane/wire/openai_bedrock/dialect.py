"""The translation as a dialect asks for it: with an id of its own for each answer, since Bedrock's bodies have none."""

import secrets
from collections.abc import Callable

import msgspec

from merit_crds.pricing import CostDetails, Usage
from merit_dataplane.wire.openai_bedrock.answer import answer_body
from merit_dataplane.wire.openai_bedrock.request import request_body
from merit_dataplane.wire.openai_bedrock.stream import BedrockStream
from merit_dataplane.wire.openai_request import Call
from merit_dataplane.wire.openai_response import usage_of

_name = msgspec.json.Decoder(str)


def bedrock_request(call: Call, model: msgspec.Raw, max_output_tokens: int) -> bytes:
    """See Dialect."""
    return request_body(call, _name.decode(model), max_output_tokens)


def bedrock_answer(body: bytes, _: Call, model: str, created: int) -> tuple[bytes, Usage | None]:
    """See Dialect."""
    translated = answer_body(body, identity=_identity(), model=model, created=created)
    return translated, usage_of(translated)


def bedrock_stream(call: Call, model: str, price: Callable[[Usage], CostDetails], created: int) -> BedrockStream:
    """See Dialect."""
    return BedrockStream(wants_usage=call.wants_usage, price=price, identity=_identity(), model=model, created=created)


def _identity() -> str:
    return f"chatcmpl-{secrets.token_hex(12)}"
