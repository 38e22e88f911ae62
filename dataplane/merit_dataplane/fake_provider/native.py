"""Protocols beside OpenAI's Chat Completions, from recorded answers: Anthropic's Messages, at its own paths and at
Vertex AI's, Bedrock's Converse, Cohere's v2, Google's Gemini, OpenAI's Responses.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple
from urllib.parse import unquote

import msgspec

from merit_dataplane.fake_provider.errors import Refusal
from merit_dataplane.fake_provider.question import InvalidQuestionError, Question

_CONVERSE = re.compile(r"/model/(?P<model>[^/]+)/converse(?P<stream>-stream)?")
_GEMINI = re.compile(
    r"(?:/[^/]+)*/models/(?P<model>[^/]+):(?P<verb>generateContent|streamGenerateContent|batchEmbedContents|predict)"
)
_VERTEX = re.compile(r"(?:/[^/]+)*/publishers/anthropic/models/(?P<model>[^/]+):(?P<verb>rawPredict|streamRawPredict)")
_KEYS = {"anthropic": ("x-api-key", "x-goog-api-key"), "gemini": ("x-goog-api-key",)}
"""Headers for a key, beside `Authorization`."""
_CREDENTIAL = re.compile(r"AWS4-HMAC-SHA256 Credential=([^/,]+)/")
_EXCEPTIONS = {
    400: "ValidationException",
    401: "UnrecognizedClientException",
    403: "AccessDeniedException",
    404: "ResourceNotFoundException",
    408: "ModelTimeoutException",
    429: "ThrottlingException",
    500: "InternalServerException",
    503: "ServiceUnavailableException",
}
_KINDS = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}
_STATUSES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
_encode = msgspec.json.Encoder().encode


class Native(NamedTuple):
    """One request's protocol."""

    protocol: str
    """anthropic, bedrock, cohere, gemini or responses."""
    operation: str
    """chat, count (of tokens), embeddings, or predictions (embeddings on Vertex AI)."""
    model: str = ""
    """Where the URL names it."""
    stream: bool = False
    """Where the URL says it."""


_OTHERS = {
    "/v1/messages": Native("anthropic", "chat"),
    "/v1/messages/count_tokens": Native("anthropic", "count"),
    "/v1/responses": Native("responses", "chat"),
    "/v2/chat": Native("cohere", "chat"),
    "/v2/embed": Native("cohere", "embeddings"),
}


def native_of(raw_path: str) -> Native | None:
    """What a path of one of these protocols asks for; None where it is nobody's. `raw_path` is percent-encoded."""
    if found := _CONVERSE.fullmatch(raw_path):
        return Native("bedrock", "chat", unquote(found["model"]), found["stream"] is not None)
    if found := _GEMINI.fullmatch(raw_path):
        asks = {"batchEmbedContents": "embeddings", "predict": "predictions"}.get(found["verb"], "chat")
        return Native("gemini", asks, unquote(found["model"]), found["verb"].startswith("stream"))
    if found := _VERTEX.fullmatch(raw_path):
        if found["model"] == "count-tokens":
            return Native("anthropic", "count")
        return Native("anthropic", "chat", unquote(found["model"]), found["verb"].startswith("stream"))
    return _OTHERS.get(raw_path)


def key_of(native: Native, headers: Mapping[str, str]) -> str:
    """What the request proves itself by: a key, or the id of the key that signed it."""
    own = next((headers[name] for name in _KEYS.get(native.protocol, ()) if name in headers), None)
    if own is not None:
        return own
    given = headers.get("authorization", "")
    signed = _CREDENTIAL.match(given) if native.protocol == "bedrock" else None
    return signed[1] if signed else given.partition(" ")[2]


def asked(native: Native, document: dict[str, Any]) -> Question:
    """The request, as far as it matters which recording answers it. Raises InvalidQuestionError."""
    try:
        return _READERS[native.protocol](native, document)
    except (msgspec.ValidationError, AttributeError, TypeError, KeyError) as error:
        raise InvalidQuestionError(f"Invalid request: {error}.") from None


def refused(native: Native, refusal: Refusal, message: str) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """Headers and body of an error in the vendor's own shape."""
    if native.protocol == "responses":
        return [], refusal.body
    if native.protocol == "bedrock":
        name = _EXCEPTIONS.get(
            refusal.status, "InternalServerException" if refusal.status >= 500 else "ValidationException"
        )
        return [(b"x-amzn-errortype", f"{name}:http://internal.amazon.com/".encode())], _encode({"message": message})
    if native.protocol == "gemini":
        name = _STATUSES.get(refusal.status, "INTERNAL" if refusal.status >= 500 else "INVALID_ARGUMENT")
        return [], _encode({"error": {"code": refusal.status, "message": message, "status": name}})
    if native.protocol == "anthropic":
        kind = _KINDS.get(refusal.status, "api_error" if refusal.status >= 500 else "invalid_request_error")
        return [], _encode({"type": "error", "error": {"type": kind, "message": message}})
    return [], _encode({"id": "00000000-0000-0000-0000-000000000000", "message": message})


def _of_anthropic(native: Native, document: dict[str, Any]) -> Question:
    messages = document.get("messages")
    needed = ["messages"] if not messages else []
    if document.get("max_tokens") is None and native.operation == "chat":
        needed.append("max_tokens")
    if needed:
        raise InvalidQuestionError(f"{needed[0]}: Field required")
    system = document.get("system") or []
    told = [{"role": "system", "content": system}] if system else []
    named = [{"function": {"name": tool["name"]}} for tool in document.get("tools") or ()]
    format_ = (document.get("output_config") or {}).get("format") or document.get("output_format") or {}
    return msgspec.convert(
        {
            "model": native.model or document.get("model"),
            "messages": [*told, *map(_said, messages or ())],
            "stream": native.stream or document.get("stream"),
            "stream_options": {"include_usage": True},
            "tools": named or None,
            "tool_choice": "none" if (document.get("tool_choice") or {}).get("type") == "none" else None,
            "response_format": {"type": "json_schema"} if format_.get("type") == "json_schema" else None,
        },
        Question,
    )


