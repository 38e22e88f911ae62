"""Tools, and a JSON schema for the answer: OpenAI's as Bedrock's `toolConfig` and `outputConfig`."""

from typing import Any

import msgspec

from merit_dataplane.wire.openai_anthropic.fields import a_list, a_string, an_object, invalid
from merit_dataplane.wire.openai_bedrock.families import can_be_forced, is_claude, is_nova, keeps_to_schemas
from merit_dataplane.wire.openai_bedrock.messages import cache_point

SCHEMA_TOOL = "merit_answer"
"""The tool whose arguments are the answer, for models that know no schemas but those of tools."""
_ANY: dict[str, Any] = {"any": {}}
_encode = msgspec.json.Encoder().encode


def tools(given: dict[str, Any], called: list[str], model: str, body: dict[str, Any]) -> None:
    """Writes `toolConfig`. `called`: names of the tools in the conversation, which Bedrock wants to know.

    Raises RequestError (400).
    """
    specs: list[dict[str, Any]] = []
    for place, tool in enumerate(a_list(given.get("tools"), "tools")):
        specs += _tool(an_object(tool, f"tools[{place}]"), f"tools[{place}]", model, body)
    for place, function in enumerate(a_list(given.get("functions"), "functions")):
        specs.append(_spec(function, f"functions[{place}]", model))
    choice, names = _choice(given.get("tool_choice") or given.get("function_call"))
    if names is not None:
        specs = [spec for spec in specs if spec.get("toolSpec", {}).get("name") in names]
    if choice == "none":  # there is no such choice: a tool that isn't there can't be called
        choice, specs = None, []
    if not specs:
        specs = [_known_by_name(name) for name in called]
    if not specs:
        return
    config: dict[str, Any] = {"tools": specs}
    if isinstance(choice, dict):
        if not can_be_forced(model):
            choice = {"auto": {}}
        config["toolChoice"] = choice
    if given.get("parallel_tool_calls") is False and is_claude(model):
        _one_at_a_time(config, body)
    body["toolConfig"] = config


def schema(given: dict[str, Any], model: str, body: dict[str, Any]) -> None:
    """Writes what makes the answer keep to `response_format`'s schema. Raises RequestError (400)."""
    wanted = given.get("response_format")
    if not isinstance(wanted, dict) or wanted.get("type") != "json_schema":
        return
    named = an_object(wanted.get("json_schema"), "response_format.json_schema")
    wished = an_object(named.get("schema"), "response_format.json_schema.schema")
    if keeps_to_schemas(model):
        definition = {"schema": _encode(wished).decode()}
        definition |= {name: named[name] for name in ("name", "description") if isinstance(named.get(name), str)}
        body.setdefault("outputConfig", {})["textFormat"] = {
            "type": "json_schema",
            "structure": {"jsonSchema": definition},
        }
        return
    config = body.setdefault("toolConfig", {"tools": []})
    about = named.get("description") or "Gives the answer. Call it once, at the end, in place of writing text."
    config["tools"].append({
        "toolSpec": {"name": SCHEMA_TOOL, "description": about, "inputSchema": {"json": wished}},
    })  # fmt: skip
    if can_be_forced(model):
        config["toolChoice"] = _ANY


def forced(body: dict[str, Any]) -> bool:
    """Whether the model has to call a tool."""
    choice = body.get("toolConfig", {}).get("toolChoice") or {}
    own = body.get("additionalModelRequestFields", {}).get("tool_choice")
    return "any" in choice or "tool" in choice or (isinstance(own, dict) and own.get("type") in ("any", "tool"))


def _tool(tool: dict[str, Any], where: str, model: str, body: dict[str, Any]) -> list[dict[str, Any]]:
    if {"toolSpec", "systemTool", "cachePoint"} & tool.keys():  # Bedrock's own
        return [tool]
    if tool.get("type", "function") != "function":
        if not is_claude(model):
            raise invalid(f"{where}.type", "must be function for this model")
        own = body.setdefault("additionalModelRequestFields", {})
        own["tools"] = [*a_list(own.get("tools"), "additionalModelRequestFields.tools"), tool]
        return []
    made = [_spec(tool.get("function"), f"{where}.function", model)]
    if tool.get("cache_control") and not is_nova(model):  # Nova caches no tools, and refuses the mark
        made.append(cache_point(tool["cache_control"]))
    return made


def _spec(function: Any, where: str, model: str) -> dict[str, Any]:
    given = an_object(function, where)
    made: dict[str, Any] = {"name": a_string(given.get("name"), f"{where}.name")}
    if given.get("description"):
        made["description"] = given["description"]
    made["inputSchema"] = {"json": given.get("parameters") or {"type": "object", "properties": {}}}
    if given.get("strict") and keeps_to_schemas(model):
        made["strict"] = True
    return {"toolSpec": made}


def _known_by_name(name: str) -> dict[str, Any]:
    return {"toolSpec": {"name": name, "inputSchema": {"json": {"type": "object"}}}}


def _choice(choice: Any) -> tuple[dict[str, Any] | str | None, list[str] | None]:
    """Bedrock's toolChoice (or `none`), and the names that `allowed_tools` leaves."""
    match choice:
        case None | "auto":
            return None, None
        case "none":
            return "none", None
        case "required" | "any":
            return _ANY, None
        case {"type": "allowed_tools", "allowed_tools": {"mode": str(mode), "tools": list(allowed)}}:
            names = [str(t.get("function", t).get("name")) for t in allowed if isinstance(t, dict)]
            return (_ANY if mode == "required" else None), names
        case {"function": {"name": str(name)}} | {"type": "tool", "name": str(name)} | {"name": str(name)}:
            return {"tool": {"name": name}}, None
        case _:
            raise invalid("tool_choice", "must be auto, none, required, or name a function")


def _one_at_a_time(config: dict[str, Any], body: dict[str, Any]) -> None:
    """Claude's own field: Bedrock's format has none. Bedrock refuses both choices at once."""
    match config.pop("toolChoice", None):
        case {"any": _}:
            choice: dict[str, Any] = {"type": "any"}
        case {"tool": {"name": name}}:
            choice = {"type": "tool", "name": name}
        case _:
            choice = {"type": "auto"}
    fields = body.setdefault("additionalModelRequestFields", {})
    fields["tool_choice"] = {**choice, "disable_parallel_tool_use": True}
