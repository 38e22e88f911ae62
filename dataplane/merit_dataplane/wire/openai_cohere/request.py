"""A request: the bytes that go to Cohere for one in OpenAI's format.

What is not in `KEPT` is not sent: Cohere has nothing like `parallel_tool_calls`, `logit_bias` and others.
"""

from typing import Any, Final

import msgspec

from merit_dataplane.wire.openai_anthropic.fields import a_list, a_string, an_object, invalid
from merit_dataplane.wire.openai_cohere.messages import conversation
from merit_dataplane.wire.openai_request import Call

_AS_THEY_ARE = ("citation_options", "safety_mode", "strict_tools", "thinking", "priority", "k", "p", "raw_prompting")
"""Cohere's own fields."""
KEPT: Final = frozenset(_AS_THEY_ARE) | {
    "max_completion_tokens", "max_tokens", "temperature", "top_p", "top_k", "frequency_penalty", "presence_penalty",
    "seed", "logprobs", "stop", "tools", "tool_choice", "functions", "function_call", "response_format", "documents",
    "reasoning", "reasoning_effort",
}  # fmt: skip
"""Parameters that are sent on."""
_RANGES = {
    "temperature": ("temperature", 0.0, 1.0),
    "top_p": ("p", 0.01, 0.99),
    "frequency_penalty": ("frequency_penalty", 0.0, 1.0),
    "presence_penalty": ("presence_penalty", 0.0, 1.0),
}
"""Of OpenAI's numbers: Cohere's name, and the ends of its scale."""
_SHARE_OF_THINKING = {"minimal": 0.1, "low": 0.2, "medium": 0.5, "high": 0.8, "xhigh": 0.95, "max": 0.95}
"""Of the output, by effort: OpenRouter's shares (openrouter.ai/docs/use-cases/reasoning-tokens)."""
_ASSUMED_MAX_TOKENS = 8192
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


def request_body(call: Call, model: msgspec.Raw, max_output_tokens: int) -> bytes:
    """The bytes for Cohere. `model`: JSON string; `max_output_tokens`: the price list's, 0 where it has none.

    Raises RequestError (400) that names the field which can't be said.
    """
    given = {name: _decode(raw) for name, raw in call.fields.items() if name not in ("messages", "model")}
    messages, documents = conversation(_decode(call.messages))
    body: dict[str, Any] = {"model": model, "messages": messages, "stream": call.stream}
    documents = a_list(given.get("documents"), "documents") + documents
    if documents:
        body["documents"] = documents
    body |= {name: given[name] for name in _AS_THEY_ARE if given.get(name) is not None}
    _sampling(given, call, body)
    _tools(given, body)
    _response_format(given, body)
    _thinking(given, call.output_limit or max_output_tokens or _ASSUMED_MAX_TOKENS, body)
    return _encode(body)


def _sampling(given: dict[str, Any], call: Call, body: dict[str, Any]) -> None:
    if call.output_limit:
        body["max_tokens"] = call.output_limit
    for name, (theirs, least, most) in _RANGES.items():
        value = given.get(name)
        if value is None:
            continue
        if not isinstance(value, int | float):
            raise invalid(name, "must be a number")
        body.setdefault(theirs, min(most, max(least, value)))
    if given.get("top_k") is not None:
        body.setdefault("k", given["top_k"])
    if given.get("seed") is not None:
        body["seed"] = given["seed"]
    if given.get("logprobs"):
        body["logprobs"] = True
    stop = given.get("stop")
    if stop:
        wanted = [stop] if isinstance(stop, str) else a_list(stop, "stop")
        body["stop_sequences"] = [a_string(sequence, "stop") for sequence in wanted]


