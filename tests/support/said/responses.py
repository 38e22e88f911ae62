"""What a vendor says in OpenAI's Responses."""

import json
from typing import Any

from tests.support.said.answer import Said, Turn, Usage, events, read

Fields = dict[str, Any]


def whole(body: bytes) -> Said:
    """A response."""
    return of(json.loads(body))


def stream(body: bytes) -> Said:
    """The response of the last event; what its deltas say is `written`."""
    said = Said()
    for event in events(body):
        if event["type"] in ("response.completed", "response.incomplete", "response.failed"):
            said = of(event["response"])
        elif event["type"] == "error":
            said.error = str(event.get("message") or (event.get("error") or {}).get("message"))
    return said


def written(found: list[Fields]) -> str:
    """The text as the deltas say it."""
    return "".join(event["delta"] for event in found if event["type"] == "response.output_text.delta")


def of(response: Fields) -> Said:
    """A response's JSON."""
    turn = Turn(stop=response.get("status"))
    if turn.stop == "incomplete":
        turn.stop = str((response.get("incomplete_details") or {}).get("reason"))
    for item in response.get("output") or ():
        match item["type"]:
            case "message":
                for part in item["content"]:
                    turn.text += part.get("text") or ""
                    turn.refusal += part.get("refusal") or ""
                    turn.logprobs += len(part.get("logprobs") or ())
                    cited = part.get("annotations") or ()
                    turn.pages += sum(1 for one in cited if one["type"] == "url_citation")
                    turn.citations += sum(1 for one in cited if one["type"] != "url_citation")
            case "function_call" | "custom_tool_call":
                turn.calls.append((item["name"], read(item.get("arguments") or item.get("input"))))
            case "reasoning":
                parts = [*(item.get("content") or ()), *(item.get("summary") or ())]
                turn.thoughts += "".join(part.get("text") or "" for part in parts)
                turn.signatures += [item["encrypted_content"]] if item.get("encrypted_content") else []
            case kind:
                turn.others.append(kind)
    error = response.get("error")
    return Said(
        turns=[turn],
        identity=response.get("id") or "",
        model=response.get("model") or "",
        usage=usage(response.get("usage")),
        error=str(error.get("message")) if isinstance(error, dict) else "",
    )


def usage(given: Any) -> Usage | None:
    """Of a response's usage."""
    if not isinstance(given, dict):
        return None
    of_input, of_output = given.get("input_tokens_details") or {}, given.get("output_tokens_details") or {}
    return Usage(
        input=given["input_tokens"],
        cached=of_input.get("cached_tokens") or 0,
        written=of_input.get("cache_write_tokens") or 0,
        output=given["output_tokens"],
        reasoning=of_output.get("reasoning_tokens"),
    )
