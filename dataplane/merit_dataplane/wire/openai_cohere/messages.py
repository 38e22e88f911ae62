"""The conversation: OpenAI's messages as Cohere's, and the documents that stand in them."""

import base64
import binascii
import re
from typing import Any

import msgspec

from merit_dataplane.wire.openai_anthropic.fields import a_list, a_string, an_object, invalid

Block = dict[str, Any]
_DATA_URL = re.compile(r"data:((?:text/[\w.+-]+)|application/json)(?:;[\w=.-]+)*;base64,", re.ASCII)
_ROLES = "system, developer, user, assistant, tool or function"


def conversation(messages: Any) -> tuple[list[Block], list[Block]]:
    """Cohere's messages and documents. Raises RequestError (400) that names the message's field."""
    made: list[Block] = []
    documents: list[Block] = []
    for place, given in enumerate(a_list(messages, "messages")):
        where = f"messages[{place}]"
        made.append(_message(an_object(given, where), where, documents))
    return made, documents


def _message(message: Block, where: str, documents: list[Block]) -> Block:
    role = message.get("role")
    match role:
        case "system" | "developer":
            return {"role": "system", "content": _content(message, where, documents)}
        case "user":
            return {"role": "user", "content": _content(message, where, documents)}
        case "assistant":
            return _assistant(message, where, documents)
        case "tool" | "function":
            return _tool_result(message, where, documents)
        case _:
            raise invalid(f"{where}.role", f"must be {_ROLES}")


def _assistant(message: Block, where: str, documents: list[Block]) -> Block:
    made: Block = {"role": "assistant"}
    content = _content(message, where, documents)
    if not content and message.get("refusal"):
        content = a_string(message["refusal"], f"{where}.refusal")
    calls = [
        _tool_call(an_object(given, f"{where}.tool_calls[{i}]"), f"{where}.tool_calls[{i}]")
        for i, given in enumerate(a_list(message.get("tool_calls"), f"{where}.tool_calls"))
    ]
    if message.get("function_call"):
        called = an_object(message["function_call"], f"{where}.function_call")
        calls.append(_tool_call({"id": called.get("name"), "function": called}, f"{where}.function_call"))
    if content or not calls:
        made["content"] = content
    if calls:
        made["tool_calls"] = calls
    return made


def _tool_call(call: Block, where: str) -> Block:
    function = an_object(call.get("function"), f"{where}.function")
    name = a_string(function.get("name"), f"{where}.function.name")
    arguments = a_string(function.get("arguments") or "{}", f"{where}.function.arguments")
    try:
        given = msgspec.json.decode(arguments)
    except (ValueError, RecursionError):
        given = None
    if not isinstance(given, dict):
        raise invalid(f"{where}.function.arguments", "must be the text of a JSON object")
    identity = a_string(call.get("id") or name, f"{where}.id")
    return {"id": identity, "type": "function", "function": {"name": name, "arguments": arguments}}


def _tool_result(message: Block, where: str, documents: list[Block]) -> Block:
    identity = message.get("tool_call_id") or message.get("name")
    if not identity:
        raise invalid(f"{where}.tool_call_id", "must be the id of the tool call that this is the result of")
    content = _content(message, where, documents)
    return {"role": "tool", "tool_call_id": a_string(identity, f"{where}.tool_call_id"), "content": content}


def _content(message: Block, where: str, documents: list[Block]) -> str | list[Block]:
    content = message.get("content")
    if content is None or isinstance(content, str):
        return content or ""
    if not isinstance(content, list):
        raise invalid(f"{where}.content", "must be a string or a list of parts")
    parts = [_part(part, f"{where}.content[{i}]", documents) for i, part in enumerate(content)]
    return [part for part in parts if part is not None]


def _part(given: Any, where: str, documents: list[Block]) -> Block | None:
    part = an_object(given, where)
    kind = part.get("type")
    match kind:
        case "text" | "refusal":
            return {"type": "text", "text": a_string(part.get(kind), f"{where}.{kind}")}
        case "image_url":
            image = an_object(part.get("image_url"), f"{where}.image_url")
            url = a_string(image.get("url"), f"{where}.image_url.url")
            kept = {name: image[name] for name in ("detail",) if image.get(name)}
            return {"type": "image_url", "image_url": {"url": url, **kept}}
        case "document" | "thinking":  # Cohere's own, from a client that knows who answers
            return dict(part)
        case "file":
            documents.append(_document(an_object(part.get("file"), f"{where}.file"), f"{where}.file", len(documents)))
            return None
        case _:
            raise invalid(f"{where}.type", f"{str(kind)[:64]!r} can't be sent to a provider of the protocol Cohere")


def _document(file: Block, where: str, place: int) -> Block:
    """Cohere's documents are texts."""
    given = a_string(file.get("file_data"), f"{where}.file_data")
    found = _DATA_URL.match(given)
    if found is None:
        raise invalid(f"{where}.file_data", "must be a data URL of a text with base64: Cohere reads no other file")
    try:
        text = base64.b64decode(given[found.end() :], validate=True).decode()
    except (binascii.Error, ValueError):
        raise invalid(f"{where}.file_data", "must be base64 of UTF-8") from None
    data = {"text": text}
    if file.get("filename"):
        data["title"] = a_string(file["filename"], f"{where}.filename")
    return {"id": f"file:{place}", "data": data}