def _said(turn: dict[str, Any]) -> dict[str, Any]:
    blocks = turn["content"]
    answers_tool = isinstance(blocks, list) and any(block.get("type") == "tool_result" for block in blocks)
    return {"role": "tool" if answers_tool else turn["role"], "content": blocks}


def _of_bedrock(native: Native, document: dict[str, Any]) -> Question:
    messages = document.get("messages")
    if not isinstance(messages, list) or not messages:
        raise InvalidQuestionError("The conversation must have at least one message")
    specs = [tool["toolSpec"] for tool in (document.get("toolConfig") or {}).get("tools", ()) if "toolSpec" in tool]
    return Question(
        model=native.model,
        messages=[*({"role": "system", **block} for block in document.get("system", ())), *map(_turn, messages)],
        stream=native.stream,
        stream_options={"include_usage": True},
        tools=[{"function": {"name": spec["name"]}} for spec in specs] or None,
        response_format={"type": "json_schema"} if (document.get("outputConfig") or {}).get("textFormat") else None,
    )


def _turn(turn: dict[str, Any]) -> dict[str, Any]:
    answers_tool = any("toolResult" in block for block in turn["content"])
    return {"role": "tool" if answers_tool else turn["role"], "content": turn["content"]}


def _of_cohere(native: Native, document: dict[str, Any]) -> Question:
    if native.operation == "embeddings":
        texts = document.get("texts")
        if not texts:
            raise InvalidQuestionError("invalid request: texts must be set")
        return msgspec.convert({"model": document.get("model"), "input": texts}, Question)
    if not document.get("messages"):
        raise InvalidQuestionError("invalid request: messages must be set")
    fields = ("model", "messages", "stream", "tools", "response_format")
    kept: dict[str, Any] = {name: document[name] for name in fields if name in document}
    if document.get("tool_choice") == "NONE":
        kept["tool_choice"] = "none"
    return msgspec.convert({**kept, "stream_options": {"include_usage": True}}, Question)


def _of_gemini(native: Native, document: dict[str, Any]) -> Question:
    if native.operation == "embeddings":
        texts = ["".join(p["text"] for p in r["content"]["parts"]) for r in document.get("requests") or ()]
    elif native.operation == "predictions":
        texts = [instance["content"] for instance in document.get("instances") or ()]
    else:
        return _of_generation(native, document)
    if not texts:
        raise InvalidQuestionError("* BatchEmbedContentsRequest.requests: at least one request is required")
    return msgspec.convert({"model": native.model, "input": texts}, Question)


def _of_generation(native: Native, document: dict[str, Any]) -> Question:
    contents = document.get("contents")
    if not isinstance(contents, list) or not contents:
        raise InvalidQuestionError("* GenerateContentRequest.contents: contents is not specified")
    system = (document.get("systemInstruction") or {}).get("parts") or []
    functions = [f for tool in document.get("tools") or () for f in tool.get("functionDeclarations", ())]
    mode = ((document.get("toolConfig") or {}).get("functionCallingConfig") or {}).get("mode")
    kind = (document.get("generationConfig") or {}).get("responseMimeType")
    return Question(
        model=native.model,
        messages=[{"role": "system", "content": system}, *map(_content, contents)],
        stream=native.stream,
        stream_options={"include_usage": True},
        tools=[{"function": {"name": function["name"]}} for function in functions] or None,
        tool_choice="none" if mode == "NONE" else None,
        response_format={"type": "json_object"} if kind == "application/json" else None,
    )


def _content(content: dict[str, Any]) -> dict[str, Any]:
    answers_tool = any("functionResponse" in part for part in content["parts"])
    return {"role": "tool" if answers_tool else content.get("role", "user"), "content": content["parts"]}


def _of_responses(_: Native, document: dict[str, Any]) -> Question:
    given = document.get("input")
    if not given and not any(document.get(name) for name in ("previous_response_id", "prompt", "conversation")):
        raise InvalidQuestionError("Missing required parameter: 'input'.")
    if not document.get("model"):
        raise InvalidQuestionError("Missing required parameter: 'model'.")
    items = [{"role": "user", "content": given}] if isinstance(given, str) else map(_item, given or ())
    functions = [tool["name"] for tool in document.get("tools") or () if tool.get("type") == "function"]
    return msgspec.convert(
        {
            "model": document["model"],
            "messages": [{"role": "system", "content": document.get("instructions")}, *items],
            "stream": document.get("stream"),
            "stream_options": {"include_usage": True},
            "tools": [{"function": {"name": name}} for name in functions] or None,
            "tool_choice": document.get("tool_choice"),
            "response_format": (document.get("text") or {}).get("format"),
        },
        Question,
    )


def _item(item: dict[str, Any]) -> dict[str, Any]:
    """A message, or what stands in its place: calls, their outputs, thoughts."""
    if str(item.get("type")).endswith("_call_output"):
        return {"role": "tool", "content": item.get("output")}
    return {"role": item.get("role", "assistant"), "content": item.get("content")}


_READERS: Mapping[str, Callable[[Native, dict[str, Any]], Question]] = {
    "anthropic": _of_anthropic,
    "bedrock": _of_bedrock,
    "cohere": _of_cohere,
    "gemini": _of_gemini,
    "responses": _of_responses,
}
