"""The conversation: OpenAI's messages as Gemini's system instruction and contents.

System and developer messages, wherever they stand, become the system instruction. All results of a turn's function
calls stand in the one content that follows it: Gemini counts them.
"""

from collections.abc import Iterator
from typing import Any

import msgspec

from merit_dataplane.wire.delta_lists import unplaced
from merit_dataplane.wire.openai_anthropic.fields import a_list, a_string, an_object, invalid
from merit_dataplane.wire.openai_gemini.media import Part, part_of
from merit_dataplane.wire.openai_gemini.thoughts import signature_of, signatures, thought_parts

_ROLES = "system, developer, user, assistant, tool or function"
OUR_ID = "call_merit_"
"""Begins ids that Gemini did not give, and so gets never to see."""


def conversation(messages: Any) -> tuple[list[Part], list[dict[str, Any]]]:
    """Parts of the system instruction, and contents. Raises RequestError (400) that names the message's field."""
    system: list[Part] = []
    contents: list[dict[str, Any]] = []
    called: dict[str, str] = {}
    for place, given in enumerate(a_list(messages, "messages")):
        where = f"messages[{place}]"
        message = an_object(given, where)
        match message.get("role"):
            case "system" | "developer":
                system += _parts(message, where)
            case "user":
                _add(contents, "user", list(_parts(message, where)))
            case "assistant":
                _add(contents, "model", list(_spoken(message, where, called)))
            case "tool" | "function":
                _add(contents, "user", [_result(message, where, called)])
            case _:
                raise invalid(f"{where}.role", f"must be {_ROLES}")
    if not contents and system:  # Gemini wants something to answer
        return [], [{"role": "user", "parts": system}]
    return system, contents


def _add(contents: list[dict[str, Any]], role: str, parts: list[Part]) -> None:
    if not parts:
        return
    last = contents[-1] if contents else None
    if last is not None and last["role"] == role and _are_results(last["parts"]) == _are_results(parts):
        last["parts"] += parts
    else:
        contents.append({"role": role, "parts": parts})


def _are_results(parts: list[Part]) -> bool:
    return "functionResponse" in parts[0]


def _spoken(message: Part, where: str, called: dict[str, str]) -> Iterator[Part]:
    details = [
        an_object(detail, f"{where}.reasoning_details[{i}]")
        for i, detail in enumerate(a_list(message.get("reasoning_details"), f"{where}.reasoning_details"))
    ]
    yield from thought_parts(details)
    for block in a_list(message.get("provider_blocks"), f"{where}.provider_blocks"):
        part = an_object(block, f"{where}.provider_blocks")
        if "type" not in part:  # others' have one
            yield unplaced(part)
    for place, image in enumerate(a_list(message.get("images"), f"{where}.images")):
        given = an_object(image, f"{where}.images[{place}]")
        yield part_of(given, f"{where}.images[{place}]") | _signed(signature_of(given))
    yield from _parts(message, where)
    if message.get("refusal") and not message.get("content"):
        yield {"text": a_string(message["refusal"], f"{where}.refusal")}
    signed = signatures(details)
    if "" in signed:  # of the text: Gemini itself sends it in a part of its own
        yield {"text": "", "thoughtSignature": signed.pop("")}
    for place, given in enumerate(a_list(message.get("tool_calls"), f"{where}.tool_calls")):
        at = f"{where}.tool_calls[{place}]"
        call = an_object(given, at)
        identity = str(call.get("id") or "")
        part = _call(call.get("function"), f"{at}.function", identity, called)
        yield part | _signed(signature_of(call) or signed.get(identity, ""))
    if message.get("function_call"):
        yield _call(message["function_call"], f"{where}.function_call", "", called)


def _signed(signature: str) -> Part:
    return {"thoughtSignature": signature} if signature else {}


def _call(function: Any, where: str, identity: str, called: dict[str, str]) -> Part:
    given = an_object(function, where)
    name = a_string(given.get("name"), f"{where}.name")
    arguments = a_string(given.get("arguments") or "{}", f"{where}.arguments")
    try:
        whole = isinstance(msgspec.json.decode(arguments), dict)
    except (ValueError, RecursionError):
        whole = False
    if not whole:
        raise invalid(f"{where}.arguments", "must be the text of a JSON object")
    called[identity or name] = name
    # a Raw keeps numbers and the order of keys as they were written
    return {"functionCall": _identified(identity) | {"name": name, "args": msgspec.Raw(arguments.encode())}}


def _identified(identity: str) -> dict[str, str]:
    return {"id": identity} if identity and not identity.startswith(OUR_ID) else {}


def _result(message: Part, where: str, called: dict[str, str]) -> Part:
    identity = message.get("tool_call_id") or message.get("name")
    if not identity:
        raise invalid(f"{where}.tool_call_id", "must be the id of the tool call that this is the result of")
    identity = a_string(identity, f"{where}.tool_call_id")
    name = called.get(identity) or message.get("name")
    if not name:
        raise invalid(f"{where}.tool_call_id", "must be the id of a tool call in an earlier message")
    made: Part = _identified(identity if message.get("tool_call_id") else "")
    made |= {"name": a_string(name, f"{where}.name")}
    content = message.get("content")
    if isinstance(content, str) or content is None:
        return {"functionResponse": made | {"response": _response(content or "")}}
    parts = list(_parts(message, where))
    made["response"] = _response("\n".join(part["text"] for part in parts if "text" in part))
    if media := [part for part in parts if "text" not in part]:
        made["parts"] = media
    return {"functionResponse": made}


def _response(text: str) -> Any:
    """Gemini wants an object: one that the tool wrote stays as it is."""
    try:
        given = msgspec.json.decode(text)
    except (ValueError, RecursionError):
        given = None
    return msgspec.Raw(text.encode()) if isinstance(given, dict) else {"output": text}


def _parts(message: Part, where: str) -> Iterator[Part]:
    content = message.get("content")
    if content is None:
        return
    if isinstance(content, str):
        if content:
            yield {"text": content}
        return
    if not isinstance(content, list):
        raise invalid(f"{where}.content", "must be a string or a list of parts")
    for place, given in enumerate(content):
        at = f"{where}.content[{place}]"
        part = an_object(given, at)
        match part.get("type"):
            case "text" | "refusal" as kind:
                if text := a_string(part.get(kind), f"{at}.{kind}"):
                    yield {"text": text}
            case _:
                yield part_of(part, at)
