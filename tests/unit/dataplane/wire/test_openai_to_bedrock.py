"""Requests in OpenAI's format, as Bedrock gets them."""

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from merit_dataplane.wire.errors import RequestError
from merit_dataplane.wire.openai_bedrock.media import document_name
from merit_dataplane.wire.openai_bedrock.request import request_body
from merit_dataplane.wire.openai_request import Operation, parse

CLAUDE, OLD_CLAUDE = "us.anthropic.claude-sonnet-4-5-20250929-v1:0", "anthropic.claude-3-haiku-20240307-v1:0"
ADAPTIVE, NOVA, LLAMA = (
    "global.anthropic.claude-opus-4-8",
    "us.amazon.nova-2-lite-v1:0",
    "meta.llama3-1-8b-instruct-v1:0",
)
PROFILE = "arn:aws:bedrock:eu-west-1:123456789012:application-inference-profile/a1b2"
GPT_OSS = "openai.gpt-oss-20b-1:0"
HELLO = [{"role": "user", "content": "Hello"}]
SAID_HELLO = [{"role": "user", "content": [{"text": "Hello"}]}]
WEATHER = {
    "type": "function",
    "function": {"name": "weather", "description": "Now", "parameters": {"type": "object", "properties": {}}},
}
NOW = {"type": "function", "function": {"name": "now"}}
OPEN = {"type": "object", "properties": {}}
SPEC = {"toolSpec": {"name": "weather", "description": "Now", "inputSchema": {"json": OPEN}}}
SPEC_NOW = {"toolSpec": {"name": "now", "inputSchema": {"json": OPEN}}}
CALL = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"at": 1.50}'}}
PNG = "data:image/png;base64,aGk="
MARK = {"type": "ephemeral"}
ENABLED = {"type": "enabled"}
POINT = {"cachePoint": {"type": "default"}}
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "additionalProperties": False}
WANTS_SCHEMA = {"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}}}


def sent(request: dict[str, Any], *, model: str = CLAUDE, most: int = 0) -> dict[str, Any]:
    call = parse(Operation.CHAT, json.dumps({"model": "chat", "messages": HELLO} | request).encode())
    made: dict[str, Any] = json.loads(request_body(call, model, most))
    return made


def turns(*messages: dict[str, Any]) -> tuple[Any, Any]:
    made = sent({"messages": messages})
    return made.get("system"), made["messages"]


def test_the_least() -> None:
    assert sent({}) == {"messages": SAID_HELLO}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"max_tokens": 5}, {"inferenceConfig": {"maxTokens": 5}}),
        ({"max_completion_tokens": 5, "stream": True}, {"inferenceConfig": {"maxTokens": 5}}),
        ({"temperature": 0.3, "top_p": 0.9}, {"inferenceConfig": {"temperature": 0.3, "topP": 0.9}}),
        ({"temperature": 1.7}, {"inferenceConfig": {"temperature": 1}}),
        ({"stop": "END"}, {"inferenceConfig": {"stopSequences": ["END"]}}),
        ({"stop": ["a", "\n"]}, {"inferenceConfig": {"stopSequences": ["a"]}}),
        ({"top_k": 3}, {"additionalModelRequestFields": {"top_k": 3}}),
        ({"service_tier": "flex"}, {"serviceTier": {"type": "flex"}}),
        ({"service_tier": "auto"}, {}),
        ({"seed": 1, "logit_bias": {}, "presence_penalty": 1, "metadata": {"a": "b"}, "store": True, "user": "u"}, {}),
        ({"provider": {"sort": "price"}, "usage": {"include": True}}, {}),
        ({"tools": [WEATHER]}, {"toolConfig": {"tools": [SPEC]}}),
        ({"functions": [WEATHER["function"]]}, {"toolConfig": {"tools": [SPEC]}}),
        (
            {"tools": [{"type": "function", "function": {"name": "now", "strict": True}}]},
            {"toolConfig": {"tools": [{"toolSpec": {**SPEC_NOW["toolSpec"], "strict": True}}]}},
        ),
        ({"tools": [{**WEATHER, "cache_control": MARK}]}, {"toolConfig": {"tools": [SPEC, POINT]}}),
        (
            {"tools": [{"systemTool": {"name": "nova_grounding"}}]},
            {"toolConfig": {"tools": [{"systemTool": {"name": "nova_grounding"}}]}},
        ),
        ({"tools": [WEATHER], "tool_choice": "auto"}, {"toolConfig": {"tools": [SPEC]}}),
        ({"tools": [WEATHER], "tool_choice": "none"}, {}),
        ({"tools": [WEATHER], "tool_choice": "required"}, {"toolConfig": {"tools": [SPEC], "toolChoice": {"any": {}}}}),
        (
            {"tools": [WEATHER], "tool_choice": {"type": "function", "function": {"name": "weather"}}},
            {"toolConfig": {"tools": [SPEC], "toolChoice": {"tool": {"name": "weather"}}}},
        ),
        (
            {
                "tools": [WEATHER, NOW],
                "tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [NOW]}},
            },
            {"toolConfig": {"tools": [SPEC_NOW], "toolChoice": {"any": {}}}},
        ),
        (
            {"tools": [WEATHER], "tool_choice": "required", "parallel_tool_calls": False},
            {
                "toolConfig": {"tools": [SPEC]},
                "additionalModelRequestFields": {"tool_choice": {"type": "any", "disable_parallel_tool_use": True}},
            },
        ),
        (
            WANTS_SCHEMA,
            {
                "outputConfig": {
                    "textFormat": {
                        "type": "json_schema",
                        "structure": {"jsonSchema": {"name": "n", "schema": json.dumps(SCHEMA, separators=(",", ":"))}},
                    }
                }
            },
        ),
        ({"guardrailConfig": {"guardrailIdentifier": "g"}}, {"guardrailConfig": {"guardrailIdentifier": "g"}}),
        (
            {"additionalModelRequestFields": {"x": 1}, "top_k": 2},
            {"additionalModelRequestFields": {"top_k": 2, "x": 1}},
        ),
    ],
)
def test_a_field(given: dict[str, Any], expected: dict[str, Any]) -> None:
    assert sent(given) == {"messages": SAID_HELLO} | expected


