"""A whole answer in OpenAI's format as Anthropic's message."""

import re
from typing import Any

import msgspec

from merit_dataplane.wire.anthropic_openai.citations import own_citation
from merit_dataplane.wire.anthropic_openai.usage import message_usage, stop_reason
from merit_dataplane.wire.chat_chunks import ABSENT, signed, text_of, thought_of
from merit_dataplane.wire.openai_anthropic.answer import FORMAT
from merit_dataplane.wire.openai_response import decoded, usage_of
from merit_dataplane.wire.passenger import PASSENGER
from merit_dataplane.wire.sealed import MARK, Detail, seal

_encode = msgspec.json.Encoder().encode
_OWN_BLOCKS = frozenset({"server_tool_use", "mcp_tool_use", "container_upload"})
_COSTS = ("cost", "cost_details")


class _Top(msgspec.Struct):
    usage: msgspec.Raw = ABSENT
    native: msgspec.Raw = msgspec.field(default=ABSENT, name=PASSENGER)


_top = msgspec.json.Decoder(_Top)
_decode = msgspec.json.Decoder(dict[str, Any])
_BAD_ID = re.compile(r"[^a-zA-Z0-9_-]")
Block = dict[str, Any]


def message_body(body: bytes, stops: tuple[str, ...]) -> bytes:
    """Anthropic's message. `stops`: the client's stop sequences. Raises ValueError when it is no chat completion."""
    try:
        read, answer = _top.decode(body), _decode.decode(body)
    except RecursionError:
        raise ValueError("the JSON is nested too deeply") from None
    if read.native is not ABSENT:
        return with_costs(bytes(read.native), read.usage)
    choices = answer.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise ValueError("the answer has no choice")
    choice = choices[0]
    message = choice.get("message") or {}  # Azure leaves out what its filter has caught
    if not isinstance(message, dict) or not (message or choice.get("finish_reason")):
        raise ValueError("the choice has no message")
    content = [*thoughts(message), *_others(message), *_texts(message), *_calls(message)]
    stopped = stopped_at(choice, stops)
    made = _encode({
        "id": answer.get("id") or "msg_0",
        "type": "message",
        "role": "assistant",
        "model": answer.get("model") or "",
        "content": content,
        "stop_reason": _reason(choice, message, stopped),
        "stop_sequence": stopped,
        "usage": message_usage(usage_of(body)),
    })  # fmt: skip
    return with_costs(made, read.usage)


def with_costs(body: bytes, reported: msgspec.Raw) -> bytes:
    """The message or event with the cost that is in `reported`, OpenAI's usage; every other field keeps its bytes."""
    priced = decoded(bytes(reported)) or {}
    costs = {name: priced[name] for name in _COSTS if name in priced}
    fields = decoded(body) if costs else None
    if fields is None:
        return body
    given = decoded(bytes(fields.get("usage", b""))) or {}
    fields["usage"] = msgspec.Raw(_encode({**given, **costs}))
    return _encode(fields)


def _reason(choice: dict[str, Any], message: dict[str, Any], stopped: str | None) -> str:
    if stopped is not None:
        return "stop_sequence"
    if message.get("refusal") and not message.get("content"):
        return "refusal"
    calls = bool(given_calls(message))
    return stop_reason(choice.get("finish_reason"), choice.get("native_finish_reason"), calls=calls)


def stopped_at(choice: dict[str, Any], stops: tuple[str, ...]) -> str | None:
    """The stop sequence that was met, where the vendor says which: in `stop_sequence`, or as vLLM in `stop_reason`."""
    said = choice.get("stop_sequence") or choice.get("stop_reason")
    return said if isinstance(said, str) and said in stops else None


def thoughts(message: dict[str, Any]) -> list[Block]:
    """Thinking blocks: Anthropic's own with their signatures, another vendor's as one that is sealed."""
    given = message.get("reasoning_details")
    details = [d for d in given if isinstance(d, dict)] if isinstance(given, list) else []
    blocks, foreign = [], list[Detail]()
    for detail in details:
        if detail.get("format") != FORMAT:
            foreign.append(detail)
        elif detail.get("type") == "reasoning.encrypted":
            blocks.append({"type": "redacted_thinking", "data": str(detail.get("data") or "")})
        elif detail.get("signature"):
            text, signature = str(detail.get("text") or ""), str(detail["signature"])
            blocks.append({"type": "thinking", "thinking": text, "signature": signature})
        else:
            foreign.append(detail)
    foreign += signed(message.get("extra_content"), "")
    for place, call in enumerate(given_calls(message)):
        foreign += signed(call.get("extra_content"), tool_id(call.get("id"), _name(call), place))
    spoken = "" if details else spoken_thought(message)
    if spoken:
        foreign.append({"type": "reasoning.text", "text": spoken})
    if foreign:
        text = "".join(str(d.get("text") or d.get("summary") or "") for d in foreign)
        blocks.append({"type": "thinking", "thinking": text, "signature": seal(foreign)})
    return blocks


