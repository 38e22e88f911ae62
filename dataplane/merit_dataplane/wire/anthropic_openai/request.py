"""A request of an Anthropic client: as it came, and in OpenAI's words."""

import hashlib
from typing import Any

import msgspec

from merit_dataplane.wire.anthropic_openai.turns import conversation
from merit_dataplane.wire.body import decoded
from merit_dataplane.wire.errors import RequestError
from merit_dataplane.wire.features import Feature
from merit_dataplane.wire.openai_anthropic.fields import a_list, a_string, an_object, invalid
from merit_dataplane.wire.openai_request import Call, Native, Operation, parse

_ABSENT = msgspec.Raw(b"")
_SHOWN_TO_PROVIDERS = (b"anthropic-version", b"anthropic-beta", b"anthropic-user-profile-id")
_LONGEST_USER = 64
"""OpenAI's bound."""
_AS_THEY_ARE = ("model", "models", "provider", "temperature", "top_p", "top_k", "inference_geo", "thinking")
"""The first five mean the same in both; the others are words of Anthropic's that some translators heed."""
_ONLY_THERE = ("container", "mcp_servers", "user_profile_id")
"""These, and files by id, are only at Anthropic's own API."""
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])


class _Head(msgspec.Struct):
    model: str = ""
    max_tokens: int | None = None
    stream: bool | None = None
    temperature: float | None = None
    top_p: float | None = None
    messages: msgspec.Raw = _ABSENT


_head = msgspec.json.Decoder(_Head)


def parse_messages(body: bytes, headers: tuple[tuple[bytes, bytes], ...], operation: Operation) -> Call:
    """A request for a message, or (`operation`) for the count of its tokens.

    Raises RequestError (400) that names the field, when it is no JSON object or a field has the wrong type.
    """
    head, fields = decoded(_head, body), decoded(_fields, body)
    counts = operation is Operation.COUNT_TOKENS
    for name, missing in (("messages", bytes(head.messages) in (b"", b"null", b"[]")),
                          ("max_tokens", head.max_tokens is None and not counts)):  # fmt: skip
        if missing:
            raise RequestError(400, f"{name}: Field required", code="missing_required_parameter", param=name)
    given = {name: _decode(raw) for name, raw in fields.items() if name not in _AS_THEY_ARE[:-1]}
    only_there: list[str] = []
    made: dict[str, Any] = {name: fields[name] for name in _AS_THEY_ARE if name in fields}
    made["messages"] = conversation(given, only_there)
    if head.max_tokens:
        made["max_tokens"] = head.max_tokens
    elif not counts:
        only_there.append("max_tokens")  # 0: nothing but a warm cache is wanted
    if head.stream:
        made["stream"] = True
        made["stream_options"] = {"include_usage": True}
    _tools(given, made, only_there)
    _output(given, made)
    _rest(given, made)
    only_there += [name for name in _ONLY_THERE if given.get(name)]
    if only_there and not made["messages"]:
        made["messages"] = [{"role": "user", "content": ""}]  # who takes the client's own request never sees it
    call = parse(Operation.CHAT, _encode(made))
    native = Native(operation, fields, _shown(headers), tuple(only_there))
    features = call.features
    if only_there:
        features |= int(Feature.ANTHROPIC_ONLY)
        if any(name in _ONLY_THERE or name.endswith(".source") for name in only_there):
            features |= int(Feature.ANTHROPIC_API)
    return msgspec.structs.replace(call, native=native, features=features)


def _shown(headers: tuple[tuple[bytes, bytes], ...]) -> tuple[tuple[str, str], ...]:
    return tuple(
        (name.decode(), value.decode("latin-1")) for name, value in headers if name in _SHOWN_TO_PROVIDERS and value
    )


def _tools(given: dict[str, Any], made: dict[str, Any], only_there: list[str]) -> None:
    tools = []
    for place, tool in enumerate(a_list(given.get("tools"), "tools")):
        where = f"tools[{place}]"
        described = an_object(tool, where)
        if described.get("type") in (None, "custom"):
            tools.append(_tool(described, where))
        else:
            only_there.append(where)
    if tools:
        made["tools"] = tools
        _choice(given.get("tool_choice"), made)


def _tool(tool: dict[str, Any], where: str) -> dict[str, Any]:
    function: dict[str, Any] = {"name": a_string(tool.get("name"), f"{where}.name")}
    if tool.get("description"):
        function["description"] = tool["description"]
    function["parameters"] = an_object(tool.get("input_schema"), f"{where}.input_schema")
    if tool.get("strict") is not None:
        function["strict"] = tool["strict"]
    made: dict[str, Any] = {"type": "function", "function": function}
    if tool.get("cache_control"):
        made["cache_control"] = tool["cache_control"]
    return made


def _choice(given: Any, made: dict[str, Any]) -> None:
    if given is None:
        return
    choice = an_object(given, "tool_choice")
    match choice.get("type"):
        case "auto" | "none" as kind:
            made["tool_choice"] = kind
        case "any":
            made["tool_choice"] = "required"
        case "tool":
            name = a_string(choice.get("name"), "tool_choice.name")
            made["tool_choice"] = {"type": "function", "function": {"name": name}}
        case _:
            raise invalid("tool_choice.type", "must be auto, any, tool or none")
    if choice.get("disable_parallel_tool_use") is not None:
        made["parallel_tool_calls"] = not choice["disable_parallel_tool_use"]


def _output(given: dict[str, Any], made: dict[str, Any]) -> None:
    wanted = given.get("output_config")
    config = an_object(wanted, "output_config") if wanted is not None else {}
    shape = config.get("format") or given.get("output_format")  # the second is of the beta
    if shape is not None and an_object(shape, "output_config.format").get("type") == "json_schema":
        schema = {"name": "answer", "schema": shape.get("schema"), "strict": True}
        made["response_format"] = {"type": "json_schema", "json_schema": schema}
    thinking = given.get("thinking")
    budget = thinking.get("budget_tokens") if isinstance(thinking, dict) else None
    if config.get("effort"):
        made["reasoning_effort"] = config["effort"]
    elif budget:
        made["reasoning"] = {"max_tokens": budget}


def _rest(given: dict[str, Any], made: dict[str, Any]) -> None:
    stops = a_list(given.get("stop_sequences"), "stop_sequences")
    if stops:
        made["stop"] = [a_string(stop, "stop_sequences") for stop in stops]
    metadata = given.get("metadata")
    user = metadata.get("user_id") if isinstance(metadata, dict) else None
    if user:
        user = a_string(user, "metadata.user_id")
        made["user"] = user if len(user) <= _LONGEST_USER else hashlib.sha256(user.encode()).hexdigest()
    if given.get("service_tier") == "standard_only":
        made["service_tier"] = "default"