@pytest.mark.parametrize(
    ("model", "given", "expected"),
    [
        (CLAUDE, {"reasoning_effort": "low", "max_tokens": 10_000}, {"thinking": {**ENABLED, "budget_tokens": 2000}}),
        (CLAUDE, {"reasoning_effort": "low", "max_tokens": 100}, None),
        (CLAUDE, {"reasoning": {"max_tokens": 3000}}, {"thinking": {**ENABLED, "budget_tokens": 3000}}),
        (CLAUDE, {"reasoning_effort": "none"}, None),
        (CLAUDE, {"reasoning_effort": "high", "tools": [WEATHER], "tool_choice": "required"}, None),
        (ADAPTIVE, {"reasoning_effort": "xhigh"}, {"thinking": {"type": "adaptive"}}),
        (NOVA, {"reasoning_effort": "low"}, {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "low"}}),
        (NOVA, {"reasoning_effort": "high"}, {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "high"}}),
        (
            NOVA,
            {"reasoning_effort": "high", "max_tokens": 900},
            {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "medium"}},
        ),
        (NOVA, {"top_k": 7}, {"inferenceConfig": {"topK": 7}}),
        (GPT_OSS, {"reasoning_effort": "medium"}, {"reasoning_effort": "medium"}),
        (LLAMA, {"reasoning_effort": "medium"}, None),
    ],
)
def test_thinking_as_each_family_wants_it(model: str, given: dict[str, Any], expected: Any) -> None:
    assert sent(given, model=model).get("additionalModelRequestFields") == expected


def test_a_model_that_thinks_adaptively_is_told_an_effort() -> None:
    assert sent({"reasoning_effort": "minimal"}, model=ADAPTIVE)["outputConfig"] == {"effort": "low"}


def test_while_it_thinks_there_is_no_temperature() -> None:
    made = sent({"reasoning_effort": "low", "temperature": 0.2, "top_k": 4, "max_tokens": 8000})
    assert made["inferenceConfig"] == {"maxTokens": 8000}
    assert "top_k" not in made["additionalModelRequestFields"]


@pytest.mark.parametrize(
    ("model", "choice"), [(OLD_CLAUDE, {"any": {}}), (NOVA, {"any": {}}), (PROFILE, {"any": {}}), (LLAMA, None)]
)
def test_a_schema_is_a_tool_where_the_model_knows_no_other(model: str, choice: Any) -> None:
    config = sent({**WANTS_SCHEMA, "tools": [WEATHER]}, model=model)["toolConfig"]
    assert config["tools"][0] == SPEC
    assert config["tools"][1]["toolSpec"]["name"] == "merit_answer"
    assert config["tools"][1]["toolSpec"]["inputSchema"] == {"json": SCHEMA}
    assert config.get("toolChoice") == choice


