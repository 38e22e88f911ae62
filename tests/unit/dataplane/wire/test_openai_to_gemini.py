"""Requests in OpenAI's format, as Gemini gets them."""

import base64
import contextlib
import json
import struct
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from merit_dataplane.wire.errors import RequestError
from merit_dataplane.wire.openai_gemini.embeddings import (
    batch_answer,
    batch_request,
    prediction_answer,
    prediction_request,
)
from merit_dataplane.wire.openai_gemini.request import request_body
from merit_dataplane.wire.openai_gemini.schema import cleaned
from merit_dataplane.wire.openai_request import Call, Operation, parse

HELLO = [{"role": "user", "content": "Hello"}]
SAID_HELLO = [{"role": "user", "parts": [{"text": "Hello"}]}]
WHERE = {"type": "object", "properties": {"at": {"type": "string"}}}
WEATHER = {"type": "function", "function": {"name": "weather", "description": "Now", "parameters": WHERE}}
WEATHER_THERE = {"name": "weather", "description": "Now", "parametersJsonSchema": WHERE}
DECLARED = {"tools": [{"functionDeclarations": [WEATHER_THERE]}]}
CALL = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"at": 1.50}'}}
PNG = "data:image/png;base64,aGk="


def sent(request: dict[str, Any], *, model: str = "gemini-2.5-flash", says_tier: bool = True) -> dict[str, Any]:
    call = parse(Operation.CHAT, json.dumps({"model": "chat", "messages": HELLO} | request).encode())
    made: dict[str, Any] = json.loads(request_body(call, msgspec.Raw(json.dumps(model).encode()), says_tier=says_tier))
    return made


def contents(*messages: dict[str, Any], model: str = "gemini-2.5-flash") -> tuple[Any, Any]:
    made = sent({"messages": messages}, model=model)
    return made.get("systemInstruction"), made["contents"]


def test_the_least() -> None:
    assert sent({}) == {"contents": SAID_HELLO}


def config(**fields: Any) -> dict[str, Any]:
    return {"generationConfig": fields}


def chosen(**fields: Any) -> dict[str, Any]:
    return {"toolConfig": {"functionCallingConfig": fields}}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"max_tokens": 5}, config(maxOutputTokens=5)),
        ({"max_completion_tokens": 5}, config(maxOutputTokens=5)),
        ({"stream": True}, {}),
        ({"temperature": 1.7, "top_p": 0.9, "seed": 3}, config(temperature=1.7, topP=0.9, seed=3)),
        ({"presence_penalty": 1, "frequency_penalty": -1}, config(presencePenalty=1, frequencyPenalty=-1)),
        ({"stop": "END"}, config(stopSequences=["END"])),
        ({"n": 2}, config(candidateCount=2)),
        ({"logprobs": True, "top_logprobs": 3}, config(responseLogprobs=True, logprobs=3)),
        ({"response_format": {"type": "json_object"}}, config(responseMimeType="application/json")),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": WHERE, "strict": True}}},
            config(responseMimeType="application/json", responseJsonSchema=WHERE),
        ),
        ({"response_format": {"type": "text"}}, {}),
        ({"modalities": ["text", "image"]}, config(responseModalities=["TEXT", "IMAGE"])),
        ({"service_tier": "flex"}, {"serviceTier": "flex"}),
        ({"service_tier": "default"}, {"serviceTier": "standard"}),
        ({"service_tier": "auto"}, {}),
        ({"user": "u", "logit_bias": {}, "metadata": {"a": "b"}, "store": True, "parallel_tool_calls": False}, {}),
        ({"provider": {"sort": "price"}, "usage": {"include": True}}, {}),
        ({"tools": [WEATHER]}, DECLARED),
        ({"functions": [WEATHER["function"]]}, DECLARED),
        ({"tools": [{"googleSearch": {}}]}, {"tools": [{"googleSearch": {}}]}),
        ({"web_search_options": {}}, {"tools": [{"googleSearch": {}}]}),
        ({"web_search_options": {}, "tools": [WEATHER]}, DECLARED),
        (
            {"tools": [{"type": "function", "function": {"name": "now", "parameters": {"type": "object"}}}]},
            {"tools": [{"functionDeclarations": [{"name": "now"}]}]},
        ),
        ({"tools": [WEATHER], "tool_choice": "auto"}, DECLARED),
        ({"tools": [WEATHER], "tool_choice": "none"}, DECLARED | chosen(mode="NONE")),
        ({"tools": [WEATHER], "tool_choice": "required"}, DECLARED | chosen(mode="ANY")),
        (
            {"tools": [WEATHER], "tool_choice": {"type": "function", "function": {"name": "weather"}}},
            DECLARED | chosen(mode="ANY", allowedFunctionNames=["weather"]),
        ),
        ({"reasoning_effort": "low"}, config(thinkingConfig={"thinkingBudget": 1024, "includeThoughts": True})),
        ({"reasoning_effort": "none"}, config(thinkingConfig={"thinkingBudget": 0})),
        ({"reasoning": {"max_tokens": 99, "exclude": True}}, config(thinkingConfig={"thinkingBudget": 99})),
        ({"reasoning": {"enabled": True}}, config(thinkingConfig={"includeThoughts": True})),
        ({"thinking_config": {"thinking_budget": 1}}, config(thinkingConfig={"thinking_budget": 1})),
        (
            {"extra_body": {"google": {"cached_content": "c/1", "thinking_config": {"thinkingBudget": 7}}}},
            {"cachedContent": "c/1", **config(thinkingConfig={"thinkingBudget": 7})},
        ),
        ({"safety_settings": [{"category": "X"}]}, {"safetySettings": [{"category": "X"}]}),
    ],
)
def test_a_field(given: dict[str, Any], expected: dict[str, Any]) -> None:
    assert sent(given) == {"contents": SAID_HELLO} | expected


