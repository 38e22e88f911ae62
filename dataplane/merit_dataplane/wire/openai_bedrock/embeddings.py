"""OpenAI's Embeddings as the models behind Bedrock's InvokeModel want them, and back: each has a body of its own.

https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-titan-embed-text.html, …-embed-v4.html (Cohere),
https://docs.aws.amazon.com/nova/latest/userguide/embeddings-schema.html
"""

import re
from collections.abc import Callable
from typing import Any, Final

import msgspec

from merit_crds.pricing import Usage
from merit_dataplane.wire.openai_anthropic.fields import a_string, invalid
from merit_dataplane.wire.openai_request import Call
from merit_dataplane.wire.vectors import listing

_COHERE, _TITAN = re.compile(r"cohere\.embed"), re.compile(r"amazon\.titan-embed")
_NOVA = re.compile(r"amazon\.nova.*embed")
_INPUT_TYPE, _PURPOSE = "search_document", "GENERIC_INDEX"
"""What the texts are for, as Cohere and Nova ask; a client may send another `input_type`."""
KEPT: Final = frozenset({"input", "dimensions", "encoding_format", "input_type", "truncate"})
"""Parameters that are sent on, or heeded."""
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


class _OfNova(msgspec.Struct):
    embedding: msgspec.Raw


class _OfCohere(msgspec.Struct):
    float: list[msgspec.Raw]


class _OfOne(msgspec.Struct):
    embedding: msgspec.Raw
    tokens: int | None = msgspec.field(default=None, name="inputTextTokenCount")


class _OfSeveral(msgspec.Struct):
    embeddings: msgspec.Raw


_one, _several = msgspec.json.Decoder(_OfOne), msgspec.json.Decoder(_OfSeveral)
_SHAPES: Final[tuple[tuple[msgspec.json.Decoder[Any], Callable[[Any], list[msgspec.Raw]]], ...]] = (
    (msgspec.json.Decoder(_OfCohere), lambda found: found.float),
    (msgspec.json.Decoder(list[_OfNova]), lambda found: [item.embedding for item in found]),
    (msgspec.json.Decoder(list[msgspec.Raw]), lambda found: found),
)
"""Of `embeddings`: Cohere's by type, Nova's, Cohere's older list of vectors."""


def embeddings_request(call: Call, model: str) -> bytes:
    """The bytes for Bedrock. `model`: its id there. Raises RequestError (400) that names the field."""
    given = {name: _decode(raw) for name, raw in call.fields.items() if name != "model"}
    wanted = given.get("input")
    texts = [wanted] if isinstance(wanted, str) else wanted
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
        raise invalid("input", "must be a string or a list of strings: Amazon Bedrock takes no token ids")
    dimensions = given.get("dimensions")
    if _COHERE.search(model):
        kind = a_string(given.get("input_type") or _INPUT_TYPE, "input_type")
        body: dict[str, Any] = {"texts": texts, "input_type": kind, "embedding_types": ["float"]}
        body |= {name: given[name] for name in ("truncate",) if given.get(name)}
        return _encode(body | ({"output_dimension": dimensions} if dimensions else {}))
    if len(texts) > 1:
        raise invalid("input", f"must be one text: {model[:64]!r} takes no more at once")
    if _TITAN.search(model):
        return _encode({"inputText": texts[0]} | ({"dimensions": dimensions} if dimensions else {}))
    if _NOVA.search(model):
        asked = {
            "embeddingPurpose": a_string(given.get("input_type") or _PURPOSE, "input_type"),
            "text": {"truncationMode": "END", "value": texts[0]},
        }
        size = {"embeddingDimension": dimensions} if dimensions else {}
        return _encode({"taskType": "SINGLE_EMBEDDING", "singleEmbeddingParams": {**asked, **size}})
    raise invalid("model", f"{model[:64]!r} is no model of embeddings that Merit knows at Amazon Bedrock")


def embeddings_body(body: bytes, *, model: str, base64_wanted: bool) -> tuple[bytes, Usage | None]:
    """OpenAI's list of embeddings. Raises ValueError when it is no answer of one of these models."""
    tokens = None
    try:
        try:
            found = _one.decode(body)
            vectors, tokens = [found.embedding], found.tokens
        except msgspec.ValidationError:
            vectors = _vectors(_several.decode(body).embeddings)
        data = listing(vectors, base64_wanted=base64_wanted)
    except RecursionError:
        raise ValueError("the JSON is nested too deeply") from None
    made: dict[str, Any] = {"object": "list", "data": data, "model": model}
    if tokens is None:
        return _encode(made), None
    return _encode({**made, "usage": {"prompt_tokens": tokens, "total_tokens": tokens}}), Usage(max(0, tokens), 0)


def _vectors(embeddings: msgspec.Raw) -> list[msgspec.Raw]:
    for decoder, read in _SHAPES:
        try:
            return read(decoder.decode(embeddings))
        except msgspec.ValidationError:
            continue
    raise ValueError("its embeddings have a shape that is not known")