def test_messages() -> None:
    system, said = turns(
        {"role": "system", "content": "Be brief.", "cache_control": {"type": "ephemeral", "ttl": "1h"}},
        {
            "role": "user",
            "content": [{"type": "text", "text": "Look"}, {"type": "image_url", "image_url": {"url": PNG}}],
        },
        {"role": "assistant", "content": "", "tool_calls": [CALL, {**CALL, "id": "c2"}]},
        {"role": "tool", "tool_call_id": "c1", "content": "rain"},
        {"role": "tool", "tool_call_id": "c2", "content": [{"type": "text", "text": "sun", "cache_control": MARK}]},
        {"role": "developer", "content": "Be kind."},
        {"role": "user", "content": "So?"},
    )
    assert system == [{"text": "Be brief."}, {"cachePoint": {"type": "default", "ttl": "1h"}}, {"text": "Be kind."}]
    use = {"name": "weather", "input": {"at": 1.5}}
    assert said == [
        {"role": "user", "content": [{"text": "Look"}, {"image": {"format": "png", "source": {"bytes": "aGk="}}}]},
        {
            "role": "assistant",
            "content": [{"toolUse": {"toolUseId": "c1", **use}}, {"toolUse": {"toolUseId": "c2", **use}}],
        },
        {
            "role": "user",
            "content": [
                {"toolResult": {"toolUseId": "c1", "content": [{"text": "rain"}]}},
                {"toolResult": {"toolUseId": "c2", "content": [{"text": "sun"}]}},
                POINT,
                {"text": "So?"},
            ],
        },
    ]


def test_a_conversation_with_calls_but_no_tools_names_them() -> None:
    messages = [
        *HELLO,
        {"role": "assistant", "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "c1", "content": ""},
    ]
    known = {"toolSpec": {"name": "weather", "inputSchema": {"json": {"type": "object"}}}}
    assert sent({"messages": messages})["toolConfig"] == {"tools": [known]}
    assert sent({"messages": messages, "tools": [WEATHER], "tool_choice": "none"})["toolConfig"] == {"tools": [known]}


def test_arguments_keep_their_bytes() -> None:
    call = parse(
        Operation.CHAT,
        json.dumps({"model": "m", "messages": [*HELLO, {"role": "assistant", "tool_calls": [CALL]}]}).encode(),
    )
    assert b'"input":{"at": 1.50}' in request_body(call, CLAUDE, 0)


@pytest.mark.parametrize(
    ("part", "block"),
    [
        (
            {"type": "file", "file": {"filename": "a_b!.pdf", "file_data": "data:application/pdf;base64,aGk="}},
            {"document": {"format": "pdf", "source": {"bytes": "aGk="}, "name": "a b"}},
        ),
        (
            {"type": "file", "file": {"filename": "log.txt", "file_data": "data:text/x-log;base64,aGk="}},
            {"document": {"format": "txt", "source": {"bytes": "aGk="}, "name": "log"}},
        ),
        (
            {"type": "file", "file": {"filename": "x.docx", "file_data": "data:application/octet-stream;base64,aGk="}},
            {"document": {"format": "docx", "source": {"bytes": "aGk="}, "name": "x"}},
        ),
        (
            {"type": "file", "file": {"file_id": "s3://bucket/film.mp4"}},
            {"video": {"format": "mp4", "source": {"s3Location": {"uri": "s3://bucket/film.mp4"}}}},
        ),
        (
            {"type": "video_url", "video_url": {"url": "data:video/mp4;base64,aGk="}},
            {"video": {"format": "mp4", "source": {"bytes": "aGk="}}},
        ),
        (
            {"type": "input_audio", "input_audio": {"format": "wav", "data": "aGk="}},
            {"audio": {"format": "wav", "source": {"bytes": "aGk="}}},
        ),
        ({"guardContent": {"text": {"text": "x"}}}, {"guardContent": {"text": {"text": "x"}}}),
        ({"cachePoint": {"type": "default"}}, POINT),
    ],
)
def test_a_part(part: dict[str, Any], block: dict[str, Any]) -> None:
    assert turns({"role": "user", "content": [part]})[1][0]["content"] == [block]


@pytest.mark.parametrize(
    ("given", "param"),
    [
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
        (
            {
                "messages": [
                    {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://x/y.png"}}]}
                ]
            },
            "messages[0].content[0].image_url.url",
        ),
        ({"messages": [{"role": "user", "content": [{"type": "smell"}]}]}, "messages[0].content[0].type"),
        (
            {
                "messages": [
                    {"role": "user", "content": [{"type": "file", "file": {"file_data": "data:a/b;base64,eA=="}}]}
                ]
            },
            "messages[0].content[0].file.file_data",
        ),
        ({"messages": [*HELLO, {"role": "tool", "content": "x"}]}, "messages[1].tool_call_id"),
        (
            {"messages": [{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "[]"}}]}]},
            "messages[0].tool_calls[0].function.arguments",
        ),
        ({"temperature": "hot"}, "temperature"),
        ({"tools": [{"type": "web_search"}]}, None),
        ({"tools": [WEATHER], "tool_choice": 7}, "tool_choice"),
        ({"reasoning_effort": "extreme"}, "reasoning_effort"),
        ({"additionalModelRequestFields": []}, "additionalModelRequestFields"),
        ({"response_format": {"type": "json_schema", "json_schema": {}}}, "response_format.json_schema.schema"),
    ],
)
def test_what_cant_be_said_is_named(given: dict[str, Any], param: str | None) -> None:
    if param is None:  # Claude has tools of its own: Bedrock hands them on
        assert sent(given)["additionalModelRequestFields"]["tools"] == given["tools"]
        return
    with pytest.raises(RequestError) as refused:
        sent(given)
    assert (refused.value.status, refused.value.param) == (400, param)


