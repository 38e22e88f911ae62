"""OpenAI's Embeddings as Cohere's v2/embed, and back."""

from typing import Any, Final

import msgspec

from merit_crds.pricing import Usage
from merit_dataplane.wire.openai_anthropic.fields import a_string, invalid
from merit_dataplane.wire.openai_cohere.usage import booked
from merit_dataplane.wire.openai_request import Call
from merit_dataplane.wire.vectors import listing

_INPUT_TYPE = "search_document"
"""Cohere wants to know what the texts are for; OpenAI's format can't say it. A client may send `input_type`."""
_AS_THEY_ARE = ("truncate", "max_tokens", "priority", "images", "inputs")
KEPT: Final = frozenset(_AS_THEY_ARE) | {"input_type", "dimensions", "encoding_format"}
"""Parameters that are sent on, or heeded here."""
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


class _Embeddings(msgspec.Struct):
    float: list[msgspec.Raw]


class _Answer(msgspec.Struct):
    embeddings: _Embeddings
    id: str = ""
    meta: dict[str, Any] | None = None


_answer = msgspec.json.Decoder(_Answer)


def embeddings_request(call: Call, model: msgspec.Raw) -> bytes:
    """The bytes for Cohere. `model`: JSON string. Raises RequestError (400) that names the field."""
    given = {name: _decode(raw) for name, raw in call.fields.items() if name != "model"}
    wanted = given.get("input")
    texts = [wanted] if isinstance(wanted, str) else wanted
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise invalid("input", "must be a string or a list of strings: Cohere takes no token ids")
    body: dict[str, Any] = {
        "model": model,
        "texts": texts,
        "input_type": a_string(given.get("input_type") or _INPUT_TYPE, "input_type"),
        "embedding_types": ["float"],
    }
    if given.get("dimensions") is not None:
        body["output_dimension"] = given["dimensions"]
    body |= {name: given[name] for name in _AS_THEY_ARE if given.get(name) is not None}
    return _encode(body)


def embeddings_body(body: bytes, *, model: str, base64_wanted: bool) -> tuple[bytes, Usage | None]:
    """OpenAI's list of embeddings, and what Cohere charges for. Raises ValueError when it is no answer of Cohere's."""
    try:
        given = _answer.decode(body)
    except RecursionError:
        raise ValueError("the JSON is nested too deeply") from None
    usage = booked(given.meta)
    made: dict[str, Any] = {
        "object": "list",
        "data": listing(given.embeddings.float, base64_wanted=base64_wanted),
        "model": model,
    }
    if usage is not None:
        made["usage"] = {"prompt_tokens": usage.uncached_input, "total_tokens": usage.uncached_input}
        made["usage"]["billed_units"] = (given.meta or {}).get("billed_units")
    return _encode(made), usage
