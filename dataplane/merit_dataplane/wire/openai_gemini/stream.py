"""A streamed answer of Gemini's in OpenAI's format, as a state machine fed with any split of the bytes."""

import contextlib
from collections.abc import Callable
from typing import Any

import msgspec

from merit_crds.pricing import CostDetails, Usage
from merit_dataplane.wire.openai_gemini.answer import Answer, refused
from merit_dataplane.wire.openai_gemini.candidate import Candidate, Speaker
from merit_dataplane.wire.openai_gemini.errors import GoogleError, said
from merit_dataplane.wire.openai_gemini.frames import FrameReader
from merit_dataplane.wire.openai_gemini.usage import openai_usage, service_tier
from merit_dataplane.wire.openai_response import usage_of, with_cost
from merit_dataplane.wire.server_sent_events import MalformedStreamError

_encode = msgspec.json.Encoder().encode


class _Piece(Answer, rename="camel"):
    error: GoogleError | None = None


_piece = msgspec.json.Decoder(_Piece)


class GeminiStream:
    """One stream. `feed` takes Gemini's bytes and gives the client's.

    Gemini has no end marker: it is complete when its bytes have ended and each candidate has said why it stopped.
    """

    def __init__(self, *, wants_usage: bool, price: Callable[[Usage], CostDetails], model: str, created: int):
        self._wants_usage, self._price = wants_usage, price
        self._frames = FrameReader()
        self._head: dict[str, Any] = {"object": "chat.completion.chunk", "created": created, "model": model}
        self._speakers: dict[int, Speaker] = {}
        self._reported: dict[str, Any] = {}
        self._refused = False
        self.usage: Usage | None = None
        self.complete = False
        """Gemini has finished."""
        self.failed = False
        """Gemini sent an error."""

    def feed(self, data: bytes) -> bytes:
        """The client's bytes for Gemini's next bytes; may be empty. Raises MalformedStreamError."""
        return b"".join([self._translated(frame) for frame in self._frames.feed(data)])

    def finish(self) -> bytes:
        """What is left when Gemini's bytes have ended."""
        out = []
        with contextlib.suppress(MalformedStreamError):  # half an event: the stream was cut off
            out += [self._translated(frame) for frame in self._frames.finish()]
        if not self.failed and self._has_ended:
            out.append(self._ended())
        return b"".join(out)

    def _translated(self, frame: bytes) -> bytes:
        if frame == b"[DONE]":
            return b""
        try:
            piece = _piece.decode(frame)
            if piece.error is not None:
                self.failed = True
                return b"data: " + said(piece.error, piece.error.code or 500) + b"\n\n"
            return self._spoken(piece)
        except (ValueError, RecursionError):
            raise MalformedStreamError("an event is none of Gemini's") from None

    def _spoken(self, piece: _Piece) -> bytes:
        if "id" not in self._head:
            self._head = {"id": piece.response_id or "", **self._head}
        if piece.model_version:
            self._head["model"] = piece.model_version
        if piece.usage_metadata:
            self._reported |= piece.usage_metadata
        out = [self._of_candidate(c, place) for place, c in enumerate(piece.candidates or ())]
        if piece.prompt_feedback is not None and piece.prompt_feedback.block_reason and not self._speakers:
            self._refused = True
            out.append(self._chunk(refused(piece.prompt_feedback, "delta")))
        if self._has_ended:
            self.usage = self.told
        return b"".join(out)

    @property
    def _has_ended(self) -> bool:
        speakers = self._speakers.values()
        return self._refused or (bool(speakers) and all(speaker.finished for speaker in speakers))

    @property
    def told(self) -> Usage | None:
        """See StreamedAnswer: every piece has the tokens so far."""
        return usage_of(self._usage_event()) if self._reported else None

    def _usage_event(self) -> bytes:
        usage = {"usage": openai_usage(self._reported), **service_tier(self._reported)}
        return _encode({**self._head, "choices": [], **usage})

    def _of_candidate(self, candidate: Candidate, place: int) -> bytes:
        index = candidate.index if candidate.index is not None else place
        out = []
        speaker = self._speakers.get(index)
        if speaker is None:
            speaker = self._speakers[index] = Speaker(str(self._head["id"]), index)
            out.append(self._chunk(_choice(index, {"role": "assistant", "content": ""})))
        out += [self._chunk(_choice(index, speaker.streamed(delta))) for delta in speaker.deltas(candidate)]
        message, choice = speaker.end(candidate, streamed=True)
        if message or choice:
            out.append(self._chunk(_choice(index, speaker.streamed(message)) | choice))
        return b"".join(out)

    def _ended(self) -> bytes:
        self.complete = True
        self.usage = self.told
        if self.usage is None or not self._wants_usage:
            return b"data: [DONE]\n\n"
        return b"data: " + with_cost(self._usage_event(), self._price(self.usage)) + b"\n\ndata: [DONE]\n\n"

    def _chunk(self, choice: dict[str, Any]) -> bytes:
        return b"data: " + _encode({**self._head, "choices": [choice]}) + b"\n\n"


def _choice(index: int, delta: dict[str, Any]) -> dict[str, Any]:
    return {"index": index, "delta": delta, "logprobs": None, "finish_reason": None}
