"""What the client heard beside what the vendor said: a list of differences, each in words.

The translation of the vendor's words for how an answer ended, and of what has no place in a client's protocol, is
written down here a second time, from the protocols' documents.
"""

import json
from dataclasses import replace
from typing import Any

from tests.fidelity.errors import error_differences, stream_error_differences
from tests.fidelity.exchanges import Exchange
from tests.fidelity.heard import Heard
from tests.support.said import anthropic, bedrock, cohere, gemini, openai, responses
from tests.support.said.answer import Said, Turn, Usage, events

Fields = dict[str, Any]
_READERS: dict[str, Any] = {
    "OpenAI": openai,
    "AzureOpenAI": openai,
    "Anthropic": anthropic,
    "Gemini": gemini,
    "VertexGemini": gemini,
    "Bedrock": bedrock,
    "Cohere": cohere,
}
_ENDS = {
    "length": ("length", "max_tokens", "model_length", "MAX_TOKENS", "model_context_window_exceeded", "CONTINUATION"),
    "filter": (
        "content_filter", "refusal", "SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "LANGUAGE",
        "guardrail_intervened", "content_filtered", "IMAGE_SAFETY", "MODEL_ARMOR", "ERROR_TOXIC",
    ),
    "calls": ("tool_calls", "tool_use", "function_call", "TOOL_CALL"),
}  # fmt: skip
_HEARD = {
    "chat": {"end": "stop", "length": "length", "filter": "content_filter", "calls": "tool_calls"},
    "messages": {"end": "end_turn", "length": "max_tokens", "filter": "refusal", "calls": "tool_use"},
    "responses": {"end": "completed", "length": "max_output_tokens", "filter": "content_filter", "calls": "completed"},
}


def said_by(exchange: Exchange) -> Said:
    """The vendor's own bytes, read. Raises ValueError and others where they aren't what the path promises."""
    if exchange.kind is None:
        raise AssertionError("it is not served")
    reader = responses if exchange.kind.operation == "responses" else _READERS[exchange.kind.protocol]
    if exchange.fails or exchange.kind.operation in ("moderations", "count_tokens"):
        return Said(error=openai.error(exchange.body) if exchange.fails else "")
    if exchange.kind.operation == "embeddings":
        made: Said = reader.embeddings(exchange.body)
    else:
        made = (reader.stream if exchange.streamed else reader.whole)(exchange.body)
    return made


def differences(exchange: Exchange, endpoint: str, said: Said, heard: Heard) -> list[str]:
    """Empty where the client heard what was said."""
    if exchange.kind is None:
        raise AssertionError("it is not served")
    if exchange.fails:
        return error_differences(exchange, endpoint, said, heard)
    if said.error and not any(turn.stop for turn in said.turns):  # after the end it is none
        return stream_error_differences(said, heard)
    if heard.exception:
        return [f"{heard.exception} {heard.status}: {str(heard.error.get('message'))[:200]}"]
    found: list[str] = []
    if endpoint == "embeddings":
        return _vectors(said, heard.said)
    if endpoint in ("moderations", "count_tokens"):
        return []
    same = exchange.kind.operation == endpoint and exchange.kind.protocol in ("OpenAI", "AzureOpenAI", "Anthropic")
    if same and _own(exchange) == [_priceless(one) for one in heard.raw]:
        return []  # what the SDK makes of the vendor's own JSON is its own affair
    if heard.helper:
        return [heard.helper]
    turns = said.turns if endpoint in ("chat", "completions") else said.turns[:1]
    if len(turns) != len(heard.said.turns):
        return [f"{len(heard.said.turns)} choices for {len(turns)}"]
    for one, other in zip(turns, heard.said.turns, strict=True):
        found += _turn(exchange, endpoint, one, other, same=same)
    found += _usage(exchange, endpoint, said.usage, heard.said.usage)
    if said.identity and heard.said.identity != said.identity and endpoint != "responses":
        found.append(f"id {heard.said.identity!r} for {said.identity!r}")
    if said.model and heard.said.model != said.model:
        found.append(f"model {heard.said.model!r} for {said.model!r}")
    return found