def test_what_differs_by_model_and_place() -> None:
    def thought(effort: str, model: str) -> Any:
        return sent({"reasoning_effort": effort}, model=model)["generationConfig"]["thinkingConfig"]

    assert thought("high", "gemini-3.1-pro-preview") == {"thinkingLevel": "HIGH", "includeThoughts": True}
    assert thought("none", "gemini-3-flash") == {"thinkingLevel": "MINIMAL"}
    assert thought("none", "gemini-2.5-pro") == {"thinkingBudget": 128}
    assert "serviceTier" not in sent({"service_tier": "flex"}, says_tier=False)


def test_system_messages_stand_apart_and_alone_are_the_question() -> None:
    system, turns = contents(
        {"role": "system", "content": "A"}, {"role": "user", "content": "B"}, {"role": "developer", "content": "C"}
    )
    assert system == {"parts": [{"text": "A"}, {"text": "C"}]}
    assert turns == [{"role": "user", "parts": [{"text": "B"}]}]
    assert contents({"role": "system", "content": "A"}) == (None, [{"role": "user", "parts": [{"text": "A"}]}])


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        ({"type": "text", "text": "x"}, {"text": "x"}),
        ({"type": "image_url", "image_url": {"url": PNG}}, {"inlineData": {"mimeType": "image/png", "data": "aGk="}}),
        (
            {"type": "image_url", "image_url": {"url": "https://x.example/a.webp?q=1"}},
            {"fileData": {"mimeType": "image/webp", "fileUri": "https://x.example/a.webp?q=1"}},
        ),
        (
            {"type": "input_audio", "input_audio": {"data": "aGk=", "format": "wav"}},
            {"inlineData": {"mimeType": "audio/wav", "data": "aGk="}},
        ),
        (
            {"type": "file", "file": {"file_data": "data:application/pdf;base64,aGk=", "filename": "a.pdf"}},
            {"inlineData": {"mimeType": "application/pdf", "data": "aGk="}},
        ),
        (
            {"type": "file", "file": {"file_id": "https://generativelanguage.googleapis.com/v1beta/files/abc"}},
            {
                "fileData": {
                    "mimeType": "application/pdf",
                    "fileUri": "https://generativelanguage.googleapis.com/v1beta/files/abc",
                }
            },
        ),
        (
            {"type": "video_url", "video_url": {"url": "gs://b/v.mov"}},
            {"fileData": {"mimeType": "video/quicktime", "fileUri": "gs://b/v.mov"}},
        ),
        ({"inline_data": {"mime_type": "image/png", "data": "aGk="}},) * 2,
    ],
)
def test_a_part(part: dict[str, Any], expected: dict[str, Any]) -> None:
    _, turns = contents({"role": "user", "content": [part]})
    assert turns == [{"role": "user", "parts": [expected]}]


