"""Requests in OpenAI's format, as Anthropic gets them."""

import contextlib
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from merit_dataplane.wire.errors import RequestError
from merit_dataplane.wire.openai_anthropic.request import request_body
from merit_dataplane.wire.openai_request import Operation, parse

HELLO = [{"role": "user", "content": "Hello"}]
SAID_HELLO = [{"role": "user", "content": [{"type": "text", "text": "Hello"}]}]
WEATHER = {
    "type": "function",
    "function": {"name": "weather", "description": "Now", "parameters": {"type": "object", "properties": {}}},
}
WEATHER_THERE = {"name": "weather", "description": "Now", "input_schema": {"type": "object", "properties": {}}}
CALL = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"at": 1.50}'}}
PNG = "data:image/png;base64,aGk="


def sent(request: dict[str, Any], *, most: int = 0) -> dict[str, Any]:
    call = parse(Operation.CHAT, json.dumps({"model": "chat", "messages": HELLO} | request).encode())
    made: dict[str, Any] = json.loads(request_body(call, msgspec.Raw(b'"claude"'), most))
    return made


def turns(*messages: dict[str, Any]) -> tuple[Any, Any]:
    made = sent({"messages": messages})
    return made.get("system"), made["messages"]


def test_the_least() -> None:
    assert sent({}) == {"model": "claude", "messages": SAID_HELLO, "max_tokens": 8192}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"max_tokens": 5}, {"max_tokens": 5}),
        ({"max_completion_tokens": 5}, {"max_tokens": 5}),
        ({"stream": True}, {"stream": True}),
        ({"temperature": 0.3, "top_p": 0.9}, {"temperature": 0.3, "top_p": 0.9}),
        ({"temperature": 1.7}, {"temperature": 1}),
        ({"stop": "END"}, {"stop_sequences": ["END"]}),
        ({"stop": ["a", "\n"]}, {"stop_sequences": ["a"]}),
        ({"user": "u1"}, {"metadata": {"user_id": "u1"}}),
        ({"service_tier": "default"}, {"service_tier": "standard_only"}),
        ({"service_tier": "auto"}, {}),
        ({"seed": 1, "logit_bias": {}, "presence_penalty": 1, "metadata": {"a": "b"}, "store": True}, {}),
        ({"provider": {"sort": "price"}, "usage": {"include": True}}, {}),
        ({"tools": [WEATHER]}, {"tools": [WEATHER_THERE]}),
        ({"functions": [WEATHER["function"]]}, {"tools": [WEATHER_THERE]}),
        (
            {"tools": [{"type": "function", "function": {"name": "now", "strict": True}}]},
            {"tools": [{"name": "now", "input_schema": {"type": "object", "properties": {}}, "strict": True}]},
        ),
        (
            {"tools": [{"type": "web_search_20250305", "name": "web_search"}]},
            {"tools": [{"type": "web_search_20250305", "name": "web_search"}]},
        ),
        ({"tools": [WEATHER], "tool_choice": "auto"}, {"tools": [WEATHER_THERE], "tool_choice": {"type": "auto"}}),
        ({"tools": [WEATHER], "tool_choice": "none"}, {"tools": [WEATHER_THERE], "tool_choice": {"type": "none"}}),
        ({"tools": [WEATHER], "tool_choice": "required"}, {"tools": [WEATHER_THERE], "tool_choice": {"type": "any"}}),
        (
            {"tools": [WEATHER], "tool_choice": {"type": "function", "function": {"name": "weather"}}},
            {"tools": [WEATHER_THERE], "tool_choice": {"type": "tool", "name": "weather"}},
        ),
        (
            {"tools": [WEATHER], "parallel_tool_calls": False},
            {"tools": [WEATHER_THERE], "tool_choice": {"type": "auto", "disable_parallel_tool_use": True}},
        ),
        (
            {
                "tools": [WEATHER, {"type": "function", "function": {"name": "other"}}],
                "tool_choice": {
                    "type": "allowed_tools",
                    "allowed_tools": {
                        "mode": "required",
                        "tools": [{"type": "function", "function": {"name": "weather"}}],
                    },
                },
            },
            {"tools": [WEATHER_THERE], "tool_choice": {"type": "any"}},
        ),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}}},
            {"output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}}},
        ),
        ({"response_format": {"type": "text"}}, {}),
        (
            {"max_tokens": 10_000, "reasoning_effort": "medium", "temperature": 0.2},
            {"max_tokens": 10_000, "thinking": {"type": "enabled", "budget_tokens": 5000}},
        ),
        ({"max_tokens": 1024, "reasoning_effort": "high"}, {"max_tokens": 1024}),
        ({"reasoning_effort": "none"}, {}),
        ({"reasoning": {"max_tokens": 2000}}, {"thinking": {"type": "enabled", "budget_tokens": 2000}}),
        ({"thinking": {"type": "adaptive"}}, {"thinking": {"type": "adaptive"}}),
        (
            {"thinking": {"type": "adaptive"}, "tools": [WEATHER], "tool_choice": "required"},
            {"tools": [WEATHER_THERE], "tool_choice": {"type": "any"}},
        ),
    ],
)
def test_fields(given: dict[str, Any], expected: dict[str, Any]) -> None:
    assert sent(given) == {"model": "claude", "messages": SAID_HELLO, "max_tokens": 8192} | expected


def test_the_price_lists_limit_is_sent_where_the_client_has_none() -> None:
    assert sent({}, most=64_000)["max_tokens"] == 64_000
    assert sent({"max_tokens": 9}, most=64_000)["max_tokens"] == 9


