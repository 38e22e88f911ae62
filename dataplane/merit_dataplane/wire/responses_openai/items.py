"""The conversation: items of `input` as a chat's messages. What an assistant thought, said, called is one message."""

from typing import Any

import msgspec

from merit_dataplane.wire.openai_anthropic.fields import a_list, a_string, an_object, invalid
from merit_dataplane.wire.sealed import MARK, unseal

Item = dict[str, Any]
Message = dict[str, Any]
FORMAT = "openai-responses-v1"
"""OpenRouter's name of OpenAI's thoughts."""
_encode = msgspec.json.Encoder().encode


class _Talk:
    """Messages so far, and the assistant's that is being put together."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self._assistant: Message | None = None

    def add(self, message: Message) -> None:
        self._assistant = None
        self.messages.append(message)

    def assistant(self) -> Message:
        if self._assistant is None:
            self._assistant = {"role": "assistant", "content": None}
            self.messages.append(self._assistant)
        return self._assistant

    def says(self, text: str) -> None:
        message = self.assistant()
        message["content"] = f"{message['content']}\n{text}" if message["content"] else text

    def calls(self, identity: str, name: str, arguments: str) -> None:
        call = {"id": identity, "type": "function", "function": {"name": name, "arguments": arguments}}
        self.assistant().setdefault("tool_calls", []).append(call)

    def thinks(self, details: list[Item], spoken: str) -> None:
        message = self.assistant()
        if details:
            message.setdefault("reasoning_details", []).extend(details)
        if spoken:
            message["reasoning_content"] = message.get("reasoning_content", "") + spoken


def conversation(given: dict[str, Any], only_there: list[str]) -> list[Message]:
    """A chat's messages. Adds to `only_there` the fields that only Responses have.

    Raises RequestError (400) that names the field.
    """
    talk = _Talk()
    if given.get("instructions"):
        talk.add({"role": "system", "content": a_string(given["instructions"], "instructions")})
    if isinstance(given["input"], str):
        talk.add({"role": "user", "content": given["input"]})
        return talk.messages
    for place, item in enumerate(a_list(given["input"], "input")):
        _item(an_object(item, f"input[{place}]"), f"input[{place}]", talk, only_there)
    return talk.messages


def _item(item: Item, where: str, talk: _Talk, only_there: list[str]) -> None:
    match item.get("type", "message"):
        case "message":
            _message(item, where, talk, only_there)
        case "function_call":
            name, arguments = (a_string(item.get(field), f"{where}.{field}") for field in ("name", "arguments"))
            talk.calls(_call_id(item, where), name, arguments)
        case "custom_tool_call":
            arguments = _encode({"input": a_string(item.get("input"), f"{where}.input")}).decode()
            talk.calls(_call_id(item, where), a_string(item.get("name"), f"{where}.name"), arguments)
        case "function_call_output" | "custom_tool_call_output":
            content = item.get("output")
            shown = content if isinstance(content, str) else _parts(content, f"{where}.output", only_there)
            talk.add({"role": "tool", "tool_call_id": _call_id(item, where), "content": shown})
        case "reasoning":
            _thought(item, where, talk)
        case "item_reference":
            message = "names a stored item, and Merit stores none: send the item itself"
            raise invalid(where, message)
        case _:
            only_there.append(where)


def _call_id(item: Item, where: str) -> str:
    return a_string(item.get("call_id"), f"{where}.call_id")


def _message(item: Item, where: str, talk: _Talk, only_there: list[str]) -> None:
    content = item.get("content")
    shown = content if isinstance(content, str) else _parts(content, f"{where}.content", only_there)
    match item.get("role"):
        case "assistant":
            talk.says(shown if isinstance(shown, str) else "".join(str(p.get("text") or "") for p in shown))
        case "system" | "developer":
            talk.add({"role": "system", "content": shown})
        case "user":
            talk.add({"role": "user", "content": shown})
        case _:
            raise invalid(f"{where}.role", "must be user, assistant, system or developer")


def _thought(item: Item, where: str, talk: _Talk) -> None:
    said, summed = (_texts(item.get(field), f"{where}.{field}") for field in ("content", "summary"))
    encrypted = str(item.get("encrypted_content") or "")
    if encrypted.startswith(MARK):
        talk.thinks(unseal(encrypted, said or summed), said)
        return
    details: list[Item] = []
    if summed:
        details.append({"type": "reasoning.summary", "summary": summed, "format": FORMAT})
    if encrypted:
        details.append({"type": "reasoning.encrypted", "data": encrypted, "id": item.get("id"), "format": FORMAT})
    talk.thinks(details, said)


def _texts(parts: Any, where: str) -> str:
    return "".join(str(part.get("text") or "") for part in a_list(parts, where) if isinstance(part, dict))


def _parts(content: Any, where: str, only_there: list[str]) -> list[Item] | str:
    """Parts of a chat's message; one of plain text is text."""
    made: list[Item] = []
    for place, given in enumerate(a_list(content, where)):
        at = f"{where}[{place}]"
        part = an_object(given, at)
        match part.get("type"):
            case "input_text" | "output_text" | "text" | "summary_text":
                made.append({"type": "text", "text": a_string(part.get("text"), f"{at}.text")})
            case "refusal":
                made.append({"type": "text", "text": a_string(part.get("refusal"), f"{at}.refusal")})
            case "input_image" if part.get("image_url"):
                image = {"url": part["image_url"]} | ({"detail": part["detail"]} if part.get("detail") else {})
                made.append({"type": "image_url", "image_url": image})
            case "input_file" if part.get("file_data"):
                file = {name: part[name] for name in ("filename", "file_data") if name in part}
                made.append({"type": "file", "file": file})
            case "input_audio" if isinstance(part.get("input_audio"), dict):
                made.append({"type": "input_audio", "input_audio": part["input_audio"]})
            case _:
                only_there.append(at)
    if len(made) == 1 and made[0]["type"] == "text":
        return str(made[0]["text"])
    return made
