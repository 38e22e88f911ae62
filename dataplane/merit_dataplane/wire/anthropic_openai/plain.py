"""The same request for a vendor that knows OpenAI's own words and no others."""

from typing import Any, Final

import msgspec
from msgspec.structs import replace

from merit_dataplane.wire.openai_request import Call

NOT_OPENAIS: Final = frozenset({"thinking", "top_k", "inference_geo", "reasoning", "reasoning_effort"})
"""Whether a model reasons is not known of it here, and one that doesn't refuses to be asked."""
_OTHERS_WORDS = ("cache_control", "reasoning_content", "reasoning_details", "provider_blocks", "is_error")
_decode = msgspec.json.Decoder(list[dict[str, Any]]).decode
_tools = msgspec.json.Decoder(list[dict[str, Any]]).decode
_encode = msgspec.json.Encoder().encode
Part = dict[str, Any]


def plain(call: Call) -> Call:
    """Text alone is a string, pictures of a tool's result follow it as the user's, and nothing has another's words."""
    fields = {name: raw for name, raw in call.fields.items() if name not in NOT_OPENAIS}
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
