"""A request: the bytes that go to Anthropic for one in OpenAI's format.

What is not in `KEPT` is not sent: Anthropic has nothing like `seed`, `logit_bias` and others.
"""

from typing import Any, Final

import msgspec

from merit_dataplane.wire.openai_anthropic.fields import a_list, a_string, an_object, invalid
from merit_dataplane.wire.openai_anthropic.messages import conversation
from merit_dataplane.wire.openai_request import Call

VERTEX_VERSION: Final = "vertex-2023-10-16"
_ASSUMED_MAX_TOKENS = 8192
"""Anthropic wants a limit; this is it where neither the client nor the price list has one."""
_LEAST_THINKING = 1024
_MOST_THINKING = 32_000
_SHARE_OF_THINKING = {"minimal": 0.1, "low": 0.2, "medium": 0.5, "high": 0.8, "xhigh": 0.95, "max": 0.95}
"""Of max_tokens, by effort: OpenRouter's shares (openrouter.ai/docs/use-cases/reasoning-tokens)."""
_AS_THEY_ARE = (
    "thinking", "top_k", "container", "mcp_servers", "context_management", "inference_geo", "cache_control",
)  # fmt: skip
"""Anthropic's own fields."""
KEPT: Final = frozenset(_AS_THEY_ARE) | {
    "max_completion_tokens", "max_tokens", "temperature", "top_p", "stop", "tools", "tool_choice", "functions",
    "function_call", "parallel_tool_calls", "response_format", "reasoning", "reasoning_effort", "user",
}  # fmt: skip
"""Parameters that are sent on."""
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


def request_body(call: Call, model: msgspec.Raw, max_output_tokens: int) -> bytes:
    """The bytes for Anthropic. `model`: JSON string; `max_output_tokens`: the price list's, 0 where it has none.

    Raises RequestError (400) that names the field which can't be said.
    """
    return _encode({"model": model, **_said(call, max_output_tokens)})


def vertex_body(call: Call, _: msgspec.Raw, max_output_tokens: int) -> bytes:
    """The same for Vertex AI, where the URL names the model."""
    return _encode({"anthropic_version": VERTEX_VERSION, **_said(call, max_output_tokens)})


def _said(call: Call, max_output_tokens: int) -> dict[str, Any]:
    given = {name: _decode(raw) for name, raw in call.fields.items() if name not in ("messages", "model")}
    system, turns = conversation(_decode(call.messages))
    body: dict[str, Any] = {"messages": turns}
    if system:
        body["system"] = system
    body["max_tokens"] = call.output_limit or max_output_tokens or _ASSUMED_MAX_TOKENS
    if call.stream:
        body["stream"] = True
    body |= {name: given[name] for name in _AS_THEY_ARE if given.get(name) is not None}
    _sampling(given, body)
    _tools(given, body)
    _output_format(given, body)
    _thinking(given, body)
    if given.get("user"):
        body["metadata"] = {"user_id": a_string(given["user"], "user")}
    if given.get("service_tier") in ("default", "standard", "standard_only"):
        body["service_tier"] = "standard_only"
    return body


def _sampling(given: dict[str, Any], body: dict[str, Any]) -> None:
    temperature = given.get("temperature")
    if temperature is not None:
        if not isinstance(temperature, int | float) or isinstance(temperature, bool):
            raise invalid("temperature", "must be a number")
        body["temperature"] = min(temperature, 1)  # the end of Anthropic's scale
    if given.get("top_p") is not None:
        body["top_p"] = given["top_p"]
    stop = given.get("stop")
    if stop:
        wanted = [stop] if isinstance(stop, str) else a_list(stop, "stop")
        # Anthropic refuses white space alone
        sequences = [s for s in wanted if a_string(s, "stop").strip()]
        if sequences:
            body["stop_sequences"] = sequences


