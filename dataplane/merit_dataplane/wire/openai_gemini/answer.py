"""A whole answer of Gemini's in OpenAI's format."""

from typing import Any

import msgspec

from merit_dataplane.wire.openai_gemini.candidate import Candidate, Delta, Speaker
from merit_dataplane.wire.openai_gemini.usage import openai_usage, service_tier

_encode = msgspec.json.Encoder().encode


class Feedback(msgspec.Struct, rename="camel"):
    """Why a prompt was refused."""

    block_reason: str | None = None
    block_reason_message: str | None = None


class Answer(msgspec.Struct, rename="camel"):
    """GenerateContentResponse, whole or a piece of a stream."""

    candidates: list[Candidate] | None = None
    prompt_feedback: Feedback | None = None
    usage_metadata: dict[str, Any] | None = None
    model_version: str | None = None
    response_id: str | None = None


_answer = msgspec.json.Decoder(Answer)


def answer_body(body: bytes, model: str, created: int) -> bytes:
    """OpenAI's chat completion. `created`: epoch seconds. Raises ValueError when it is no answer of Gemini's."""
    try:
        given = _answer.decode(body)
        choices = [_choice(given, candidate, place) for place, candidate in enumerate(given.candidates or ())]
    except RecursionError:
        raise ValueError("the JSON is nested too deeply") from None
    if not choices:
        if given.prompt_feedback is None or not given.prompt_feedback.block_reason:
            raise ValueError("it has neither a candidate nor a reason why not")
        choices = [refused(given.prompt_feedback, "message")]
    made: dict[str, Any] = {
        "id": given.response_id or "",
        "object": "chat.completion",
        "created": created,
        "model": given.model_version or model,
        "choices": choices,
    }
    if given.usage_metadata:
        made |= {"usage": openai_usage(given.usage_metadata), **service_tier(given.usage_metadata)}
    return _encode(made)


def refused(feedback: Feedback, of: str) -> dict[str, Any]:
    """The choice that says that the prompt was not answered. `of`: `message` or `delta`."""
    words = feedback.block_reason_message or f"The prompt was blocked: {feedback.block_reason}"
    return {
        "index": 0,
        of: {"role": "assistant", "content": None, "refusal": words},
        "logprobs": None,
        "finish_reason": "content_filter",
        "native_finish_reason": feedback.block_reason,
    }


def _choice(given: Answer, candidate: Candidate, place: int) -> dict[str, Any]:
    index = candidate.index if candidate.index is not None else place
    speaker = Speaker(given.response_id or "", index)
    message: Delta = {"role": "assistant", "content": None, "refusal": None}
    for delta in speaker.deltas(candidate):
        for name, value in delta.items():
            message[name] = value if message.get(name) is None else message[name] + value
    for call in message.get("tool_calls", ()):
        del call["index"]  # of streams
    more, choice = speaker.end(candidate, streamed=False)
    return {"index": index, "message": message | more, "logprobs": None, "finish_reason": "stop", **choice}