def spoken_thought(message: dict[str, Any]) -> str:
    """DeepSeek's field, that of OpenRouter, Groq and vLLM, or Mistral's parts."""
    said = message.get("reasoning_content") or message.get("reasoning")
    return said if isinstance(said, str) and said else thought_of(message.get("content"))


def _others(message: dict[str, Any]) -> list[Block]:
    given = message.get("provider_blocks")
    return [block for block in given if own_block(block)] if isinstance(given, list) else []


def own_block(block: Any) -> bool:
    """Whether it is one of Anthropic's: what its servers did. Another vendor's has no place in its messages."""
    kind = block.get("type") if isinstance(block, dict) else None
    return isinstance(kind, str) and (kind in _OWN_BLOCKS or kind.endswith("_tool_result"))


def _texts(message: dict[str, Any]) -> list[Block]:
    text = text_of(message.get("content")) or message.get("refusal")
    if not isinstance(text, str) or not text:
        return []
    block: Block = {"type": "text", "text": text}
    if cited := citations(message, text):
        block["citations"] = cited
    return [block]


def citations(message: dict[str, Any], text: str) -> list[Block]:
    """Anthropic's own as they came, and Bedrock's of the same models; else annotations that name a web page as its
    citations of search results. Those of others have no counterpart.
    """
    given = message.get("citations")
    own = [one for c in given if (one := own_citation(c))] if isinstance(given, list) else []
    if own:
        return own
    made = []
    for annotation in message.get("annotations") or ():
        page = annotation.get("url_citation") if isinstance(annotation, dict) else None
        if not isinstance(page, dict) or not page.get("url"):
            continue
        start, end = page.get("start_index"), page.get("end_index")
        cited = text[start:end] if isinstance(start, int) and isinstance(end, int) else ""
        where = {"url": str(page["url"]), "title": page.get("title"), "cited_text": cited}
        made.append({"type": "web_search_result_location", **where, "encrypted_index": MARK})
    return made


def given_calls(message: dict[str, Any]) -> list[dict[str, Any]]:
    """Its tool calls, and the older `function_call`."""
    given = message.get("tool_calls")
    calls = [call for call in given if isinstance(call, dict)] if isinstance(given, list) else []
    called = message.get("function_call")
    if isinstance(called, dict) and called.get("name"):  # Snowflake writes an empty one beside a text
        calls.append({"function": message["function_call"]})
    return calls


def _name(call: dict[str, Any]) -> str:
    called = call.get("function") if isinstance(call.get("function"), dict) else call.get("custom")
    return str(called.get("name") or "") if isinstance(called, dict) else ""


def _calls(message: dict[str, Any]) -> list[Block]:
    return [_call(call, place) for place, call in enumerate(given_calls(message))]


def _call(call: dict[str, Any], place: int) -> Block:
    called = call.get("function") or {}
    if isinstance(call.get("custom"), dict) and not called.get("name"):
        called = {"name": call["custom"].get("name"), "arguments": _encode({"input": call["custom"].get("input")})}
    name = str(called.get("name") or "")
    return {
        "type": "tool_use",
        "id": tool_id(call.get("id"), name, place),
        "name": name,
        "input": arguments(called.get("arguments")),
    }


def tool_id(given: Any, name: str, place: int) -> str:
    """Anthropic's ids have letters, digits, _ and - only."""
    return _BAD_ID.sub("_", str(given)) if given else f"call_{place}_{_BAD_ID.sub('_', name)}"


def arguments(given: Any) -> Any:
    """The object that is the text of the arguments; what is none is wrapped as Anthropic's docs tell for such input."""
    if isinstance(given, dict):
        return given
    text = given.decode() if isinstance(given, bytes) else str(given or "").strip()
    if not text:
        return {}
    try:
        return msgspec.Raw(text.encode()) if isinstance(msgspec.json.decode(text), dict) else {"INVALID_JSON": text}
    except (ValueError, RecursionError):
        return {"INVALID_JSON": text}