def _tools(given: dict[str, Any], body: dict[str, Any]) -> None:
    tools = [_tool(tool, f"tools[{i}]") for i, tool in enumerate(a_list(given.get("tools"), "tools"))]
    tools += [_function(f, f"functions[{i}]") for i, f in enumerate(a_list(given.get("functions"), "functions"))]
    if not tools:
        return
    choice, names = _choice(given.get("tool_choice") or given.get("function_call"))
    if names is not None:
        tools = [tool for tool in tools if tool["function"]["name"] in names]
    body["tools"] = tools
    if choice:
        body["tool_choice"] = choice
    if any(_strict(tool) for tool in a_list(given.get("tools"), "tools")):
        body.setdefault("strict_tools", True)


def _tool(tool: Any, where: str) -> dict[str, Any]:
    given = an_object(tool, where)
    if given.get("type", "function") != "function":
        raise invalid(f"{where}.type", "must be function")
    return _function(given.get("function"), f"{where}.function")


def _function(function: Any, where: str) -> dict[str, Any]:
    given = an_object(function, where)
    made: dict[str, Any] = {"name": a_string(given.get("name"), f"{where}.name")}
    if given.get("description"):
        made["description"] = given["description"]
    made["parameters"] = given.get("parameters") or {"type": "object", "properties": {}}
    return {"type": "function", "function": made}


def _strict(tool: Any) -> bool:
    function = tool.get("function") if isinstance(tool, dict) else None
    return isinstance(function, dict) and bool(function.get("strict"))


def _choice(choice: Any) -> tuple[str | None, list[str] | None]:
    """Cohere's tool_choice, and the names of the tools that are left: it can't name one."""
    match choice:
        case None | "auto":
            return None, None
        case "none":
            return "NONE", None
        case "required" | "any":
            return "REQUIRED", None
        case {"type": "allowed_tools", "allowed_tools": {"mode": str(mode), "tools": list(allowed)}}:
            names = [str(t.get("function", t).get("name")) for t in allowed if isinstance(t, dict)]
            return ("REQUIRED" if mode == "required" else None), names
        case {"function": {"name": str(name)}} | {"name": str(name)}:
            return "REQUIRED", [name]
        case _:
            raise invalid("tool_choice", "must be auto, none, required, or name a function")


def _response_format(given: dict[str, Any], body: dict[str, Any]) -> None:
    wanted = given.get("response_format")
    if not isinstance(wanted, dict) or wanted.get("type") not in ("json_object", "json_schema"):
        return
    body["response_format"] = {"type": "json_object"}
    if wanted["type"] == "json_schema":
        schema = an_object(wanted.get("json_schema"), "response_format.json_schema").get("schema")
        body["response_format"]["json_schema"] = an_object(schema, "response_format.json_schema.schema")
    elif isinstance(wanted.get("json_schema"), dict):  # Cohere's own shape
        body["response_format"]["json_schema"] = wanted["json_schema"]


def _thinking(given: dict[str, Any], limit: int, body: dict[str, Any]) -> None:
    """`reasoning_effort`, or OpenRouter's `reasoning`, as a budget."""
    if "thinking" in body:
        return
    wanted = given.get("reasoning")
    wanted = an_object(wanted, "reasoning") if wanted is not None else {}
    effort = wanted.get("effort") or given.get("reasoning_effort")
    if wanted.get("max_tokens"):
        if not isinstance(wanted["max_tokens"], int):
            raise invalid("reasoning.max_tokens", "must be a whole number")
        body["thinking"] = {"type": "enabled", "token_budget": wanted["max_tokens"]}
    elif effort == "none" or wanted.get("enabled") is False:
        body["thinking"] = {"type": "disabled"}
    elif isinstance(effort, str) and effort in _SHARE_OF_THINKING:
        body["thinking"] = {"type": "enabled", "token_budget": max(1, int(limit * _SHARE_OF_THINKING[effort]))}
    elif wanted.get("enabled"):
        body["thinking"] = {"type": "enabled"}
    elif effort is not None:
        names = ", ".join(_SHARE_OF_THINKING)
        raise invalid("reasoning_effort", f"must be none, {names} (is {str(effort)[:32]!r})")
