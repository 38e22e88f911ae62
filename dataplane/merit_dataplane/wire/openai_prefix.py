"""A request that goes on from the beginning of its answer: an assistant message at the end has what was written so far.

How vendors want it said differs (docs/adr/0017): a Provider's `assistantPrefix`. Protocols that are translated take the
message at the end as it is.
"""

from typing import Any

import msgspec
from msgspec.structs import replace

from merit_dataplane.wire.features import Feature
from merit_dataplane.wire.openai_request import Call, Operation

_encode = msgspec.json.Encoder().encode
_messages = msgspec.json.Decoder(list[msgspec.Raw])
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])
_string = msgspec.json.Decoder(str)
_TRUE, _FALSE = msgspec.Raw(b"true"), msgspec.Raw(b"false")
_WITHOUT = int(Feature.JSON_OBJECT | Feature.JSON_SCHEMA | Feature.LOGPROBS | Feature.CHOICES)
"""What uses these has no beginning that another answer could go on from: a grammar starts anew."""
_THOUGHTS = ("reasoning_effort", "reasoning", "thinking")
"""Nobody thinks in the middle of an answer, and some refuse to."""


def takes_prefix(call: Call) -> bool:
    """Whether the request is such that an answer can be gone on from."""
    return call.operation is Operation.CHAT and not call.features & _WITHOUT


def with_prefix(call: Call, text: str, tokens: int, style: str) -> Call | None:
    """The request that goes on after `text`, of about so many tokens; None where that can't be said."""
    try:
        messages = _messages.decode(call.messages)
        last = _fields.decode(messages[-1])
        if last.get("role") is not None and _string.decode(last["role"]) == "assistant":  # the client's own beginning
            if "tool_calls" in last:
                return None
            text = _string.decode(last["content"]) + text
            messages.pop()
    except (ValueError, KeyError, IndexError, RecursionError):
        return None
    message: dict[str, Any] = {"role": "assistant", "content": text}
    if style == "PrefixField":
        message["prefix"] = True
    messages.append(msgspec.Raw(_encode(message)))
    given = msgspec.Raw(_encode(messages))
    fields = {name: value for name, value in call.fields.items() if name not in _THOUGHTS} | {"messages": given}
    if style == "ContinueFinalMessage":
        fields |= {"continue_final_message": _TRUE, "add_generation_prompt": _FALSE}
    limit = call.output_limit
    if limit:
        limit = max(1, limit - tokens)
        fields[call.limit_field] = msgspec.Raw(_encode(limit))
    return replace(call, fields=fields, messages=given, output_limit=limit)
