"""What images, audio and moderations say of their usage, and what is booked where they say nothing.

Tokens are told by OpenAI's image and transcription models, and in the last event of a speech stream. Whisper tells the
seconds. Speech as bytes, DALL-E and moderations tell nothing.
"""

from typing import Final

import msgspec

from merit_crds.pricing import SpecialTokens, Usage
from merit_dataplane.wire.features import TOKENS_PER_MEDIUM
from merit_dataplane.wire.openai_request import Call, Operation

_TOKENS_PER_SECOND: Final = 10
"""Of sound that is heard: OpenAI counts a token per 100 ms."""
_SPOKEN_PER_TEXT: Final = 6
"""Tokens of sound for one of text: 1,250 a minute, by OpenAI's estimate of a minute's price, at 200 of text."""
_DRAWS = frozenset({Operation.IMAGES, Operation.IMAGE_EDITS, Operation.IMAGE_VARIATIONS})
_HEARS = frozenset({Operation.TRANSCRIPTIONS, Operation.TRANSLATIONS})


class _Details(msgspec.Struct):
    text_tokens: int | None = None
    image_tokens: int | None = None
    audio_tokens: int | None = None
    cached_tokens: int | None = None


class _Usage(msgspec.Struct):
    input_tokens: int | None = None
    output_tokens: int | None = None
    input_tokens_details: _Details | None = None
    input_token_details: _Details | None = None
    """So for transcriptions."""
    output_tokens_details: _Details | None = None
    seconds: int | float | None = None


class _Answer(msgspec.Struct):
    usage: _Usage | None = None


_answer = msgspec.json.Decoder(_Answer)


def usage_of(body: bytes, operation: Operation) -> Usage | None:
    """Tokens in disjoint classes; None where none are told."""
    told = _told(body)
    if told is None or told.input_tokens is None or told.output_tokens is None:
        return None
    taken, made = told.input_tokens, told.output_tokens
    of_input = told.input_tokens_details or told.input_token_details or _Details()
    of_output = told.output_tokens_details
    images, sounds, cached = of_input.image_tokens or 0, of_input.audio_tokens or 0, of_input.cached_tokens or 0
    drawn = made if operation in _DRAWS else 0
    if of_output is not None and of_output.image_tokens is not None:
        drawn = of_output.image_tokens
    spoken = made if operation is Operation.SPEECH else 0
    if min(taken, made, images, sounds, cached, drawn) < 0:
        return None
    sounds = min(taken, sounds)
    images = min(taken - sounds, images)
    cached = min(taken - sounds - images, cached)
    drawn = min(made - spoken, drawn)
    special = SpecialTokens(image_input=images, image_output=drawn, audio_input=sounds, audio_output=spoken)
    return Usage(
        uncached_input=taken - images - sounds - cached,
        output=made - drawn - spoken,
        cached_input=cached,
        special=special if any(special) else None,
    )


def estimate(call: Call, files: int, body: bytes) -> Usage:
    """What is booked for an answer that tells no tokens. `body`: the whole answer, empty for a stream."""
    if call.operation is Operation.SPEECH:
        return Usage(call.input_tokens, 0, special=SpecialTokens(audio_output=_SPOKEN_PER_TEXT * call.input_tokens))
    if call.operation in _DRAWS:
        made, seen = call.choices * TOKENS_PER_MEDIUM, files * TOKENS_PER_MEDIUM
        return Usage(max(0, call.input_tokens - seen), 0, special=SpecialTokens(image_input=seen, image_output=made))
    if call.operation in _HEARS:
        told = _told(body)
        seconds = told.seconds if told is not None else None
        heard = TOKENS_PER_MEDIUM if seconds is None else max(0, int(min(seconds, 1e6) * _TOKENS_PER_SECOND))
        return Usage(0, len(body) // 4, special=SpecialTokens(audio_input=heard))
    return Usage(call.input_tokens, 0)


def _told(body: bytes) -> _Usage | None:
    try:
        return _answer.decode(body).usage
    except (ValueError, RecursionError):  # subtitles, plain text, a usage of another shape
        return None