def _turn(exchange: Exchange, endpoint: str, said: Turn, heard: Turn, *, same: bool) -> list[str]:
    found = []
    refusal, text = said.refusal, said.text
    if endpoint == "messages" and refusal and not text:  # a refusal is a message's text there
        text, refusal = refusal, ""
    wanted: list[tuple[str, Any, Any]] = [
        ("text", text, heard.text),
        ("calls", _calls(said, endpoint), heard.calls),
        ("refusal", refusal, heard.refusal),
        ("thoughts", said.thoughts, heard.thoughts),
        ("stop", _ended(exchange, endpoint, said, same=same), heard.stop),
        ("pages", said.pages, heard.pages),
    ]
    if endpoint != "messages":
        wanted.append(("logprobs", said.logprobs, heard.logprobs))
    if same or endpoint == "chat":
        wanted.append(("images", said.images, heard.images))
    for name, one, other in wanted:
        if one != other:
            found.append(f"{name} {_short(other)} for {_short(one)}")
    return found


def _calls(said: Turn, endpoint: str) -> list[tuple[str, Any]]:
    if endpoint != "messages":
        return said.calls
    return [(name, given if isinstance(given, dict) else {"INVALID_JSON": given}) for name, given in said.calls]


def _ended(exchange: Exchange, endpoint: str, said: Turn, *, same: bool) -> str | None:
    if same:
        return said.stop
    kind = next((kind for kind, words in _ENDS.items() if said.stop in words), "end")
    if said.calls and kind == "end":
        kind = "calls"
    if endpoint == "messages" and said.stop in ("stop_sequence", "model_context_window_exceeded", "pause_turn"):
        return said.stop
    if endpoint == "messages" and said.refusal and not said.text:
        kind = "filter"
    return _HEARD.get(endpoint, _HEARD["chat"])[kind]


def _usage(exchange: Exchange, endpoint: str, said: Usage | None, heard: Usage | None) -> list[str]:
    if said is None:
        return []  # what Merit books then is an estimate, and marked so
    if heard is None:
        return ["no usage"]
    wanted = replace(said)
    if endpoint != exchange.kind.operation if exchange.kind is not None else False:
        wanted.cached = min(wanted.cached, wanted.input)  # Grok on Azure: a whole has no larger part
    if wanted.reasoning is None or heard.reasoning is None:
        wanted.reasoning = heard.reasoning if not wanted.reasoning else wanted.reasoning
    if endpoint == "completions":
        wanted.reasoning = heard.reasoning
    return [] if wanted == heard else [f"usage {heard} for {wanted}"]


def _own(exchange: Exchange) -> list[Fields]:
    """The vendor's JSON: the answer, or its events."""
    if not exchange.streamed:
        return [_priceless(json.loads(exchange.body))]
    return [_priceless(event) for event in events(exchange.body) if event.get("type") != "ping"]


def _priceless(given: Fields) -> Fields:
    """Without the cost that Merit adds to a usage, wherever that is."""
    made = {
        name: _priceless(value) if name in ("message", "response") and isinstance(value, dict) else value
        for name, value in given.items()
    }
    if isinstance(made.get("usage"), dict):
        costs = ("cost", "cost_details", "effective_cost")
        made["usage"] = {name: value for name, value in made["usage"].items() if name not in costs}
    return made


def _vectors(said: Said, heard: Said) -> list[str]:
    if len(said.vectors) != len(heard.vectors):
        return [f"{len(heard.vectors)} vectors for {len(said.vectors)}"]
    for one, other in zip(said.vectors, heard.vectors, strict=True):
        if len(one) != len(other) or any(abs(a - b) > 1e-6 * max(1.0, abs(a)) for a, b in zip(one, other, strict=True)):
            return ["other numbers in a vector"]
    if said.usage is not None and heard.usage is not None and said.usage.input != heard.usage.input:
        return [f"usage {heard.usage.input} for {said.usage.input}"]
    return []


def _short(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= 160 else shown[:120] + "…" + shown[-39:]