def test_calls_and_their_results() -> None:
    second = {"id": "call_merit_r_0_1", "type": "function", "function": {"name": "time", "arguments": ""}}
    _, turns = contents(
        {"role": "user", "content": "?"},
        {"role": "assistant", "content": None, "tool_calls": [CALL, second]},
        {"role": "tool", "tool_call_id": "call_merit_r_0_1", "content": '{"now": 1.50}'},
        {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "wet"},
                                                         {"type": "image_url", "image_url": {"url": PNG}}]},
        {"role": "user", "content": "And?"},
    )  # fmt: skip
    assert turns[1:] == [
        {
            "role": "model",
            "parts": [
                {"functionCall": {"id": "c1", "name": "weather", "args": {"at": 1.50}}},
                {"functionCall": {"name": "time", "args": {}}},
            ],
        },
        {
            "role": "user",
            "parts": [
                {"functionResponse": {"name": "time", "response": {"now": 1.50}}},
                {
                    "functionResponse": {
                        "id": "c1",
                        "name": "weather",
                        "response": {"output": "wet"},
                        "parts": [{"inlineData": {"mimeType": "image/png", "data": "aGk="}}],
                    }
                },
            ],
        },
        {"role": "user", "parts": [{"text": "And?"}]},
    ]


def test_a_call_that_lost_its_signature_is_signed_for_gemini_3_alone() -> None:
    history: list[dict[str, Any]] = [
        {"role": "user", "content": "?"},
        {"role": "assistant", "tool_calls": [CALL, CALL | {"id": "c2"}]},
    ]
    _, turns = contents(*history, model="gemini-3-flash")
    assert [p.get("thoughtSignature") for p in turns[1]["parts"]] == ["skip_thought_signature_validator", None]
    _, turns = contents(*history)
    assert [p.get("thoughtSignature") for p in turns[1]["parts"]] == [None, None]


def test_openrouters_signature_of_a_call_is_put_back_where_it_was() -> None:
    detail = {"type": "reasoning.encrypted", "id": "c1", "data": "sig", "format": "google-gemini-v1"}
    others = {"type": "reasoning.text", "text": "hm", "signature": "theirs", "format": "anthropic-claude-v1"}
    _, turns = contents(
        {"role": "user", "content": "?"},
        {"role": "assistant", "tool_calls": [CALL], "reasoning_details": [detail, others]},
    )
    assert [p.get("thoughtSignature") for p in turns[1]["parts"]] == ["sig"]


def test_anthropics_blocks_stay_at_home() -> None:
    blocks = [{"type": "server_tool_use", "id": "x"}, {"executableCode": {"code": "1"}}]
    _, turns = contents(
        {"role": "user", "content": "?"}, {"role": "assistant", "content": "1", "provider_blocks": blocks}
    )
    assert turns[1]["parts"] == [{"executableCode": {"code": "1"}}, {"text": "1"}]


def test_allowed_tools() -> None:
    def named(mode: str) -> Any:
        return {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": [WEATHER]}}

    other = {"type": "function", "function": {"name": "other"}}
    auto = sent({"tools": [WEATHER, other], "tool_choice": named("auto")})
    assert auto == {"contents": SAID_HELLO, **DECLARED}
    required = sent({"tools": [WEATHER, other], "tool_choice": named("required")})
    assert required["toolConfig"] == chosen(mode="ANY", allowedFunctionNames=["weather"])["toolConfig"]


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        (
            {"$schema": "x", "type": "object", "additionalProperties": False, "strict": True, "uniqueItems": True},
            {"type": "object", "additionalProperties": False},
        ),
        ({"const": "a"}, {"enum": ["a"]}),
        ({"$ref": "#/definitions/A", "description": "d"}, {"$ref": "#/$defs/A"}),
        ({"definitions": {"A": {"const": 1}}}, {"$defs": {"A": {"enum": [1]}}}),
        (
            {
                "allOf": [
                    {"properties": {"a": {"type": "string"}}, "required": ["a"]},
                    {"properties": {"b": {}}, "required": ["b"]},
                ]
            },
            {"properties": {"a": {"type": "string"}, "b": {}}, "required": ["a", "b"]},
        ),
        ({"anyOf": [{"type": "null"}, {"not": {}}]}, {"anyOf": [{"type": "null"}, {}]}),
        ({"properties": {"const": {"type": "string"}}}, {"properties": {"const": {"type": "string"}}}),
    ],
)
def test_a_schema(schema: Any, expected: Any) -> None:
    assert cleaned(schema) == expected


def test_a_schema_of_any_depth_ends() -> None:
    deep: dict[str, Any] = {}
    for _ in range(500):
        deep = {"items": deep}
    assert cleaned(deep)["items"]


# ---- embeddings