def _tools(given: dict[str, Any], body: dict[str, Any]) -> None:
    tools = [_tool(tool, f"tools[{i}]") for i, tool in enumerate(a_list(given.get("tools"), "tools"))]
    tools += [_function(f, f"functions[{i}]") for i, f in enumerate(a_list(given.get("functions"), "functions"))]
    if not tools:
        return
    choice = _choice(given.get("tool_choice") or given.get("function_call"))
    if isinstance(choice, list):
        wanted = [name for _, *names in choice for name in names]
        tools = [tool for tool in tools if tool.get("name") in wanted]
        choice = {"type": "any" if choice[0][0] == "required" else "auto"}
    if given.get("parallel_tool_calls") is False and (choice or {}).get("type") != "none":
        choice = {**(choice or {"type": "auto"}), "disable_parallel_tool_use": True}
    body["tools"] = tools
    if choice:
        body["tool_choice"] = choice


def _tool(tool: Any, where: str) -> dict[str, Any]:
    given = an_object(tool, where)
    if given.get("type", "function") != "function":
        return given  # Anthropic's own server tools
    made = _function(given.get("function"), f"{where}.function")
    if given.get("cache_control"):
        made["cache_control"] = given["cache_control"]
    return made


def _function(function: Any, where: str) -> dict[str, Any]:
    given = an_object(function, where)
    made: dict[str, Any] = {"name": a_string(given.get("name"), f"{where}.name")}
    if given.get("description"):
        made["description"] = given["description"]
    made["input_schema"] = given.get("parameters") or {"type": "object", "properties": {}}
    if given.get("strict"):
        made["strict"] = True
    return made


def _choice(choice: Any) -> dict[str, Any] | list[tuple[str, ...]] | None:
    """Anthropic's tool_choice; for `allowed_tools` its mode and names."""
    match choice:
        case None:
            return None
        case "auto" | "none":
            return {"type": choice}
        case "required" | "any":
            return {"type": "any"}
        case {"type": "allowed_tools", "allowed_tools": {"mode": str(mode), "tools": list(tools)}}:
            return [(mode, *(str(t.get("function", t).get("name")) for t in tools if isinstance(t, dict)))]
        case {"function": {"name": str(name)}} | {"type": "tool", "name": str(name)} | {"name": str(name)}:
            return {"type": "tool", "name": name}
        case _:
            raise invalid("tool_choice", "must be auto, none, required, or name a function")


def _output_format(given: dict[str, Any], body: dict[str, Any]) -> None:
    wanted = given.get("response_format")
    if not isinstance(wanted, dict) or wanted.get("type") != "json_schema":
        return
    schema = an_object(wanted.get("json_schema"), "response_format.json_schema").get("schema")
    body["output_config"] = {
        "format": {"type": "json_schema", "schema": an_object(schema, "response_format.json_schema.schema")}
    }


def _thinking(given: dict[str, Any], body: dict[str, Any]) -> None:
    """`reasoning_effort`, or OpenRouter's `reasoning`, as a budget."""
    if "thinking" not in body and (budget := _budget(given, body["max_tokens"])):
        body["thinking"] = {"type": "enabled", "budget_tokens": budget}
    thinking = body.get("thinking")
    if isinstance(thinking, dict) and thinking.get("type") in ("enabled", "adaptive"):
        if body.get("tool_choice", {}).get("type") in ("any", "tool"):
            del body["thinking"]  # a forced call leaves no room to think: Anthropic refuses both
        else:
            for name in ("temperature", "top_k"):  # fixed while it thinks
                body.pop(name, None)


def _budget(given: dict[str, Any], max_tokens: int) -> int:
    wanted = given.get("reasoning")
    wanted = an_object(wanted, "reasoning") if wanted is not None else {}
    effort = wanted.get("effort") or given.get("reasoning_effort")
    if wanted.get("max_tokens"):
        budget = wanted["max_tokens"]
        if not isinstance(budget, int):
            raise invalid("reasoning.max_tokens", "must be a whole number")
    elif isinstance(effort, str) and effort in _SHARE_OF_THINKING:
        budget = min(_MOST_THINKING, int(max_tokens * _SHARE_OF_THINKING[effort]))
    elif wanted.get("enabled"):
        budget = min(_MOST_THINKING, max_tokens // 2)
    elif effort is None or effort == "none":
        return 0
    else:
        raise invalid("reasoning_effort", f"must be none, {', '.join(_SHARE_OF_THINKING)} (is {str(effort)[:32]!r})")
    budget = max(_LEAST_THINKING, budget)
    return budget if budget < max_tokens else 0  # no room beside the answer
