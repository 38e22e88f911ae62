"""A request of a Responses client: as it came, and as a chat completion."""

from typing import Any

import msgspec

from merit_dataplane.wire.body import decoded
from merit_dataplane.wire.errors import RequestError
from merit_dataplane.wire.features import Feature
from merit_dataplane.wire.openai_anthropic.fields import a_list, a_string, an_object, invalid
from merit_dataplane.wire.openai_request import Call, Native, Operation, parse
from merit_dataplane.wire.responses_openai.items import conversation

_ABSENT = msgspec.Raw(b"")
_AS_THEY_ARE = ("model", "models", "provider", "temperature", "top_p", "parallel_tool_calls", "user", "service_tier")
_STORED = {
    "previous_response_id": "send the earlier items in `input`",
    "conversation": "send its items in `input`",
    "background": "ask without it, as a stream if the answer takes long",
    "prompt": "send its text in `instructions` and `input`",
}
"""Fields that need a store, and what to do without."""
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])
Part = dict[str, Any]


class _Head(msgspec.Struct):
    model: str = ""
    stream: bool | None = None
    temperature: float | None = None
    top_p: float | None = None
    max_output_tokens: int | None = None
    top_logprobs: int | None = None
    input: msgspec.Raw = _ABSENT


_head = msgspec.json.Decoder(_Head)


def parse_responses(body: bytes, _: tuple[tuple[bytes, bytes], ...] = ()) -> Call:
    """Raises RequestError (400) that names the field: no JSON object, a wrong type, or something that needs a store."""
    head, fields = decoded(_head, body), decoded(_fields, body)
    for name, otherwise in _STORED.items():
        if bytes(fields.get(name, b"null")) not in (b"null", b"false"):
            message = f"'{name}' needs stored responses, and Merit stores none: {otherwise}."
            raise RequestError(400, message, code="unsupported_parameter", param=name)
    if bytes(head.input) in (b"", b"null", b"[]", b'""'):
        message = "Missing required parameter: 'input'."
        raise RequestError(400, message, code="missing_required_parameter", param="input")
    given = {name: _decode(raw) for name, raw in fields.items() if name not in _AS_THEY_ARE}
    only_there: list[str] = []
    made: dict[str, Any] = {name: fields[name] for name in _AS_THEY_ARE if name in fields}
    made["messages"] = conversation(given, only_there)
    reasons = _reasoning(given, made)
    if head.max_output_tokens:
        made["max_completion_tokens" if reasons else "max_tokens"] = head.max_output_tokens
    if head.stream:
        made |= {"stream": True, "stream_options": {"include_usage": True}}
    if "message.output_text.logprobs" in a_list(given.get("include"), "include") or head.top_logprobs:
        made |= {"logprobs": True, "top_logprobs": head.top_logprobs or 0}
    _tools(given, made, only_there)
    _text(given, made)
    if only_there and not made["messages"]:
        made["messages"] = [{"role": "user", "content": ""}]  # who takes the client's own request never sees it
    call = parse(Operation.CHAT, _encode(made))
    native = Native(Operation.RESPONSES, fields, (), tuple(only_there))
    features = call.features | (int(Feature.RESPONSES) if only_there else 0)
    return msgspec.structs.replace(call, native=native, features=features)


def _reasoning(given: dict[str, Any], made: dict[str, Any]) -> bool:
    wanted = given.get("reasoning")
    effort = an_object(wanted, "reasoning").get("effort") if wanted is not None else None
    if effort is not None:
        made["reasoning_effort"] = a_string(effort, "reasoning.effort")
    return wanted is not None


def _text(given: dict[str, Any], made: dict[str, Any]) -> None:
    text = given.get("text")
    shape = an_object(text, "text").get("format") if text is not None else None
    if shape is None:
        return
    kind = an_object(shape, "text.format").get("type")
    if kind == "json_schema":
        schema = {name: shape[name] for name in ("name", "description", "schema", "strict") if name in shape}
        made["response_format"] = {"type": "json_schema", "json_schema": schema}
    elif kind == "json_object":
        made["response_format"] = {"type": "json_object"}


def _tools(given: dict[str, Any], made: dict[str, Any], only_there: list[str]) -> None:
    tools = []
    for place, tool in enumerate(a_list(given.get("tools"), "tools")):
        where = f"tools[{place}]"
        described = an_object(tool, where)
        match described.get("type"):
            case "function":
                tools.append(_function(described, where))
            case "custom":
                tools.append(_custom(described, where))
            case _:
                only_there.append(where)
    choice = given.get("tool_choice")
    match choice:
        case None | "auto" | "none" | "required":
            pass
        case {"type": "function" | "custom", "name": str(name)}:
            choice = {"type": "function", "function": {"name": name}}
        case {"type": "allowed_tools", "mode": str(mode), "tools": list(allowed)}:
            names = [tool.get("name") for tool in allowed if isinstance(tool, dict)]
            tools = [tool for tool in tools if tool["function"]["name"] in names]
            choice = mode
        case {"type": str()}:
            only_there.append("tool_choice")
            choice = None
        case _:
            raise invalid("tool_choice", "must be auto, none, required, or name a tool")
    if tools:
        made["tools"] = tools
        if choice is not None:
            made["tool_choice"] = choice


def _function(tool: Part, where: str) -> Part:
    function: Part = {"name": a_string(tool.get("name"), f"{where}.name")}
    function |= {name: tool[name] for name in ("description", "parameters", "strict") if tool.get(name) is not None}
    return {"type": "function", "function": function}


def _custom(tool: Part, where: str) -> Part:
    """A function with one argument: few vendors have custom tools. A grammar becomes a part of its description."""
    shape = tool.get("format")
    grammar = shape.get("definition") if isinstance(shape, dict) else None
    said = f"The input, as free text, in this {shape.get('syntax')} grammar:\n{grammar}" if grammar and shape else ""
    function: Part = {
        "name": a_string(tool.get("name"), f"{where}.name"),
        "parameters": {
            "type": "object",
            "properties": {"input": {"type": "string", "description": said or "The input, as free text."}},
            "required": ["input"],
            "additionalProperties": False,
        },
    }
    if tool.get("description"):
        function["description"] = tool["description"]
    return {"type": "function", "function": function}
