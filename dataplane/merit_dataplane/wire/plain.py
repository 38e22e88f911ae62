"""A translated request for a vendor that knows OpenAI's own words and no others."""

import re
from typing import Any

import msgspec
from msgspec.structs import replace

from merit_dataplane.wire.openai_request import Call, Operation

_NOT_OPENAIS = frozenset({"thinking", "top_k", "inference_geo", "reasoning", "reasoning_effort"})
_REASONS = re.compile(rb'"(?:.*/)?(?:o[1-9]|gpt-(?:[5-9]|\d\d))(?!.*chat)')
"""OpenAI's own models that reason. Of others it is not known, and one that doesn't refuses to be asked."""
_REFUSED_BY_THOSE = frozenset({"temperature", "top_p", "max_tokens"})
_EFFORTS = {"low": b'"low"', "medium": b'"medium"', "high": b'"high"', "xhigh": b'"high"', "max": b'"high"'}
_LOW_BUDGET, _MEDIUM_BUDGET = 2048, 8192
"""Tokens of Anthropic's thinking up to which that much effort is asked for."""
_OTHERS_WORDS = ("cache_control", "reasoning_content", "reasoning_details", "provider_blocks", "is_error")
_decode = msgspec.json.Decoder(list[dict[str, Any]]).decode
_tools = msgspec.json.Decoder(list[dict[str, Any]]).decode
_encode = msgspec.json.Encoder().encode
_value = msgspec.json.Decoder().decode
Part = dict[str, Any]


def plain(call: Call, model: msgspec.Raw) -> Call:
    """Text alone is a string, pictures of a tool's result follow it as the user's, and nothing has another's words.

    `model` is the JSON string of the model's name.
    """
    fields = _fields(call, model)
    messages: list[dict[str, Any]] = []
    shown: list[Part] = []
    for message in _decode(call.messages):
        if message["role"] != "tool" and shown:
            messages.append({"role": "user", "content": shown})
            shown = []
        messages.append(_message(message, shown))
    if shown:
        messages.append({"role": "user", "content": shown})
    fields["messages"] = msgspec.Raw(_encode(messages))
    if "tools" in fields:
        tools = [{name: tool[name] for name in tool if name != "cache_control"} for tool in _tools(fields["tools"])]
        fields["tools"] = msgspec.Raw(_encode(tools))
    return replace(call, fields=fields)


def kept(call: Call, model: str) -> frozenset[str]:
    """The request's parameters that are sent on, be it by another name."""
    names = set(_fields(call, msgspec.Raw(_encode(model))))
    if "max_completion_tokens" in names:
        names.add("max_tokens")
    if "reasoning_effort" in names:
        names |= {"reasoning", "thinking"}
    return frozenset(names)


def _fields(call: Call, model: msgspec.Raw) -> dict[str, msgspec.Raw]:
    given = call.fields
    fields = {name: raw for name, raw in given.items() if name not in _NOT_OPENAIS}
    if _REASONS.match(bytes(model)):
        fields = {name: raw for name, raw in fields.items() if name not in _REFUSED_BY_THOSE}
        if "max_tokens" in given:
            fields["max_completion_tokens"] = given["max_tokens"]
        if effort := _effort(given):
            fields["reasoning_effort"] = msgspec.Raw(effort)
    elif call.asked is Operation.RESPONSES and "reasoning_effort" in given:  # who names an effort knows the model
        fields["reasoning_effort"] = given["reasoning_effort"]
    return fields


def _effort(given: dict[str, msgspec.Raw]) -> bytes:
    """As asked for, by Anthropic's `effort` or by the budget of its thinking."""
    if "reasoning_effort" in given:
        wanted = _value(given["reasoning_effort"])
        return _EFFORTS.get(wanted, bytes(given["reasoning_effort"])) if isinstance(wanted, str) else b""
    reasoning = _value(given["reasoning"]) if "reasoning" in given else None
    budget = reasoning.get("max_tokens") if isinstance(reasoning, dict) else None
    if not isinstance(budget, int):
        return b""
    return b'"low"' if budget <= _LOW_BUDGET else b'"medium"' if budget <= _MEDIUM_BUDGET else b'"high"'


def _message(message: dict[str, Any], shown: list[Part]) -> dict[str, Any]:
    made = {name: value for name, value in message.items() if name not in _OTHERS_WORDS}
    content = made.get("content")
    if isinstance(content, list):
        parts = [{name: value for name, value in part.items() if name != "cache_control"} for part in content]
        if made["role"] == "tool":
            seen = [part for part in parts if part["type"] != "text"]
            if seen:
                shown += [{"type": "text", "text": f"What the tool call {made['tool_call_id']} shows:"}, *seen]
            parts = [part for part in parts if part["type"] == "text"]
        made["content"] = parts if any(part["type"] != "text" for part in parts) else _joined(parts)
    for call in made.get("tool_calls") or ():
        call.pop("cache_control", None)
    return made


def _joined(parts: list[Part]) -> str:
    return "\n".join(part["text"] for part in parts)