def test_system_and_developer_messages_are_the_system_prompt() -> None:
    system, made = turns(
        {"role": "system", "content": "A"},
        {"role": "developer", "content": [{"type": "text", "text": "B", "cache_control": {"type": "ephemeral"}}]},
        *HELLO,
    )
    assert system == [
        {"type": "text", "text": "A"},
        {"type": "text", "text": "B", "cache_control": {"type": "ephemeral"}},
    ]
    assert made == SAID_HELLO


def test_results_of_parallel_calls_are_one_turn() -> None:
    _, made = turns(
        *HELLO,
        {"role": "assistant", "content": None, "tool_calls": [CALL, CALL | {"id": "c2"}]},
        {"role": "tool", "tool_call_id": "c1", "content": "rain"},
        {"role": "tool", "tool_call_id": "c2", "content": [{"type": "text", "text": "sun"}]},
        {"role": "user", "content": "And?"},
    )
    assert [turn["role"] for turn in made] == ["user", "assistant", "user"]
    assert made[1]["content"] == [
        {"type": "tool_use", "id": "c1", "name": "weather", "input": {"at": 1.5}},
        {"type": "tool_use", "id": "c2", "name": "weather", "input": {"at": 1.5}},
    ]
    assert made[2]["content"] == [
        {"type": "tool_result", "tool_use_id": "c1", "content": "rain"},
        {"type": "tool_result", "tool_use_id": "c2", "content": [{"type": "text", "text": "sun"}]},
        {"type": "text", "text": "And?"},
    ]


def test_pictures_and_files() -> None:
    _, made = turns(
        {
            "role": "user",
            "content": [
                {"type": "image_url", "image_url": {"url": PNG, "detail": "low"}},
                {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
                {"type": "file", "file": {"file_data": "data:application/pdf;base64,aGk=", "filename": "a.pdf"}},
                {"type": "file", "file": {"file_id": "file_1"}},
                {"type": "text", "text": ""},
            ],
        }
    )
    assert made[0]["content"] == [
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}},
        {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}},
        {
            "type": "document",
            "source": {"type": "base64", "media_type": "application/pdf", "data": "aGk="},
            "title": "a.pdf",
        },
        {"type": "document", "source": {"type": "file", "file_id": "file_1"}},
    ]


def test_an_assistants_last_words_end_without_white_space() -> None:
    _, made = turns(*HELLO, {"role": "assistant", "content": "The answer is \n"})
    assert made[-1] == {"role": "assistant", "content": [{"type": "text", "text": "The answer is"}]}
    assert turns(*HELLO, {"role": "assistant", "content": " "})[1] == SAID_HELLO


@pytest.mark.parametrize(
    ("request_fields", "param"),
    [
        ({"messages": [5]}, "messages[0]"),
        ({"messages": {"a": 1}}, "messages"),
        ({"messages": [{"role": "judge", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": [{"type": "hologram"}]}]}, "messages[0].content[0].type"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "ftp://x"}}]}]},
            "messages[0].content[0].image_url.url",
        ),
        (
            {"messages": [{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "{"}}]}]},
            "messages[0].tool_calls[0].function.arguments",
        ),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].tool_call_id"),
        ({"tools": [{"type": "function"}]}, "tools[0].function"),
        ({"tools": [WEATHER], "tool_choice": "sometimes"}, "tool_choice"),
        ({"messages": [{"role": "assistant", "provider_blocks": [{}]}]}, "messages[0].provider_blocks[0].type"),
        ({"messages": [{"role": "assistant", "provider_blocks": [5]}]}, "messages[0].provider_blocks[0]"),
        ({"temperature": "hot"}, "temperature"),
        ({"temperature": True}, "temperature"),
        ({"stop": [5]}, "stop"),
        ({"reasoning_effort": "enormous"}, "reasoning_effort"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
    ],
)
def test_what_cannot_be_said_names_its_field(request_fields: dict[str, Any], param: str) -> None:
    with pytest.raises(RequestError) as refused:
        sent(request_fields)
    assert (refused.value.status, refused.value.param) == (400, param)


KEYS = [
    "role", "content", "type", "text", "tool_calls", "function", "name", "arguments", "image_url", "url", "refusal",
    "provider_blocks", "reasoning_details", "tool_call_id", "file", "file_data", "json_schema", "schema", "effort",
]  # fmt: skip
WORDS = [
    "system", "user", "assistant", "tool", "text", "image_url", "file", "function", "refusal", "required",
    "json_schema", "{}", PNG,
]  # fmt: skip
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.sampled_from(WORDS) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=12,
)
messages = st.lists(
    st.dictionaries(st.sampled_from(KEYS), json_values, max_size=3).flatmap(
        lambda message: st.sampled_from(WORDS[:5]).map(lambda role: {"role": role} | message)
    ),
    max_size=3,
)
FIELDS = ["tools", "tool_choice", "functions", "stop", "reasoning", "reasoning_effort", "user", "thinking"]


@given(
    st.dictionaries(st.sampled_from([*FIELDS, "response_format", "temperature"]), json_values, max_size=4),
    messages | json_values,
)
def test_whatever_a_client_sends_is_translated_or_refused_with_400(fields: dict[str, Any], messages: Any) -> None:
    with contextlib.suppress(RequestError):
        assert sent(fields | {"messages": messages})["max_tokens"] > 0
