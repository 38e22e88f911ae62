"""A chat completion, or an older completion, whole and streamed: the one made of the other, so that both share a cache
entry.

Strict in one direction: what a stream has and a whole answer could not say exactly is never guessed at. Then there is
nothing to keep, and nothing wrong is served.
"""

from collections.abc import Iterator
from typing import Any, Literal

import msgspec

from merit_crds.pricing import Usage
from merit_dataplane.wire.delta_lists import unplaced
from merit_dataplane.wire.server_sent_events import EventReader

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(dict[str, Any]).decode
_DONE = b"[DONE]"
_TEXTS = ("content", "refusal", "reasoning_content", "reasoning")
"""Fields of a delta that grow."""
_THOUGHTS = ("text", "summary", "data")
"""Fields of a thought that grow."""
_LISTS = ("annotations", "citations", "images", "provider_blocks")
_TURN = {"provider_blocks": 0, "content": 1}
"""What a vendor's servers did comes before the text, what is said of the text after it."""
_ENDS = ("native_finish_reason", "stop_sequence", "stop_reason")
"""Fields of a choice that say more of its end."""
_TOP = ("id", "created", "model", "system_fingerprint", "service_tier", "provider", "citations")


class _Function(msgspec.Struct, forbid_unknown_fields=True):
    name: str | None = None
    arguments: str | None = None


class _Call(msgspec.Struct, forbid_unknown_fields=True):
    index: int
    id: str | None = None
    type: Literal["function"] | None = None
    function: _Function | None = None
    extra_content: dict[str, Any] | None = None
    """Google's: the signature of the thought before it."""


class _Choice(msgspec.Struct):
    index: int
    delta: dict[str, msgspec.Raw] | None = None
    text: str | None = None
    finish_reason: str | None = None
    logprobs: dict[str, list[Any] | None] | None = None
    native_finish_reason: Any = None
    stop_sequence: Any = None
    stop_reason: Any = None


class _Chunk(msgspec.Struct):
    choices: list[_Choice] | None = None
    usage: dict[str, Any] | None = None
    object: str | None = None
    error: Any = None


class _NotFoldableError(ValueError):
    pass


_chunk = msgspec.json.Decoder(_Chunk).decode
_text = msgspec.json.Decoder(str).decode
_calls = msgspec.json.Decoder(list[_Call]).decode
_list = msgspec.json.Decoder(list[Any]).decode
_thoughts = msgspec.json.Decoder(list[dict[str, Any]]).decode


def whole_of(stream: bytes, usage: Usage | None) -> bytes | None:
    """The answer that a complete stream of chunks tells; None where it can't be told exactly, or has not ended well.

    `usage`: what its provider reported, since the client may not have wanted to hear it.
    """
    reader = EventReader()
    try:
        events = [*reader.feed(stream), *reader.finish()]
        if not events or events.pop() != _DONE:
            return None
        return _folded(events, usage)
    except (ValueError, RecursionError):
        return None


def is_whole(body: bytes) -> bool:
    """Whether a stream can be made of an answer: vendors err."""
    try:
        stream_of(body, wants_usage=True)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return False
    return True


def stream_of(body: bytes, *, wants_usage: bool) -> bytes:
    """The whole stream. Raises ValueError when the body is none of `whole_of`'s or of a provider's."""
    answer = _decode(body)
    kind = str(answer.get("object") or "chat.completion")
    chunk_kind = "chat.completion.chunk" if kind == "chat.completion" else kind
    head = {name: answer[name] for name in _TOP if name in answer}
    common = {**head, "object": chunk_kind}
    chunks: list[dict[str, Any]] = []
    for choice in answer["choices"]:
        parts = _text_parts(choice) if kind != "chat.completion" else _deltas(choice)
        chunks += [{**common, "choices": [part]} for part in parts]
    if wants_usage:
        for chunk in chunks:
            chunk["usage"] = None
        chunks.append({**common, "choices": [], "usage": answer.get("usage")})
    return b"".join(b"data: " + _encode(chunk) + b"\n\n" for chunk in chunks) + b"data: [DONE]\n\n"


def _folded(events: list[bytes], usage: Usage | None) -> bytes:
    choices: dict[int, dict[str, Any]] = {}
    head: dict[str, Any] = {}
    told: dict[str, Any] | None = None
    kind = "chat.completion"
    for event in events:
        chunk = _chunk(event)
        if chunk.error:
            raise _NotFoldableError
        for name, value in _decode(event).items():
            if name in _TOP and value is not None:
                head.setdefault(name, value)
        told = chunk.usage or told
        if chunk.object == "text_completion":
            kind = chunk.object
        for part in chunk.choices or ():
            _add(choices.setdefault(part.index, {"index": part.index, "finish_reason": None}), part, kind)
    if not choices or any(choice["finish_reason"] is None for choice in choices.values()):
        raise _NotFoldableError
    for choice in choices.values():
        if "calls" in (message := choice.get("message", {})):
            message["tool_calls"] = list(message.pop("calls").values())
    ordered = [choices[index] for index in sorted(choices)]
    return _encode({**head, "object": kind, "choices": ordered, "usage": told or _counts(usage)})


