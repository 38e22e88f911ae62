"""One candidate of an answer, piece by piece: what of it is the same in a whole answer and in a stream."""

from typing import Any

import msgspec

from merit_dataplane.wire.delta_lists import DeltaLists
from merit_dataplane.wire.openai_gemini.grounding import annotations
from merit_dataplane.wire.openai_gemini.messages import OUR_ID
from merit_dataplane.wire.openai_gemini.thoughts import FORMAT, signed
from merit_dataplane.wire.openai_gemini.usage import finish_reason, named

Delta = dict[str, Any]
_ABSENT = msgspec.Raw(b"")
_NO_ARGUMENTS = msgspec.Raw(b"{}")


class _Call(msgspec.Struct):
    name: str = ""
    id: str | None = None
    args: msgspec.Raw = _NO_ARGUMENTS


class _Blob(msgspec.Struct, rename="camel"):
    mime_type: str = ""
    data: str = ""


class _Part(msgspec.Struct, rename="camel"):
    text: str | None = None
    thought: bool | None = None
    thought_signature: str | None = None
    function_call: _Call | None = None
    inline_data: _Blob | None = None


class _Content(msgspec.Struct):
    parts: list[msgspec.Raw] | None = None


class Candidate(msgspec.Struct, rename="camel"):
    """As Gemini sends it, whole or a piece of it."""

    index: int | None = None
    content: _Content | None = None
    finish_reason: str | int | None = None
    finish_message: str | None = None
    grounding_metadata: dict[str, Any] | None = None
    citation_metadata: dict[str, Any] | None = None
    logprobs_result: dict[str, Any] | None = None
    safety_ratings: msgspec.Raw = _ABSENT
    url_context_metadata: msgspec.Raw = _ABSENT
    avg_logprobs: msgspec.Raw = _ABSENT


_part = msgspec.json.Decoder(_Part)
_AS_THEY_ARE = ("grounding_metadata", "safety_ratings", "url_context_metadata", "avg_logprobs", "finish_message")
"""Of a candidate: fields of the choice, or of its last chunk."""


class Speaker:
    """What has been said so far by one candidate. `answer` is the answer's id, from which those of calls are made."""

    def __init__(self, answer: str, index: int):
        self._answer, self._index = answer, index
        self._calls = self._details = 0
        self._texts: list[str] = []
        self._lists = DeltaLists()
        self.finished = False

    def deltas(self, candidate: Candidate) -> list[Delta]:
        """What the parts add to the message. Raises ValueError for a part that is none."""
        parts = (candidate.content.parts if candidate.content else None) or ()
        return [delta for raw in parts if (delta := self._delta(raw))]

    def streamed(self, delta: Delta) -> Delta:
        """A delta as a chunk has it."""
        return self._lists.numbered(delta)

    def end(self, candidate: Candidate, *, streamed: bool) -> tuple[Delta, Delta]:
        """What the rest of the candidate adds to the message, and to the choice."""
        message: Delta = {}
        texts = ["".join(self._texts)] if streamed else self._texts
        if cited := annotations(candidate.grounding_metadata, texts):
            message["annotations"] = cited
        recited = candidate.citation_metadata.get("citations") if candidate.citation_metadata else None
        if isinstance(recited, list) and recited:
            message["citations"] = [citation for citation in recited if isinstance(citation, dict)]
        choice = {
            name: value
            for name in _AS_THEY_ARE
            if (value := getattr(candidate, name)) and (not isinstance(value, msgspec.Raw) or bytes(value))
        }
        reason = named(candidate.finish_reason)
        if reason is not None:
            self.finished = True
            choice["finish_reason"] = finish_reason(reason, called=self._calls > 0)
            choice["native_finish_reason"] = reason
        if candidate.logprobs_result is not None:
            choice["logprobs"] = logprobs(candidate.logprobs_result)
        return message, choice

    def _delta(self, raw: msgspec.Raw) -> Delta:
        part = _part.decode(raw)
        signature = part.thought_signature or ""
        self._texts.append("" if part.thought else part.text or "")
        if part.function_call is not None:
            return {"tool_calls": [self._call(part.function_call, signature)]}
        if part.inline_data is not None and part.inline_data.mime_type.startswith("image/"):
            url = f"data:{part.inline_data.mime_type};base64,{part.inline_data.data}"
            return {"images": [{"type": "image_url", "image_url": {"url": url}, **signed(signature)}]}
        if part.text is None:
            return {"provider_blocks": [raw]}
        if part.thought:
            detail = {"type": "reasoning.text", "text": part.text} | ({"signature": signature} if signature else {})
            return {"reasoning_content": part.text, **self._detailed(detail)}
        delta: Delta = {"content": part.text} if part.text else {}
        if signature:
            delta |= self._detailed({"type": "reasoning.encrypted", "data": signature})
        return delta

    def _detailed(self, detail: Delta) -> Delta:
        self._details += 1
        return {"reasoning_details": [{**detail, "format": FORMAT, "index": self._details - 1}]}

    def _call(self, call: _Call, signature: str) -> Delta:
        self._calls += 1
        return {
            "index": self._calls - 1,
            "id": call.id or f"{OUR_ID}{self._answer}_{self._index}_{self._calls - 1}",
            "type": "function",
            "function": {"name": call.name, "arguments": _arguments(bytes(call.args))},
            **signed(signature),
        }


def _arguments(given: bytes) -> str:
    return "{}" if given == b"null" else given.decode()


def logprobs(result: dict[str, Any]) -> dict[str, Any]:
    """OpenAI's logprobs object."""
    chosen, top = result.get("chosenCandidates"), result.get("topCandidates")
    tops = top if isinstance(top, list) else []
    made = []
    for place, candidate in enumerate(chosen if isinstance(chosen, list) else ()):
        others = tops[place].get("candidates") if place < len(tops) and isinstance(tops[place], dict) else None
        made.append(
            {
                **_logprob(candidate),
                "top_logprobs": [_logprob(other) for other in (others if isinstance(others, list) else ())],
            }
        )
    return {"content": made, "refusal": None}


def _logprob(candidate: Any) -> dict[str, Any]:
    given = candidate if isinstance(candidate, dict) else {}
    token, value = str(given.get("token") or ""), given.get("logProbability")
    return {
        "token": token,
        "logprob": value if isinstance(value, int | float) else -9999.0,  # OpenAI's word for a very unlikely one
        "bytes": list(token.encode(errors="replace")),
    }
