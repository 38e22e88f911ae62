"""Which recorded answer fits a request, and what little of it is changed."""

import hashlib
from collections.abc import Sequence

import msgspec

from merit_dataplane.fake_provider.question import Question
from merit_dataplane.fake_provider.recordings import Event, Replay


class NoRecordingError(LookupError):
    """No recording fits the request."""


class Answer(msgspec.Struct, frozen=True):
    """The answer to one request."""

    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes
    """Of an answer that is not streamed."""
    events: tuple[bytes, ...]
    """Of a stream, each with its blank line; the last one is [DONE]."""
    prompt_tokens: int
    completion_tokens: int


def answer(replays: Sequence[Replay], operation: str, asked: Question, *, counted: bool = True) -> Answer:
    """The recorded answer that fits, for this request's model. Raises NoRecordingError.

    `counted`: usage has this request's prompt tokens and the recording's completion tokens, so that a bill can be
    foreseen; otherwise it is as recorded, where the vendor reported any.
    """
    chosen = _chosen(replays, operation, asked)
    # a vendor that reports no usage sends about one token per event
    completion = _number(chosen.usage.get("completion_tokens"), len(chosen.events))
    known = _known(chosen.events, asked.prefix) if asked.prefix else frozenset()
    completion = max(0, completion - len(known))
    prompt = asked.prompt_tokens
    if not counted:
        prompt = _number(chosen.usage.get("prompt_tokens"), prompt)
    values = {"model": msgspec.json.encode(asked.model)}
    if asked.only_function is not None:
        values["function"] = msgspec.json.encode(asked.only_function)
    if counted or not chosen.usage:
        values["usage"] = msgspec.json.encode(_counted(chosen, prompt, completion))
    if chosen.body is not None:
        if chosen.element is not None and asked.inputs > 1:
            each = [chosen.element.filled({"index": b"%d" % index}) for index in range(asked.inputs)]
            values["data"] = b"[" + b",".join(each) + b"]"
        return Answer(chosen.headers, chosen.body.filled(values), (), prompt, completion)
    if asked.wants_usage and chosen.usage_event is not None:
        events = [event.with_usage.filled(values) for place, event in enumerate(chosen.events) if place not in known]
        events.append(chosen.usage_event.filled(values))
    else:
        events = [event.plain.filled(values) for place, event in enumerate(chosen.events) if place not in known]
    return Answer(chosen.headers, b"", (*events, chosen.done), prompt, completion)


def _known(events: Sequence[Event], prefix: str) -> frozenset[int]:
    """The places of the events whose text is that beginning of the answer; none where the answer begins otherwise."""
    places, said = [], ""
    for place, event in enumerate(events):
        if said == prefix:
            break
        if text := _text(event.plain.filled({"model": b'""'})):
            places.append(place)
            said += text
    return frozenset(places) if said == prefix else frozenset()


def _text(event: bytes) -> str:
    try:
        choice = msgspec.json.decode(event.strip().removeprefix(b"data: "))["choices"][0]
    except (ValueError, KeyError, IndexError):
        return ""
    text: str = choice.get("delta", {}).get("content") or ""
    return text


def _chosen(replays: Sequence[Replay], operation: str, asked: Question) -> Replay:
    """By the hash of what the user said last: the same words, the same answer."""
    stream = bool(asked.stream) and operation != "embeddings"
    possible = [r for r in replays if r.recording.operation == operation and r.recording.stream == stream]
    for shape in (asked.shape(operation), "text", "vector", "base64"):
        fitting = [r for r in possible if r.recording.shape == shape]
        if fitting:
            digest = hashlib.sha256(asked.last_said.encode()).digest()
            return fitting[digest[0] % len(fitting)]
    raise NoRecordingError(f"This simulated vendor has no recording for {operation}{' streams' if stream else ''}.")


def _counted(chosen: Replay, prompt: int, completion: int) -> dict[str, object]:
    """What the recording says of its own prompt (cached parts, times) is not true of this one, and left out."""
    if chosen.recording.operation == "embeddings":
        return {"prompt_tokens": prompt, "total_tokens": prompt}
    usage: dict[str, object] = {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
    }
    details = chosen.usage.get("completion_tokens_details")
    return usage | ({"completion_tokens_details": details} if details else {})


def _number(value: object, otherwise: int) -> int:
    return value if isinstance(value, int) else otherwise
