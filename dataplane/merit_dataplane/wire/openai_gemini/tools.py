"""Functions that the model may call, and which of them it must."""

from typing import Any

from merit_dataplane.wire.openai_anthropic.fields import a_list, a_string, an_object, invalid
from merit_dataplane.wire.openai_gemini.schema import cleaned


def tools(given: dict[str, Any], body: dict[str, Any]) -> None:
    """Writes `tools` and `toolConfig`. Raises RequestError (400)."""
    functions: list[dict[str, Any]] = []
    made: list[dict[str, Any]] = []
    for place, each in enumerate(a_list(given.get("tools"), "tools")):
        tool = an_object(each, f"tools[{place}]")
        if tool.get("type", "") == "function" or "function" in tool:
            functions.append(_function(tool.get("function"), f"tools[{place}].function"))
        elif "type" in tool:
            raise invalid(f"tools[{place}].type", f"{str(tool['type'])[:64]!r} is no tool of the protocol Gemini")
        else:
            made.append(tool)  # Gemini's own: googleSearch, codeExecution, …
    functions += [_function(f, f"functions[{i}]") for i, f in enumerate(a_list(given.get("functions"), "functions"))]
    if given.get("web_search_options") is not None and not functions:  # the two together are refused by most models
        made.append({"googleSearch": {}})
    config: dict[str, Any] | None = None
    if functions:
        config, functions = _choice(given.get("tool_choice") or given.get("function_call"), functions)
        made.append({"functionDeclarations": functions})
    if made:
        body["tools"] = made
    if config:
        body["toolConfig"] = {"functionCallingConfig": config}


def _function(function: Any, where: str) -> dict[str, Any]:
    given = an_object(function, where)
    made: dict[str, Any] = {"name": a_string(given.get("name"), f"{where}.name")}
    if given.get("description"):
        made["description"] = a_string(given["description"], f"{where}.description")
    parameters = given.get("parameters")
    if parameters is not None:
        schema = cleaned(an_object(parameters, f"{where}.parameters"))
        if schema.get("properties") or "$ref" in schema or "anyOf" in schema:
            made["parametersJsonSchema"] = schema  # a function without parameters has none
    return made


def _choice(choice: Any, functions: list[dict[str, Any]]) -> tuple[dict[str, Any] | None, list[dict[str, Any]]]:
    """Gemini's config, and the functions that may be called."""
    match choice:
        case None | "auto":
            return None, functions
        case "none":
            return {"mode": "NONE"}, functions
        case "required" | "any":
            return {"mode": "ANY"}, functions
        case {"type": "allowed_tools", "allowed_tools": {"mode": str(mode), "tools": list(allowed)}}:
            names = [_name(tool) for tool in allowed]
            if mode == "required":
                return {"mode": "ANY", "allowedFunctionNames": names}, functions
            return None, [function for function in functions if function["name"] in names]
        case {"function": {"name": str(name)}} | {"name": str(name)}:
            return {"mode": "ANY", "allowedFunctionNames": [name]}, functions
        case _:
            raise invalid("tool_choice", "must be auto, none, required, or name a function")


def _name(tool: Any) -> str:
    match tool:
        case {"function": {"name": str(name)}} | {"name": str(name)}:
            return name
    raise invalid("tool_choice.allowed_tools.tools", "must name functions")
