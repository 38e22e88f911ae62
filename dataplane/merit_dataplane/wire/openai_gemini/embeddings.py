"""Embeddings: OpenAI's request and answer as Gemini's batch, and as a prediction of Vertex AI's.

https://ai.google.dev/api/embeddings, https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/text-embeddings-api
"""

import base64
import struct
from collections.abc import Callable
from typing import Any, Final

import msgspec

from merit_dataplane.wire.openai_anthropic.fields import invalid
from merit_dataplane.wire.openai_request import Call

KEPT: Final = frozenset({"dimensions", "encoding_format"})
"""Parameters that count."""
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


class _Embedding(msgspec.Struct):
    values: list[float]
    statistics: dict[str, Any] = {}


class _Batch(msgspec.Struct, rename="camel"):
    embeddings: list[_Embedding]
    usage_metadata: dict[str, Any] = {}


class _Prediction(msgspec.Struct):
    embeddings: _Embedding


class _Predictions(msgspec.Struct):
    predictions: list[_Prediction]


_batch = msgspec.json.Decoder(_Batch)
_predictions = msgspec.json.Decoder(_Predictions)


def batch_request(call: Call, model: msgspec.Raw) -> bytes:
    """Gemini's batchEmbedContents. Raises RequestError (400)."""
    size = _size(call)
    more = {"outputDimensionality": size} if size else {}
    name = f"models/{_decode(model)}"
    return _encode(
        {"requests": [{"model": name, "content": {"parts": [{"text": text}]}, **more} for text in _texts(call)]}
    )


def prediction_request(call: Call) -> bytes:
    """Vertex AI's predict. Raises RequestError (400)."""
    size = _size(call)
    parameters = {"parameters": {"outputDimensionality": size}} if size else {}
    return _encode({"instances": [{"content": text} for text in _texts(call)], **parameters})


def batch_answer(body: bytes, call: Call, model: str) -> bytes:
    """OpenAI's list. Raises ValueError when it is none of Gemini's."""
    given = _batch.decode(body)
    return _listed([embedding.values for embedding in given.embeddings], call, model, given.usage_metadata)


def prediction_answer(body: bytes, call: Call, model: str) -> bytes:
    """OpenAI's list. Raises ValueError when it is none of Vertex AI's."""
    given = [prediction.embeddings for prediction in _predictions.decode(body).predictions]
    counts = [embedding.statistics.get("token_count") for embedding in given]
    numbers = [int(count) for count in counts if isinstance(count, int | float)]
    usage = {"promptTokenCount": sum(numbers)} if numbers else {}
    return _listed([embedding.values for embedding in given], call, model, usage)


def _listed(vectors: list[list[float]], call: Call, model: str, usage: dict[str, Any]) -> bytes:
    form = bytes(call.fields.get("encoding_format", msgspec.Raw(b"")))
    written: Callable[[list[float]], Any] = _packed if form == b'"base64"' else list
    data = [
        {"object": "embedding", "index": place, "embedding": written(vector)} for place, vector in enumerate(vectors)
    ]
    made: dict[str, Any] = {"object": "list", "data": data, "model": model}
    tokens = usage.get("promptTokenCount")
    if isinstance(tokens, int):
        made["usage"] = {"prompt_tokens": tokens, "total_tokens": tokens}
    return _encode(made)


def _packed(vector: list[float]) -> str:
    try:
        return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
    except (OverflowError, struct.error):
        raise ValueError("a number is beyond what 32 bits hold") from None


def _texts(call: Call) -> list[str]:
    given = _decode(call.fields["input"])
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
        raise invalid("input", "must be a string or a list of strings: this provider takes no tokens")
    return texts


def _size(call: Call) -> int | None:
    size = _decode(call.fields.get("dimensions", b"null"))
    if size is not None and (not isinstance(size, int) or isinstance(size, bool) or size < 1):
        raise invalid("dimensions", "must be a whole number above 0")
    return size
