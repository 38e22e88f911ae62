"""The conversation: OpenAI's messages as Anthropic's system blocks and turns.

System and developer messages, wherever they stand, become the system prompt. Neighbours of one role are one turn:
Anthropic wants all results of a turn's tool calls in the one that follows.
"""

import re
from collections.abc import Iterator
from typing import Any

import msgspec

from merit_dataplane.wire.delta_lists import unplaced
from merit_dataplane.wire.openai_anthropic.fields import a_list, a_string, an_object, invalid
from merit_dataplane.wire.openai_turns import turns_of

Block = dict[str, Any]
_DATA_URL = re.compile(r"data:([\w.+-]+/[\w.+-]+)(?:;[\w=.-]+)*;base64,", re.ASCII)
_ROLES = "system, developer, user, assistant, tool or function"


def conversation(messages: Any) -> tuple[list[Block], list[dict[str, Any]]]:
    """System blocks and turns. Raises RequestError (400) that names the message's field."""
    system, turns = turns_of(messages, _turn)
    _end_of_prefix(turns)
    return system, turns


def _turn(message: Block, where: str) -> tuple[str, list[Block]]:
    role = message.get("role")
    match role:
        case "system" | "developer":
            return "system", list(_parts(message, where))
        case "user":
            return "user", list(_parts(message, where))
        case "assistant":
            return "assistant", list(_assistant(message, where))
        case "tool" | "function":
            return "user", [_tool_result(message, where)]
        case _:
            raise invalid(f"{where}.role", f"must be {_ROLES}")


def _end_of_prefix(turns: list[dict[str, Any]]) -> None:
    """Anthropic refuses a conversation whose last words are the assistant's and end in white space."""
    if turns and turns[-1]["role"] == "assistant":
        last = turns[-1]["content"][-1]
        if last["type"] == "text" and isinstance(last.get("text"), str):
            last["text"] = last["text"].rstrip()
            if not last["text"]:
                turns[-1]["content"].pop()
                if not turns[-1]["content"]:
                    turns.pop()


def _assistant(message: Block, where: str) -> Iterator[Block]:
    for place, given in enumerate(a_list(message.get("reasoning_details"), f"{where}.reasoning_details")):
        yield from _thought(an_object(given, f"{where}.reasoning_details[{place}]"))
    for place, given in enumerate(a_list(message.get("provider_blocks"), f"{where}.provider_blocks")):
        at = f"{where}.provider_blocks[{place}]"
        block = unplaced(an_object(given, at))
        if "type" in block or not block:  # Gemini's have none
            a_string(block.get("type"), f"{at}.type")
            yield block
    yield from _parts(message, where)
    if message.get("refusal") and not message.get("content"):
        yield {"type": "text", "text": a_string(message["refusal"], f"{where}.refusal")}
    for place, given in enumerate(a_list(message.get("tool_calls"), f"{where}.tool_calls")):
        at = f"{where}.tool_calls[{place}]"
        call = an_object(given, at)
        yield _marked(call, _tool_use(call.get("function"), f"{at}.function", call.get("id")))
    if message.get("function_call"):
        yield _tool_use(message["function_call"], f"{where}.function_call", None)


def _thought(detail: Block) -> Iterator[Block]:
    """Anthropic checks a thought's signature: without one, or with another vendor's, it can't be given back."""
    if not str(detail.get("format") or "anthropic").startswith("anthropic"):
        return
    if detail.get("type") == "reasoning.encrypted" and detail.get("data"):
        yield {"type": "redacted_thinking", "data": detail["data"]}
    elif detail.get("signature"):
        yield {"type": "thinking", "thinking": detail.get("text") or "", "signature": detail["signature"]}


def _tool_use(function: Any, where: str, identity: Any) -> Block:
    called = an_object(function, where)
    name = a_string(called.get("name"), f"{where}.name")
    arguments = a_string(called.get("arguments") or "{}", f"{where}.arguments")
    try:
        given = msgspec.json.decode(arguments)
    except (ValueError, RecursionError):
        given = None
    if not isinstance(given, dict):
        raise invalid(f"{where}.arguments", "must be the text of a JSON object")
    # a Raw keeps numbers and the order of keys as they were written
    return {"type": "tool_use", "id": identity or name, "name": name, "input": msgspec.Raw(arguments.encode())}


def _tool_result(message: Block, where: str) -> Block:
    identity = message.get("tool_call_id") or message.get("name")
    if not identity:
        raise invalid(f"{where}.tool_call_id", "must be the id of the tool call that this is the result of")
    content = message.get("content")
    result: Block = {"type": "tool_result", "tool_use_id": a_string(identity, f"{where}.tool_call_id")}
    result["content"] = content if isinstance(content, str) else list(_parts(message, where))
    return _marked(message, result)


def _parts(message: Block, where: str) -> Iterator[Block]:
    content = message.get("content")
    if content is None:
        return
    if isinstance(content, str):
        if content:  # Anthropic refuses empty text
            yield _marked(message, {"type": "text", "text": content})
        return
    if not isinstance(content, list):
        raise invalid(f"{where}.content", "must be a string or a list of parts")
    for place, given in enumerate(content):
        at = f"{where}.content[{place}]"
        part = an_object(given, at)
        block = _part(part, at)
        if block is not None:
            yield _marked(part, block)


def _part(part: Block, where: str) -> Block | None:
    kind = part.get("type")
    match kind:
        case "text":
            text = a_string(part.get("text"), f"{where}.text")
            return {"type": "text", "text": text} if text else None
        case "refusal":
            return {"type": "text", "text": a_string(part.get("refusal"), f"{where}.refusal")}
        case "image_url":
            image = an_object(part.get("image_url"), f"{where}.image_url")
            url = a_string(image.get("url"), f"{where}.image_url.url")
            return {"type": "image", "source": _source(url, f"{where}.image_url.url")}
        case "file":
            return _file(an_object(part.get("file"), f"{where}.file"), f"{where}.file")
        case "document" | "search_result" | "image":  # Anthropic's own, from a client that knows who answers
            return dict(part)
        case _:
            raise invalid(f"{where}.type", f"{str(kind)[:64]!r} can't be sent to a provider of the protocol Anthropic")


def _file(file: Block, where: str) -> Block:
    if file.get("file_id"):
        source: Block = {"type": "file", "file_id": file["file_id"]}
    else:
        source = _source(a_string(file.get("file_data"), f"{where}.file_data"), f"{where}.file_data")
    block: Block = {"type": "document", "source": source}
    if file.get("filename"):
        block["title"] = file["filename"]
    return block


def _source(url: str, where: str) -> Block:
    if found := _DATA_URL.match(url):
        return {"type": "base64", "media_type": found[1], "data": url[found.end() :]}
    if url.startswith(("https://", "http://")):
        return {"type": "url", "url": url}
    raise invalid(where, "must be an http(s) URL or a data URL with base64")


def _marked(given: Block, block: Block) -> Block:
    """The client's own cache mark is kept."""
    if given.get("cache_control"):
        block["cache_control"] = given["cache_control"]
    return block