def embed(**fields: Any) -> Call:
    return parse(Operation.EMBEDDINGS, json.dumps({"model": "e", "input": "Hi"} | fields).encode())


def test_embeddings_of_gemini() -> None:
    call = embed(input=["a", "b"], dimensions=3)
    assert json.loads(batch_request(call, msgspec.Raw(b'"e-1"'))) == {
        "requests": [
            {"model": "models/e-1", "content": {"parts": [{"text": text}]}, "outputDimensionality": 3} for text in "ab"
        ]
    }
    said = b'{"embeddings":[{"values":[0.5,-1]},{"values":[1,2]}],"usageMetadata":{"promptTokenCount":4}}'
    assert json.loads(batch_answer(said, call, "e-1")) == {
        "object": "list",
        "data": [
            {"object": "embedding", "index": 0, "embedding": [0.5, -1]},
            {"object": "embedding", "index": 1, "embedding": [1, 2]},
        ],
        "model": "e-1",
        "usage": {"prompt_tokens": 4, "total_tokens": 4},
    }


def test_embeddings_of_vertex_packed() -> None:
    call = embed(encoding_format="base64")
    assert json.loads(prediction_request(call)) == {"instances": [{"content": "Hi"}]}
    said = b'{"predictions":[{"embeddings":{"values":[0.5,-1],"statistics":{"token_count":2}}}]}'
    made = json.loads(prediction_answer(said, call, "e-1"))
    assert struct.unpack("<2f", base64.b64decode(made["data"][0]["embedding"])) == (0.5, -1)
    assert made["usage"] == {"prompt_tokens": 2, "total_tokens": 2}


@pytest.mark.parametrize(
    ("fields", "param"), [({"input": [1, 2]}, "input"), ({"input": []}, "input"), ({"dimensions": "9"}, "dimensions")]
)
def test_embeddings_that_cannot_be_asked_for(fields: Any, param: str) -> None:
    with pytest.raises(RequestError) as refused:
        prediction_request(embed(**fields))
    assert refused.value.param == param


# ---- refusals


@pytest.mark.parametrize(
    ("request_fields", "param"),
    [
        ({"messages": "hello"}, "messages"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": [{"type": "hologram"}]}]}, "messages[0].content[0].type"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "ftp://x"}}]}]},
            "messages[0].content[0].image_url.url",
        ),
        (
            {"messages": [{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "[1]"}}]}]},
            "messages[0].tool_calls[0].function.arguments",
        ),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].tool_call_id"),
        ({"messages": [{"role": "tool", "tool_call_id": "nobody", "content": "x"}]}, "messages[0].tool_call_id"),
        ({"tools": [{"type": "function"}]}, "tools[0].function"),
        ({"tools": [{"type": "web_search"}]}, "tools[0].type"),
        ({"tools": [WEATHER], "tool_choice": "sometimes"}, "tool_choice"),
        ({"temperature": "hot"}, "temperature"),
        ({"stop": [5]}, "stop"),
        ({"reasoning_effort": "enormous"}, "reasoning_effort"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
    ],
)
def test_what_cannot_be_said_names_its_field(request_fields: dict[str, Any], param: str) -> None:
    with pytest.raises(RequestError) as refused:
        sent(request_fields)
    assert (refused.value.status, refused.value.param) == (400, param)


NAMES = [
    "role", "content", "type", "text", "tool_calls", "function", "name", "arguments", "image_url", "images",
    "reasoning_details", "extra_content", "google", "thought_signature", "format", "data", "properties", "allOf",
    "$ref", "parameters",
]  # fmt: skip
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.sampled_from(["user", "assistant", "tool", "function", "{}"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
    max_leaves=12,
)
FIELDS = [
    "messages", "tools", "tool_choice", "functions", "stop", "reasoning", "reasoning_effort", "user", "extra_body",
    "response_format", "temperature", "modalities", "audio", "top_logprobs", "thinking_config", "top_k",
]  # fmt: skip


@given(
    st.dictionaries(st.sampled_from(FIELDS), json_values, max_size=4), st.sampled_from(["gemini-2.5-pro", "gemini-3"])
)
def test_whatever_a_client_sends_is_translated_or_refused_with_400(fields: dict[str, Any], model: str) -> None:
    with contextlib.suppress(RequestError):
        assert sent(fields, model=model)["contents"] is not None


@given(json_values)
def test_any_schema_is_cleaned(schema: Any) -> None:
    json.dumps(cleaned(schema))
