"""What a vendor says that speaks OpenAI's Chat Completions or the older Completions, with its own words in them."""

import base64
import json
import struct
from typing import Any

from tests.support.said.answer import Said, Turn, Usage, events, read

Fields = dict[str, Any]


def whole(body: bytes) -> Said:
    """A chat completion, or a completion."""
    given = json.loads(body)
    said = Said(identity=given.get("id") or "", model=given.get("model") or "", usage=usage(given.get("usage")))
    for choice in given.get("choices") or ():
        turn = Turn(stop=choice.get("finish_reason"))
        _add(turn, choice.get("message") or {"content": choice.get("text")}, None)
        _logprobs(turn, choice.get("logprobs"))
        said.turns.append(turn)
    _searched(said, given)
    return said


def stream(body: bytes) -> Said:
    """The chunks, added up."""
    said, turns, calls = Said(), dict[int, Turn](), dict[int, dict[int, Fields]]()
    for event in events(body):
        if event.get("error"):
            said.error = _words(event["error"])
            continue
        said.identity, said.model = said.identity or event.get("id") or "", said.model or event.get("model") or ""
        said.usage = usage(event.get("usage")) or said.usage
        for choice in event.get("choices") or ():
            index = choice.get("index", 0)
            turn = turns.setdefault(index, Turn())
            _add(turn, choice.get("delta") or {"content": choice.get("text")}, calls.setdefault(index, {}))
            turn.stop = choice.get("finish_reason") or turn.stop
            _logprobs(turn, choice.get("logprobs"))
        said.turns = list(turns.values())
        _searched(said, event)
    for index, found in calls.items():
        turns[index].calls += [(call["name"], read(call["arguments"])) for call in found.values()]
    return said


def _searched(said: Said, given: Fields) -> None:
    """Perplexity's pages stand beside the choices."""
    pages = given.get("citations")
    for turn in said.turns[:1]:
        turn.citations = max(turn.citations, len(pages) if isinstance(pages, list) else 0)


def _add(turn: Turn, message: Fields, streamed: dict[int, Fields] | None) -> None:
    content = message.get("content")
    for part in content if isinstance(content, list) else ():  # Mistral's
        if part["type"] == "text":
            turn.text += part["text"]
        elif part["type"] == "thinking":
            turn.thoughts += "".join(piece.get("text") or "" for piece in part["thinking"])
        else:
            turn.others.append(part["type"])
    turn.text += content if isinstance(content, str) else ""
    turn.refusal += message.get("refusal") or ""
    details = message.get("reasoning_details") or ()
    thought = message.get("reasoning_content") or message.get("reasoning")
    spoken = "".join(detail.get("text") or detail.get("summary") or "" for detail in details)
    turn.thoughts += thought if isinstance(thought, str) else spoken
    for detail in details:
        turn.signatures += [detail[name] for name in ("signature", "data") if detail.get(name)]
    if (message.get("extra_content") or {}).get("google", {}).get("thought_signature"):
        turn.signatures.append(message["extra_content"]["google"]["thought_signature"])
    turn.citations += len(message.get("citations") or ())
    turn.others += [str(block.get("type") or next(iter(block))) for block in message.get("provider_blocks") or ()]
    turn.pages += sum(1 for found in message.get("annotations") or () if found.get("type") == "url_citation")
    turn.images += len(message.get("images") or ())
    for place, call in enumerate(message.get("tool_calls") or ()):
        called = call.get("function") or {}
        if (call.get("extra_content") or {}).get("google", {}).get("thought_signature"):
            turn.signatures.append(call["extra_content"]["google"]["thought_signature"])
        if streamed is None:
            turn.calls.append((called["name"], read(called.get("arguments"))))
            continue
        index = place if call.get("index") is None else call["index"]
        known = streamed.get(index)
        if known is None or (call.get("id") and known["id"] and call["id"] != known["id"]):
            index = index if known is None else max(streamed) + 1
            known = streamed[index] = {"id": call.get("id"), "name": "", "arguments": ""}
        known["name"] = known["name"] or called.get("name") or ""
        known["arguments"] += called.get("arguments") or ""
    if (message.get("function_call") or {}).get("name"):
        turn.calls.append((message["function_call"]["name"], read(message["function_call"].get("arguments"))))


def _logprobs(turn: Turn, given: Any) -> None:
    if isinstance(given, dict):
        turn.logprobs += len(given.get("content") or given.get("tokens") or ())


def usage(given: Any) -> Usage | None:
    """Of a `usage` in OpenAI's words or their vendors'."""
    if not isinstance(given, dict) or given.get("prompt_tokens") is None:
        return None
    of_input, of_output = given.get("prompt_tokens_details") or {}, given.get("completion_tokens_details") or {}
    cached = of_input.get("cached_tokens")
    if cached is None:
        cached = given.get("prompt_cache_hit_tokens") or given.get("num_cached_tokens")
    output, reasoning = given.get("completion_tokens") or 0, of_output.get("reasoning_tokens")
    if reasoning and given.get("total_tokens") == given["prompt_tokens"] + output + reasoning:
        output += reasoning  # xAI counts it beside the completion
    return Usage(
        input=given["prompt_tokens"],
        cached=cached or 0,
        written=of_input.get("cache_write_tokens") or 0,
        output=output,
        reasoning=reasoning,
    )


def error(body: bytes) -> str:
    """An error's words; empty where the body isn't one."""
    try:
        given = json.loads(body)
    except ValueError:
        return ""
    if isinstance(given, list):
        given = given[0] if given else {}
    return _words(given.get("error") or given) if isinstance(given, dict) else ""


def _words(error: Any) -> str:
    if isinstance(error, str):
        return error
    said = error.get("message") or error.get("detail") or error.get("Message") or ""
    if isinstance(said, dict):
        said = said.get("message") or said.get("detail") or ""
    if isinstance(said, list):
        said = said[0].get("msg") if said else ""
    return str(said)


def embeddings(body: bytes) -> Said:
    """A list of vectors."""
    given = json.loads(body)
    made = Said(model=given.get("model") or "", vectors=[_vector(one["embedding"]) for one in given["data"]])
    counts = given.get("usage")
    if isinstance(counts, dict):
        made.usage = Usage(input=counts.get("prompt_tokens") or counts.get("total_tokens") or 0)
    return made


def _vector(given: Any) -> list[float]:
    """Numbers, or the text of their 32-bit floats; other codings stay as the bytes that they are."""
    if not isinstance(given, str):
        return list(given)
    packed = base64.b64decode(given)
    return list(struct.unpack(f"<{len(packed) // 4}f", packed) if len(packed) % 4 == 0 else packed)
