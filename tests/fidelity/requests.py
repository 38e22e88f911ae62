"""What a client asks, so that the vendor's recorded answer is one to it."""

import copy
import re
from typing import Any

from tests.fidelity.exchanges import Exchange
from tests.support.said.answer import Said

Fields = dict[str, Any]
CLIENTS = {
    "chat": ("chat", "messages", "responses"),
    "messages": ("messages", "chat", "responses"),
    "responses": ("responses",),
}
"""Endpoints at which an answer may be asked for, by the vendor's operation; others only at the same one."""
_OURS_TO_REFUSE = {"previous_response_id", "conversation", "background", "prompt", "item_reference"}


def clients_of(exchange: Exchange) -> tuple[str, ...]:
    """Endpoints by which its answer can be asked for."""
    operation = exchange.kind.operation if exchange.kind is not None else ""
    return CLIENTS.get(operation, (operation,))


def recorded_request(exchange: Exchange, endpoint: str, model: str, mark: str) -> Fields | None:
    """That of then with the mark in it, where the client speaks as its vendor does; None where there is none."""
    asked = exchange.request
    if asked is None or exchange.kind is None or exchange.kind.operation != endpoint:
        return None
    if exchange.kind.protocol not in ("OpenAI", "AzureOpenAI", "Anthropic"):
        return None
    if endpoint == "responses" and (_OURS_TO_REFUSE & asked.keys() or "item_reference" in str(asked.get("input"))):
        return None
    if "models" in asked or "provider" in asked:
        return None  # whom OpenRouter is to ask: Merit reads it as whom it is to ask itself
    body = copy.deepcopy(asked) | {"model": model}
    if endpoint == "embeddings":
        body.setdefault("encoding_format", _encoding(exchange))
    return body if _marked(body, endpoint, mark) else None


def _encoding(exchange: Exchange) -> str:
    """That of the answer, where it passes through: the SDKs would ask for another one than was asked for then."""
    return "base64" if re.search(rb'"embedding"\s*:\s*"', exchange.body) else "float"


def _marked(body: Fields, endpoint: str, mark: str) -> bool:
    name = {"chat": "messages", "messages": "messages", "count_tokens": "messages", "completions": "prompt"}.get(
        endpoint, "input"
    )
    given = body.get(name)
    if isinstance(given, str):
        body[name] = f"{given} {mark}"
        return True
    if not isinstance(given, list) or not given:
        return False
    if all(isinstance(one, str) for one in given):
        body[name] = [*given[:-1], f"{given[-1]} {mark}"]
        return True
    for message in reversed(given):
        if isinstance(message, dict) and message.get("role") == "user" and isinstance(message.get("content"), str):
            message["content"] += f" {mark}"
            return True
        if isinstance(message, dict) and message.get("role") == "user" and isinstance(message.get("content"), list):
            kind = "input_text" if endpoint == "responses" else "text"
            message["content"].append({"type": kind, "text": mark})
            return True
    return False


def made_request(exchange: Exchange, endpoint: str, model: str, said: Said, mark: str) -> Fields:
    """One that the answer fits to, in any client's words."""
    names = sorted({name for turn in said.turns for name, _ in turn.calls if isinstance(name, str)})
    schema = {"type": "object", "properties": {}}
    text = f"Say what you said. {mark}"
    match endpoint:
        case "messages" | "count_tokens":
            body: Fields = {"model": model, "max_tokens": 4096, "messages": [{"role": "user", "content": text}]}
            if endpoint == "count_tokens":
                del body["max_tokens"]
            if names:
                body["tools"] = [{"name": name, "input_schema": schema} for name in names]
            return body
        case "responses":
            body = {"model": model, "input": text}
            if names:
                body["tools"] = [{"type": "function", "name": name, "parameters": schema, "strict": False}
                                 for name in names]  # fmt: skip
            return body
        case "chat":
            body = {"model": model, "messages": [{"role": "user", "content": text}]}
            if names:
                body["tools"] = [{"type": "function", "function": {"name": n, "parameters": schema}} for n in names]
            if len(said.turns) > 1:
                body["n"] = len(said.turns)
            if any(turn.logprobs for turn in said.turns) and exchange.vendor not in ("mistral", "groq"):
                body["logprobs"] = True
            return body
        case "completions":
            return {"model": model, "prompt": text}
        case "embeddings":
            body = {"model": model, "input": [*["a"] * (len(said.vectors) - 1), text]}
            if exchange.kind is not None and exchange.kind.protocol == "OpenAI":
                body["encoding_format"] = _encoding(exchange)
            return body
        case _:
            return {"model": model, "input": text}
