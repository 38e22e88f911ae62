"""One answer in the words of each vendor: twelve words of text or one tool call, one token in each event.

So a vendor knows to the token what it has served, wherever it is cut off. Shapes are those of the recorded answers
under `fake_provider/*recordings` and `tests/cassettes`.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from tests.support.event_stream import event as frame

WORDS = (
    "In", " merit", " order", " the", " cheapest", " plant", " runs", " first", ",", " always", " so", "."
)  # fmt: skip
TEXT = "".join(WORDS)
FUNCTION = "dispatch"
ARGUMENTS = ('{"', "plant", '":', ' "', "hydro", '"}')
CALL_TOKENS = 1 + len(ARGUMENTS)
VECTOR = [0.25, -0.5]


class Kind(StrEnum):
    """What an event of a stream holds."""

    OPEN = "open"
    """The frame around an answer: nothing of it yet."""
    TOKEN = "token"  # of an answer
    STOP = "stop"
    """Why the model ended."""
    USAGE = "usage"
    END = "end"
    """The end mark."""


@dataclass(frozen=True, slots=True)
class Event:
    """One event, as it goes over the wire."""

    kind: Kind
    data: bytes
    tells_all: bool = False
    """Whether the vendor has by now said all that it charges for."""
    several: int = 1
    """Tokens, where it is one that holds some."""
    least: int = 0
    """Output tokens that the vendor says it has served by then, whatever came."""

    @property
    def tokens(self) -> int:
        """That are written with it."""
        return self.several if self.kind is Kind.TOKEN else 0


@dataclass(frozen=True, slots=True)
class Answer:
    """Of one request."""

    kind: str
    """Content type."""
    whole: bytes
    events: tuple[Event, ...]
    input: int
    output: int


@dataclass(frozen=True, slots=True)
class Asked:
    """What an answer depends on."""

    model: str
    input: int
    """Tokens of the prompt, as this vendor counts them."""
    calls: bool = False
    """Whether a tool is called."""
    skipped: int = 0
    """Words that the request already had as a beginning."""

    @property
    def words(self) -> tuple[str, ...]:
        """That are written."""
        return WORDS[self.skipped :]

    @property
    def output(self) -> int:
        """Tokens that are written."""
        return CALL_TOKENS if self.calls else len(self.words)


def answer(shape: str, asked: Asked) -> Answer:
    """In a shape: `chat`, `completions`, `messages`, `gemini`, `bedrock`, `cohere`, `responses`, or embeddings."""
    if shape.startswith("embeddings"):
        return Answer("application/json", _json(_EMBEDDINGS[shape](asked)), (), asked.input, 0)
    kind, whole, events = _SHAPES[shape]
    return Answer(kind, _json(whole(asked)), tuple(events(asked)), asked.input, asked.output)


def _json(value: object) -> bytes:
    return json.dumps(value).encode()


def _data(value: object) -> bytes:
    return b"data: " + _json(value) + b"\n\n"


def _named(value: dict[str, Any]) -> bytes:
    return b"event: " + str(value["type"]).encode() + b"\n" + _data(value)


# ---- OpenAI's chat


def _openai_usage(asked: Asked) -> dict[str, int]:
    return {
        "prompt_tokens": asked.input,
        "completion_tokens": asked.output,
        "total_tokens": asked.input + asked.output,
    }


def _chat(asked: Asked) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": "".join(asked.words)}
    if asked.calls:
        called = {"name": FUNCTION, "arguments": "".join(ARGUMENTS)}
        message = {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "call_1", "type": "function", "function": called}],
        }
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls" if asked.calls else "stop"}
    head = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": asked.model}
    return {**head, "choices": [choice], "usage": _openai_usage(asked)}


def _chat_events(asked: Asked) -> list[Event]:
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": asked.model}

    def chunk(delta: dict[str, Any], finish: str | None = None) -> bytes:
        return _data({**head, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})

    deltas: list[dict[str, Any]] = [{"content": word} for word in asked.words]
    if asked.calls:
        first = {"index": 0, "id": "call_1", "type": "function", "function": {"name": FUNCTION, "arguments": ""}}
        rest = [{"index": 0, "function": {"arguments": piece}} for piece in ARGUMENTS]
        deltas = [{"tool_calls": [part]} for part in (first, *rest)]
    return [
        Event(Kind.OPEN, chunk({"role": "assistant", "content": "" if not asked.calls else None})),
        *(Event(Kind.TOKEN, chunk(delta)) for delta in deltas),
        Event(Kind.STOP, chunk({}, "tool_calls" if asked.calls else "stop")),
        Event(Kind.USAGE, _data({**head, "choices": [], "usage": _openai_usage(asked)}), tells_all=True),
        Event(Kind.END, b"data: [DONE]\n\n", tells_all=True),
    ]


# ---- OpenAI's older completions


def _completion(asked: Asked) -> dict[str, Any]:
    choice = {"index": 0, "text": "".join(asked.words), "logprobs": None, "finish_reason": "stop"}
    head = {"id": "cmpl-1", "object": "text_completion", "created": 1, "model": asked.model}
    return {**head, "choices": [choice], "usage": _openai_usage(asked)}


def _completion_events(asked: Asked) -> list[Event]:
    head = {"id": "cmpl-1", "object": "text_completion", "created": 1, "model": asked.model}

    def chunk(text: str, finish: str | None = None) -> bytes:
        choice = {"index": 0, "text": text, "logprobs": None, "finish_reason": finish}
        return _data({**head, "choices": [choice]})

    return [
        *(Event(Kind.TOKEN, chunk(word)) for word in asked.words),
        Event(Kind.STOP, chunk("", "stop")),
        Event(Kind.USAGE, _data({**head, "choices": [], "usage": _openai_usage(asked)}), tells_all=True),
        Event(Kind.END, b"data: [DONE]\n\n", tells_all=True),
    ]


# ---- Anthropic's messages


def _message(asked: Asked) -> dict[str, Any]:
    block: dict[str, Any] = {"type": "text", "text": "".join(asked.words)}
    if asked.calls:
        block = {"type": "tool_use", "id": "toolu_1", "name": FUNCTION, "input": json.loads("".join(ARGUMENTS))}
    head = {"id": "msg_1", "type": "message", "role": "assistant", "model": asked.model}
    stop = {"stop_reason": "tool_use" if asked.calls else "end_turn", "stop_sequence": None}
    return {**head, "content": [block], **stop, "usage": {"input_tokens": asked.input, "output_tokens": asked.output}}


def _message_events(asked: Asked) -> list[Event]:
    usage = {"input_tokens": asked.input, "output_tokens": 1}
    start = {**_message(asked), "content": [], "stop_reason": None, "usage": usage}
    opened: list[tuple[Kind, dict[str, Any]]] = [(Kind.OPEN, {"type": "message_start", "message": start})]
    if asked.calls:
        block = {"type": "tool_use", "id": "toolu_1", "name": FUNCTION, "input": {}}
        opened.append((Kind.TOKEN, {"type": "content_block_start", "index": 0, "content_block": block}))
        deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in ARGUMENTS]
    else:
        block = {"type": "text", "text": ""}
        opened.append((Kind.OPEN, {"type": "content_block_start", "index": 0, "content_block": block}))
        deltas = [{"type": "text_delta", "text": word} for word in asked.words]
    stop = {"stop_reason": "tool_use" if asked.calls else "end_turn", "stop_sequence": None}
    return [
        *(Event(kind, _named(event), least=1) for kind, event in opened),
        Event(Kind.OPEN, _named({"type": "ping"})),
        *(Event(Kind.TOKEN, _named({"type": "content_block_delta", "index": 0, "delta": d})) for d in deltas),
        Event(
            Kind.STOP,
            _named({"type": "content_block_stop", "index": 0})
            + _named({"type": "message_delta", "delta": stop, "usage": {"output_tokens": asked.output}}),
            tells_all=True,
        ),
        Event(Kind.END, _named({"type": "message_stop"}), tells_all=True),
    ]


# ---- Gemini's generateContent


def _gemini_usage(asked: Asked, output: int) -> dict[str, int]:
    return {
        "promptTokenCount": asked.input,
        "candidatesTokenCount": output,
        "totalTokenCount": asked.input + output,
    }


def _gemini_piece(asked: Asked, parts: Sequence[dict[str, Any]], output: int, stop: str | None) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"role": "model", "parts": list(parts)}, "index": 0}
    if stop is not None:
        candidate["finishReason"] = stop
    about = {"modelVersion": asked.model, "responseId": "gem_1"}
    return {"candidates": [candidate], "usageMetadata": _gemini_usage(asked, output), **about}


def _gemini_parts(asked: Asked) -> list[dict[str, Any]]:
    if asked.calls:
        return [{"functionCall": {"name": FUNCTION, "args": json.loads("".join(ARGUMENTS))}}]
    return [{"text": word} for word in asked.words]


def _gemini(asked: Asked) -> dict[str, Any]:
    parts = _gemini_parts(asked) if asked.calls else [{"text": "".join(asked.words)}]
    return _gemini_piece(asked, parts, asked.output, "STOP")


def _gemini_events(asked: Asked) -> list[Event]:
    parts = _gemini_parts(asked)
    made = []
    for place, part in enumerate(parts, 1):
        so_far = asked.output if asked.calls else place
        data = _data(_gemini_piece(asked, [part], so_far, None)).replace(b"\n\n", b"\r\n\r\n")
        made.append(Event(Kind.TOKEN, data, several=so_far if asked.calls else 1))
    last = _data(_gemini_piece(asked, [{"text": ""}], asked.output, "STOP")).replace(b"\n\n", b"\r\n\r\n")
    return [*made, Event(Kind.STOP, last, tells_all=True)]


# ---- Bedrock's Converse


def _bedrock_usage(asked: Asked) -> dict[str, int]:
    return {
        "inputTokens": asked.input,
        "outputTokens": asked.output,
        "totalTokens": asked.input + asked.output,
    }


def _bedrock(asked: Asked) -> dict[str, Any]:
    block: dict[str, Any] = {"text": "".join(asked.words)}
    if asked.calls:
        block = {"toolUse": {"toolUseId": "tooluse_1", "name": FUNCTION, "input": json.loads("".join(ARGUMENTS))}}
    return {
        "output": {"message": {"role": "assistant", "content": [block]}},
        "stopReason": "tool_use" if asked.calls else "end_turn",
        "usage": _bedrock_usage(asked),
        "metrics": {"latencyMs": 1},
    }


def _bedrock_events(asked: Asked) -> list[Event]:
    opened = [Event(Kind.OPEN, frame("messageStart", _json({"role": "assistant"})))]
    if asked.calls:
        start = {"toolUse": {"toolUseId": "tooluse_1", "name": FUNCTION}}
        opened.append(Event(Kind.TOKEN, frame("contentBlockStart", _json({"contentBlockIndex": 0, "start": start}))))
        deltas: list[dict[str, Any]] = [{"toolUse": {"input": piece}} for piece in ARGUMENTS]
    else:
        deltas = [{"text": word} for word in asked.words]
    pieces = [frame("contentBlockDelta", _json({"contentBlockIndex": 0, "delta": delta})) for delta in deltas]
    stop = {"stopReason": "tool_use" if asked.calls else "end_turn"}
    return [
        *opened,
        *(Event(Kind.TOKEN, piece) for piece in pieces),
        Event(
            Kind.STOP, frame("contentBlockStop", _json({"contentBlockIndex": 0})) + frame("messageStop", _json(stop))
        ),
        Event(
            Kind.USAGE,
            frame("metadata", _json({"usage": _bedrock_usage(asked), "metrics": {"latencyMs": 1}})),
            tells_all=True,
        ),
    ]


# ---- Cohere's chat


def _cohere_usage(asked: Asked) -> dict[str, Any]:
    counted = {"input_tokens": asked.input, "output_tokens": asked.output}
    return {"billed_units": counted, "tokens": counted}


def _cohere(asked: Asked) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": [{"type": "text", "text": "".join(asked.words)}]}
    if asked.calls:
        called = {"name": FUNCTION, "arguments": "".join(ARGUMENTS)}
        message = {"role": "assistant", "tool_calls": [{"id": "c1", "type": "function", "function": called}]}
    reason = "TOOL_CALL" if asked.calls else "COMPLETE"
    return {"id": "co_1", "finish_reason": reason, "message": message, "usage": _cohere_usage(asked)}


def _cohere_events(asked: Asked) -> list[Event]:
    def event(kind: str, message: dict[str, Any] | None) -> bytes:
        return _named({"type": kind, "index": 0, **({"delta": {"message": message}} if message else {})})

    opened = [Event(Kind.OPEN, _named({"id": "co_1", "type": "message-start", "delta": {"message": {}}}))]
    if asked.calls:
        call = {"id": "c1", "type": "function", "function": {"name": FUNCTION, "arguments": ""}}
        opened.append(Event(Kind.TOKEN, event("tool-call-start", {"tool_calls": call})))
        tokens = [event("tool-call-delta", {"tool_calls": {"function": {"arguments": a}}}) for a in ARGUMENTS]
        closed = event("tool-call-end", None)
    else:
        opened.append(Event(Kind.OPEN, event("content-start", {"content": {"type": "text", "text": ""}})))
        tokens = [event("content-delta", {"content": {"text": word}}) for word in asked.words]
        closed = event("content-end", None)
    reason = "TOOL_CALL" if asked.calls else "COMPLETE"
    end = {"type": "message-end", "delta": {"finish_reason": reason, "usage": _cohere_usage(asked)}}
    return [
        *opened,
        *(Event(Kind.TOKEN, token) for token in tokens),
        Event(Kind.STOP, closed + _named(end), tells_all=True),
        Event(Kind.END, b"data: [DONE]\n\n", tells_all=True),
    ]


# ---- OpenAI's Responses


def _item(asked: Asked, *, done: bool) -> dict[str, Any]:
    status = "completed" if done else "in_progress"
    if asked.calls:
        arguments = "".join(ARGUMENTS) if done else ""
        return {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": FUNCTION, "arguments": arguments,
                "status": status}  # fmt: skip
    said = [{"type": "output_text", "text": "".join(asked.words), "annotations": []}] if done else []
    return {"type": "message", "id": "msg_1", "role": "assistant", "status": status, "content": said}


def _response(asked: Asked, *, done: bool = True) -> dict[str, Any]:
    usage = {
        "input_tokens": asked.input,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": asked.output,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": asked.input + asked.output,
    }
    return {
        "id": "resp_1", "object": "response", "created_at": 1, "status": "completed" if done else "in_progress",
        "error": None, "model": asked.model, "output": [_item(asked, done=True)] if done else [],
        "parallel_tool_calls": True, "tool_choice": "auto", "tools": [], "usage": usage if done else None,
    }  # fmt: skip


def _response_events(asked: Asked) -> list[Event]:
    number = iter(range(1000))

    def event(kind: str, **fields: Any) -> bytes:
        return _named({"type": f"response.{kind}", "sequence_number": next(number), **fields})

    place = {"item_id": "fc_1" if asked.calls else "msg_1", "output_index": 0}
    made = [
        Event(Kind.OPEN, event("created", response=_response(asked, done=False))),
        Event(Kind.OPEN, event("in_progress", response=_response(asked, done=False))),
        Event(
            Kind.TOKEN if asked.calls else Kind.OPEN,
            event("output_item.added", output_index=0, item=_item(asked, done=False)),
        ),
    ]
    if asked.calls:
        made += [Event(Kind.TOKEN, event("function_call_arguments.delta", **place, delta=a)) for a in ARGUMENTS]
        closed = event("function_call_arguments.done", **place, arguments="".join(ARGUMENTS))
    else:
        place["content_index"] = 0
        part = {"type": "output_text", "text": "", "annotations": []}
        made.append(Event(Kind.OPEN, event("content_part.added", **place, part=part)))
        made += [Event(Kind.TOKEN, event("output_text.delta", **place, delta=word)) for word in asked.words]
        text = "".join(asked.words)
        closed = event("output_text.done", **place, text=text)
        closed += event("content_part.done", **place, part={**part, "text": text})
    closed += event("output_item.done", output_index=0, item=_item(asked, done=True))
    made.append(Event(Kind.STOP, closed))
    made.append(Event(Kind.END, event("completed", response=_response(asked)), tells_all=True))
    return made


_Whole = Callable[[Asked], dict[str, Any]]
_Events = Callable[[Asked], list[Event]]
_SSE = "text/event-stream"
_SHAPES: dict[str, tuple[str, _Whole, _Events]] = {
    "chat": (_SSE, _chat, _chat_events),
    "completions": (_SSE, _completion, _completion_events),
    "messages": (_SSE, _message, _message_events),
    "gemini": (_SSE, _gemini, _gemini_events),
    "bedrock": ("application/vnd.amazon.eventstream", _bedrock, _bedrock_events),
    "cohere": (_SSE, _cohere, _cohere_events),
    "responses": (_SSE, _response, _response_events),
}
_EMBEDDINGS: dict[str, _Whole] = {
    "embeddings": lambda asked: {
        "object": "list",
        "data": [{"object": "embedding", "index": 0, "embedding": VECTOR}],
        "model": asked.model,
        "usage": {"prompt_tokens": asked.input, "total_tokens": asked.input},
    },
    "embeddings-gemini": lambda asked: {
        "embeddings": [{"values": VECTOR}],
        "usageMetadata": {"promptTokenCount": asked.input},
    },
    "embeddings-bedrock": lambda asked: {"embedding": VECTOR, "inputTextTokenCount": asked.input},
    "embeddings-cohere": lambda asked: {
        "id": "emb_1",
        "embeddings": {"float": [VECTOR]},
        "texts": ["x"],
        "response_type": "embeddings_by_type",
        "meta": {"billed_units": {"input_tokens": asked.input}},
    },
}
