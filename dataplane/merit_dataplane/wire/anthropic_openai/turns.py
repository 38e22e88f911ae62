"""The conversation: Anthropic's system prompt and turns as OpenAI's messages.

What an assistant's turn did besides talking (searches, code that a server ran) goes into `provider_blocks`. A document,
a picture and a result keep their place; text keeps its cache mark.
"""

from collections.abc import Iterator
from typing import Any

import msgspec

from merit_dataplane.wire.openai_anthropic.answer import detail
from merit_dataplane.wire.openai_anthropic.fields import a_list, a_string, an_object, invalid
from merit_dataplane.wire.sealed import unseal

Part = dict[str, Any]
Message = dict[str, Any]
_encode = msgspec.json.Encoder().encode


def conversation(given: dict[str, Any], only_there: list[str]) -> list[Message]:
    """OpenAI's messages. Adds to `only_there` the fields that only Anthropic's protocol can say.

    Raises RequestError (400) that names the field.
    """
    made: list[Message] = []
    if given.get("system"):
        made.append({"role": "system", "content": _content(given["system"], "system", only_there)})
    for place, turn in enumerate(a_list(given.get("messages"), "messages")):
        where = f"messages[{place}]"
        message = an_object(turn, where)
        content = message.get("content")
        if not isinstance(content, str | list):
            raise invalid(f"{where}.content", "must be a string or a list of blocks")
        match message.get("role"):
            case "user":
                made += _user(content, f"{where}.content", only_there)
            case "assistant":
                made.append(_assistant(content, f"{where}.content"))
            case "system":
                made.append({"role": "system", "content": _content(content, f"{where}.content", only_there)})
            case _:
                raise invalid(f"{where}.role", "must be user, assistant or system")
    return made


def _content(content: Any, where: str, only_there: list[str]) -> str | list[Part]:
    """Text as it is, or parts; one block of plain text is text."""
    if isinstance(content, str):
        return content
    parts = [part for at, block in _blocks(content, where) for part in _parts(block, at, only_there)]
    if len(parts) == 1 and parts[0].keys() == {"type", "text"}:
        return str(parts[0]["text"])
    return parts


def _blocks(content: Any, where: str) -> Iterator[tuple[str, Part]]:
    for place, block in enumerate(a_list(content, where)):
        yield f"{where}[{place}]", an_object(block, f"{where}[{place}]")


def _user(content: str | list[Any], where: str, only_there: list[str]) -> Iterator[Message]:
    """Results of tools first, each a message: OpenAI wants them right after the calls."""
    if isinstance(content, str):
        yield {"role": "user", "content": content}
        return
    others = []
    for at, block in _blocks(content, where):
        if block.get("type") == "tool_result":
            yield _result(block, at, only_there)
        else:
            others += list(_parts(block, at, only_there))
    if len(others) == 1 and others[0].keys() == {"type", "text"}:
        yield {"role": "user", "content": others[0]["text"]}
    elif others:
        yield {"role": "user", "content": others}


def _result(block: Part, where: str, only_there: list[str]) -> Message:
    content = block.get("content")
    made: Message = {
        "role": "tool",
        "tool_call_id": a_string(block.get("tool_use_id"), f"{where}.tool_use_id"),
        "content": "" if content is None else _content(content, f"{where}.content", only_there),
    }
    if block.get("is_error"):
        made["is_error"] = True
    return _marked(block, made)


def _assistant(content: str | list[Any], where: str) -> Message:
    if isinstance(content, str):
        return {"role": "assistant", "content": content}
    texts: list[str] = []
    calls, thoughts, others = [], list[Part](), []
    for at, block in _blocks(content, where):
        match block.get("type"):
            case "text":
                texts.append(a_string(block.get("text"), f"{at}.text"))
            case "tool_use":
                calls.append(_call(block, at))
            case "thinking":
                thoughts += _thought(block)
            case "redacted_thinking":
                thoughts += [made for made in [detail("redacted_thinking", "", "", str(block.get("data")))] if made]
            case _:
                others.append(block)
    message: Message = {"role": "assistant", "content": "".join(texts) if texts else None}
    if thoughts:
        message["reasoning_details"] = [{**thought, "index": place} for place, thought in enumerate(thoughts)]
        if spoken := "".join(str(thought.get("text") or "") for thought in thoughts):
            message["reasoning_content"] = spoken
    if others:
        message["provider_blocks"] = others
    if calls:
        message["tool_calls"] = calls
    return message


def _call(block: Part, where: str) -> Part:
    arguments = _encode(an_object(block.get("input"), f"{where}.input")).decode()
    name = a_string(block.get("name"), f"{where}.name")
    function = {"name": name, "arguments": arguments}
    return _marked(block, {"id": a_string(block.get("id"), f"{where}.id"), "type": "function", "function": function})


def _thought(block: Part) -> list[Part]:
    spoken, signature = str(block.get("thinking") or ""), str(block.get("signature") or "")
    if sealed := unseal(signature, spoken):
        return sealed
    made = detail("thinking", spoken, signature, "")
    return [made] if made else []


def _parts(block: Part, where: str, only_there: list[str]) -> Iterator[Part]:
    source = block.get("source")
    match block.get("type"):
        case "text":
            yield _marked(block, {"type": "text", "text": a_string(block.get("text"), f"{where}.text")})
        case "image":
            if url := _url(an_object(source, f"{where}.source")):
                yield _marked(block, {"type": "image_url", "image_url": {"url": url}})
            else:
                only_there.append(f"{where}.source")
        case "document":
            yield from _document(block, where, only_there)
        case "search_result":
            if _cited(block):
                only_there.append(f"{where}.citations")
            texts = [str(part.get("text")) for part in a_list(block.get("content"), where) if isinstance(part, dict)]
            head = [str(block.get(name)) for name in ("title", "source") if block.get(name)]
            yield _marked(block, {"type": "text", "text": "\n".join([*head, *texts])})
        case _:
            only_there.append(f"{where}.type")


def _document(block: Part, where: str, only_there: list[str]) -> Iterator[Part]:
    source = an_object(block.get("source"), f"{where}.source")
    if _cited(block):
        only_there.append(f"{where}.citations")
    about = "\n".join(str(block[name]) for name in ("title", "context") if block.get(name))
    match source.get("type"):
        case "base64":
            name = str(block.get("title") or "document.pdf")
            yield _marked(block, {"type": "file", "file": {"filename": name, "file_data": _url(source)}})
            if block.get("context"):
                yield {"type": "text", "text": str(block["context"])}
        case "text":
            text = a_string(source.get("data"), f"{where}.source.data")
            yield _marked(block, {"type": "text", "text": f"{about}\n{text}" if about else text})
        case "content":
            if about:
                yield {"type": "text", "text": about}
            content = source.get("content")
            if isinstance(content, str):
                yield _marked(block, {"type": "text", "text": content})
                return
            for at, part in _blocks(content, f"{where}.source.content"):
                yield from _parts(part, at, only_there)
        case _:
            only_there.append(f"{where}.source")


def _cited(block: Part) -> bool:
    wanted = block.get("citations")
    return isinstance(wanted, dict) and bool(wanted.get("enabled"))


def _url(source: Part) -> str:
    """A data or http URL; empty where it is Anthropic's own file."""
    match source.get("type"):
        case "base64":
            return f"data:{source.get('media_type')};base64,{source.get('data')}"
        case "url":
            return str(source.get("url"))
    return ""


def _marked(block: Part, made: Part) -> Part:
    if block.get("cache_control"):
        made["cache_control"] = block["cache_control"]
    return made