def test_another_vendors_ids_and_blocks_do_not_break_the_conversation() -> None:
    said = turns(
        *HELLO,
        {
            "role": "assistant",
            "content": "x",
            "provider_blocks": [{"type": "server_tool_use", "id": "a"}, {"text": "mine"}],
            "reasoning_details": [{"type": "reasoning.text", "signature": "s", "format": "google-gemini-v1"}],
            "tool_calls": [{**CALL, "id": "call|" + "x" * 90}],
        },
        {"role": "tool", "tool_call_id": "call|" + "x" * 90, "content": "rain"},
    )[1]  # fmt: skip
    text, mine, use = said[1]["content"][1], said[1]["content"][0], said[1]["content"][2]["toolUse"]
    assert (mine, text) == ({"text": "mine"}, {"text": "x"})
    assert use["toolUseId"] == said[2]["content"][0]["toolResult"]["toolUseId"]
    assert len(use["toolUseId"]) == 32


def test_the_last_words_of_an_assistant_end_without_white_space() -> None:
    assert turns(*HELLO, {"role": "assistant", "content": "So  \n"})[1][-1]["content"] == [{"text": "So"}]
    assert turns(*HELLO, {"role": "assistant", "content": "\n"})[1] == SAID_HELLO


@given(st.text(max_size=300))
def test_a_documents_name_is_one_that_bedrock_allows(filename: str) -> None:
    name = document_name(filename)
    assert 1 <= len(name) <= 200
    assert all(c.isascii() and (c.isalnum() or c in " -()[]") for c in name)
    assert "  " not in name


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
KEYS = (
    "content", "tool_calls", "tool_call_id", "reasoning_details", "provider_blocks", "function_call", "cache_control",
)  # fmt: skip
MESSAGE = st.fixed_dictionaries(
    {"role": st.sampled_from(["system", "user", "assistant", "tool", "x"])},
    optional=dict.fromkeys(KEYS, JSON),
)
ANY_OWN = st.dictionaries(
    st.sampled_from(["tools", "tool_choice", "thinking", "reasoningConfig", "inferenceConfig"]), JSON
)
FIELDS = (
    "tools", "tool_choice", "functions", "response_format", "reasoning", "reasoning_effort", "stop", "temperature",
    "additionalModelRequestFields", "outputConfig", "thinking", "top_k", "parallel_tool_calls", "serviceTier",
)  # fmt: skip


@given(
    st.lists(MESSAGE, max_size=4),
    st.dictionaries(st.sampled_from(FIELDS), JSON),
    ANY_OWN,
    st.sampled_from([CLAUDE, OLD_CLAUDE, ADAPTIVE, NOVA, LLAMA, PROFILE]),
)
def test_any_request_is_said_or_refused(
    messages: list[dict[str, Any]], more: dict[str, Any], own: dict[str, Any], model: str
) -> None:
    with contextlib.suppress(RequestError):
        sent({"messages": messages, "additionalModelRequestFields": own, "tools": [WEATHER], **more}, model=model)