def _add(choice: dict[str, Any], part: _Choice, kind: str) -> None:
    choice["finish_reason"] = part.finish_reason or choice["finish_reason"]
    choice |= {name: said for name in _ENDS if (said := getattr(part, name)) is not None}
    if part.logprobs is not None:
        held = choice.setdefault("logprobs", {})
        for name, listed in part.logprobs.items():
            held[name] = held.get(name) if listed is None else [*(held.get(name) or []), *listed]
    if kind == "text_completion":
        choice["text"] = choice.get("text", "") + (part.text or "")
        return
    message = choice.setdefault("message", {"role": "assistant", "content": None})
    for name, raw in (part.delta or {}).items():
        if bytes(raw) != b"null":
            _grow(message, name, raw)


def _grow(message: dict[str, Any], name: str, raw: msgspec.Raw) -> None:
    if name == "role":
        message["role"] = _text(raw) or "assistant"
    elif name in _TEXTS:
        message[name] = (message.get(name) or "") + _text(raw)
    elif name == "tool_calls":
        for call in _calls(raw):
            _add_call(message.setdefault("calls", {}), call)
    elif name in _LISTS:
        entries = [unplaced(entry) if isinstance(entry, dict) else entry for entry in _list(raw)]
        message[name] = [*message.get(name, []), *entries]
    elif name == "reasoning_details":
        for thought in _thoughts(raw):
            _think(message.setdefault(name, []), thought)
    elif name == "extra_content" and name not in message:
        message[name] = _decode(raw)
    else:
        raise _NotFoldableError


def _think(thoughts: list[dict[str, Any]], piece: dict[str, Any]) -> None:
    """Pieces of one thought have its index: its text grows, what else is said of it stays said."""
    last = thoughts[-1] if thoughts else None
    if last is None or "index" not in piece or last.get("index") != piece["index"] or last["type"] != piece["type"]:
        thoughts.append(dict(piece))
        return
    for name, value in piece.items():
        if name in _THOUGHTS:
            last[name] = (last.get(name) or "") + (value or "")
        elif value is not None:
            last[name] = value


def _add_call(calls: dict[int, dict[str, Any]], part: _Call) -> None:
    call = calls.setdefault(part.index, {"id": None, "type": "function", "function": {"name": "", "arguments": ""}})
    call["id"] = part.id or call["id"]
    if part.extra_content is not None:
        call["extra_content"] = part.extra_content
    if part.function is not None:
        call["function"]["name"] = call["function"]["name"] or part.function.name or ""
        call["function"]["arguments"] += part.function.arguments or ""


def _counts(usage: Usage | None) -> dict[str, Any]:
    if usage is None:
        raise _NotFoldableError
    counts: dict[str, Any] = {
        "prompt_tokens": usage.input,
        "completion_tokens": usage.all_output,
        "total_tokens": usage.input + usage.all_output,
        "prompt_tokens_details": {"cached_tokens": usage.all_cached},
    }
    if usage.special is not None and usage.special.reasoning:
        counts["completion_tokens_details"] = {"reasoning_tokens": usage.special.reasoning}
    return counts


def _deltas(choice: dict[str, Any]) -> Iterator[dict[str, Any]]:
    index, message, logprobs = choice["index"], choice["message"], choice.get("logprobs")

    def part(delta: dict[str, Any], **more: Any) -> dict[str, Any]:
        return {"index": index, "delta": delta, "logprobs": None, "finish_reason": None, **more}

    yield part({"role": message.get("role") or "assistant", "content": ""})
    rest = {name: value for name, value in message.items() if name not in {"role", "tool_calls"} and value is not None}
    thoughts = {name: rest.pop(name) for name in list(rest) if name.startswith("reasoning")}
    if thoughts:  # it thinks before it speaks, and says it in several fields at once
        yield part(thoughts)
    for name in sorted(rest, key=lambda name: _TURN.get(name, 2)):
        held = {"logprobs": logprobs} if name == "content" else {}
        yield part({name: rest[name]}, **held)
    for place, call in enumerate(message.get("tool_calls") or ()):
        yield part({"tool_calls": [{"index": place, **call}]})
    ends = {name: choice[name] for name in _ENDS if choice.get(name) is not None}
    yield part({}, finish_reason=choice.get("finish_reason"), **ends)


def _text_parts(choice: dict[str, Any]) -> Iterator[dict[str, Any]]:
    common = {"index": choice["index"], "logprobs": choice.get("logprobs")}
    yield {**common, "text": choice.get("text", ""), "finish_reason": None}
    yield {**common, "text": "", "logprobs": None, "finish_reason": choice.get("finish_reason")}
