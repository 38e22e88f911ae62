"""The conversation: OpenAI's messages as Bedrock's system blocks and turns.

System and developer messages, wherever they stand, become the system prompt. Neighbours of one role are one turn:
Bedrock wants all results of a turn's tool calls in the one that follows.
"""

import hashlib
import re
from collections.abc import Iterator
from typing import Any

import msgspec

from merit_dataplane.wire.delta_lists import unplaced
from merit_dataplane.wire.openai_anthropic.fields import a_list, a_string, an_object, invalid
from merit_dataplane.wire.openai_bedrock.media import medium, sound
from merit_dataplane.wire.openai_turns import turns_of

Block = dict[str, Any]
OWN = frozenset({
    "text", "image", "document", "video", "audio", "toolUse", "toolResult", "guardContent", "cachePoint",
    "reasoningContent", "citationsContent", "searchResult",
})  # fmt: skip
"""Bedrock's own blocks: an object with one of these as its only field is handed on as it is."""
_ROLES = "system, developer, user, assistant, tool or function"
_NOT_IN_IDS = re.compile(r"[^a-zA-Z0-9_.:-]")


def conversation(messages: Any) -> tuple[list[Block], list[dict[str, Any]]]:
    """System blocks and turns. Raises RequestError (400) that names the message's field."""
    system, turns = turns_of(messages, _turn)
    _end_of_prefix(turns)
    return system, turns


def called_tools(turns: list[dict[str, Any]]) -> list[str]:
    """Names of the tools that were called, each once."""
    names = [block["toolUse"]["name"] for turn in turns for block in turn["content"] if "toolUse" in block]
    return list(dict.fromkeys(names))


def cache_point(mark: Any) -> Block:
    """Bedrock's mark for Anthropic's `cache_control`."""
    point: Block = {"type": "default"}
    if isinstance(mark, dict) and mark.get("ttl") in ("5m", "1h"):
        point["ttl"] = mark["ttl"]
    return {"cachePoint": point}


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
            return "user", list(_tool_result(message, where))
        case _:
            raise invalid(f"{where}.role", f"must be {_ROLES}")


def _end_of_prefix(turns: list[dict[str, Any]]) -> None:
    """Claude refuses a conversation whose last words are the assistant's and end in white space."""
    if turns and turns[-1]["role"] == "assistant":
        content = turns[-1]["content"]
        if "text" in content[-1]:
            content[-1]["text"] = content[-1]["text"].rstrip()
            if not content[-1]["text"]:
                content.pop()
                if not content:
                    turns.pop()


def _assistant(message: Block, where: str) -> Iterator[Block]:
    for place, given in enumerate(a_list(message.get("reasoning_details"), f"{where}.reasoning_details")):
        yield from _thought(an_object(given, f"{where}.reasoning_details[{place}]"))
    for given in a_list(message.get("provider_blocks"), f"{where}.provider_blocks"):
        block = unplaced(an_object(given, f"{where}.provider_blocks"))
        if len(block) == 1 and OWN.issuperset(block):  # another vendor's mean nothing here
            yield block
    yield from _parts(message, where)
    if message.get("refusal") and not message.get("content"):
        yield {"text": a_string(message["refusal"], f"{where}.refusal")}
    for place, given in enumerate(a_list(message.get("tool_calls"), f"{where}.tool_calls")):
        at = f"{where}.tool_calls[{place}]"
        call = an_object(given, at)
        yield _tool_use(call.get("function"), f"{at}.function", call.get("id"))
        yield from _mark(call)
    if message.get("function_call"):
        yield _tool_use(message["function_call"], f"{where}.function_call", None)


def _thought(detail: Block) -> Iterator[Block]:
    """A thought's signature is checked: without one, or with another vendor's, it can't be given back."""
    if not str(detail.get("format") or "anthropic").startswith(("anthropic", "amazon")):
        return
    if detail.get("type") == "reasoning.encrypted" and detail.get("data"):
        yield {"reasoningContent": {"redactedContent": detail["data"]}}
    elif detail.get("signature"):
        text = {"text": detail.get("text") or "", "signature": detail["signature"]}
        yield {"reasoningContent": {"reasoningText": text}}


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
    made = {"toolUseId": _tool_use_id(identity or name, where), "name": name, "input": msgspec.Raw(arguments.encode())}
    return {"toolUse": made}


def _tool_use_id(identity: Any, where: str) -> str:
    """An id as Bedrock allows it; another vendor's may be longer, or have other characters."""
    given = a_string(identity, where)
    if len(given) <= 64 and not _NOT_IN_IDS.search(given):
        return given
    return hashlib.sha256(given.encode()).hexdigest()[:32]


def _tool_result(message: Block, where: str) -> Iterator[Block]:
    identity = message.get("tool_call_id") or message.get("name")
    if not identity:
        raise invalid(f"{where}.tool_call_id", "must be the id of the tool call that this is the result of")
    parts = list(_parts(message, where))
    content = [block for block in parts if "cachePoint" not in block]
    yield {"toolResult": {"toolUseId": _tool_use_id(identity, f"{where}.tool_call_id"), "content": content}}
    yield from [block for block in parts if "cachePoint" in block][-1:]  # a result holds none: it goes behind


def _parts(message: Block, where: str) -> Iterator[Block]:
    content = message.get("content")
    if content is None:
        return
    if isinstance(content, str):
        if content:  # Bedrock refuses empty text
            yield {"text": content}
            yield from _mark(message)
        return
    if not isinstance(content, list):
        raise invalid(f"{where}.content", "must be a string or a list of parts")
    for place, given in enumerate(content):
        at = f"{where}.content[{place}]"
        part = an_object(given, at)
        block = _part(part, at)
        if block is not None:
            yield block
            yield from _mark(part)


def _part(part: Block, where: str) -> Block | None:
    if len(part) == 1 and OWN.issuperset(part):
        return dict(part)
    kind = part.get("type")
    match kind:
        case "text":
            text = a_string(part.get("text"), f"{where}.text")
            return {"text": text} if text else None
        case "refusal":
            return {"text": a_string(part.get("refusal"), f"{where}.refusal")}
        case "image_url" | "video_url":
            named = an_object(part.get(kind), f"{where}.{kind}")
            return medium(a_string(named.get("url"), f"{where}.{kind}.url"), f"{where}.{kind}.url")
        case "input_audio":
            return sound(an_object(part.get("input_audio"), f"{where}.input_audio"), f"{where}.input_audio")
        case "file":
            return _file(an_object(part.get("file"), f"{where}.file"), f"{where}.file")
        case _:
            raise invalid(f"{where}.type", f"{str(kind)[:64]!r} can't be sent to a provider of the protocol Bedrock")


def _file(file: Block, where: str) -> Block:
    name = a_string(file.get("filename") or "", f"{where}.filename")
    given = a_string(file.get("file_data") or file.get("file_id"), f"{where}.file_data")
    return medium(given, f"{where}.file_data", name=name, fallback="application/pdf")


def _mark(given: Block) -> Iterator[Block]:
    """The client's own cache mark is kept."""
    if given.get("cache_control"):
        yield cache_point(given["cache_control"])
