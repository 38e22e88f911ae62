"""What each dialect says of the parameters that it sends on, against what its translation does with them."""

import json
from typing import Any

import msgspec
import pytest

from merit_dataplane.wire.dialects import DIALECTS
from merit_dataplane.wire.openai_request import Operation, parse
from merit_dataplane.wire.parameters import left_out

TOOL = {"type": "function", "function": {"name": "f"}}
CHAT: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}
SAMPLES: dict[str, Any] = {
    "audio": {"voice": "alloy", "format": "wav"}, "frequency_penalty": 0.5, "function_call": "none",
    "functions": [{"name": "f"}], "logit_bias": {"1": 1}, "logprobs": True, "max_completion_tokens": 5,
    "max_tokens": 5, "metadata": {"a": "b"}, "modalities": ["text", "audio"], "n": 2, "parallel_tool_calls": False,
    "prediction": {"type": "content", "content": "x"}, "presence_penalty": 0.5, "prompt_cache_key": "k",
    "prompt_cache_retention": "24h", "reasoning_effort": "high",
    "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}},
    "safety_identifier": "s", "seed": 1, "service_tier": "flex", "stop": ["a"], "store": True, "temperature": 0.5,
    "tool_choice": "none", "tools": [TOOL], "top_logprobs": 2, "top_p": 0.5, "user": "u", "verbosity": "low",
    "web_search_options": {"search_context_size": "low"}, "reasoning": {"effort": "high"}, "top_k": 5, "min_p": 0.1,
    "repetition_penalty": 1.1, "unheard_of": 1,
}  # fmt: skip
"""OpenAI's parameters of a chat, OpenRouter's further ones, and one that nobody knows."""
NEEDS: dict[str, dict[str, Any]] = {
    "tool_choice": {"tools": [TOOL]},
    "parallel_tool_calls": {"tools": [TOOL]},
    "function_call": {"functions": [{"name": "f"}]},
    "top_logprobs": {"logprobs": True},
}
MODELS = {
    "Bedrock": ("anthropic.claude-sonnet-4", "amazon.nova-pro-v1:0", "openai.gpt-oss-120b-1:0", "meta.llama3-3-70b"),
}
"""Where it depends on the model."""
CASES = [(protocol, model) for protocol in DIALECTS for model in MODELS.get(protocol, ("m",))]


@pytest.mark.parametrize(("protocol", "model"), CASES)
def test_a_dialect_sends_on_what_it_says_and_nothing_else(protocol: str, model: str) -> None:
    dialect = DIALECTS[protocol]

    def sent(request: dict[str, Any]) -> bytes:
        call = parse(Operation.CHAT, json.dumps(CHAT | request).encode())
        return dialect.request(call, msgspec.Raw(msgspec.json.encode(model)), 64_000)

    kept = dialect.keeps(Operation.CHAT, model)
    arrived = {
        name
        for name, value in SAMPLES.items()
        if sent(NEEDS.get(name, {}) | {name: value}) != sent(NEEDS.get(name, {}))
    }
    assert arrived == {name for name in SAMPLES if kept is None or name in kept}


@pytest.mark.parametrize(
    ("fields", "lost"),
    [
        ({"seed": 1, "temperature": 0, "logit_bias": {"1": 2}}, ["seed", "logit_bias"]),
        ({"seed": None, "store": False, "logit_bias": {}, "metadata": None, "n": 1, "frequency_penalty": 0}, []),
        ({"modalities": ["text"], "service_tier": "auto", "verbosity": "medium", "presence_penalty": 0.0}, []),
        ({"seed": 0, "service_tier": "flex", "modalities": ["audio"]}, ["seed", "service_tier", "modalities"]),
        ({"stream": True, "stream_options": {"include_usage": True}, "usage": {"include": True}, "models": ["a"]}, []),
    ],
)
def test_what_asks_for_nothing_is_not_missed(fields: dict[str, Any], lost: list[str]) -> None:
    call = parse(Operation.CHAT, json.dumps(CHAT | fields).encode())
    assert left_out(call, frozenset({"temperature"})) == lost
    assert left_out(call, None) == []
