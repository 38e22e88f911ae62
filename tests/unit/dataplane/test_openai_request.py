"""What Merit reads of a request, and which bytes go on to the provider."""

import contextlib
import json
from typing import Any

import msgspec
import pytest

from merit_dataplane.wire.errors import RequestError
from merit_dataplane.wire.features import Feature
from merit_dataplane.wire.openai_request import Call, Operation, parse

PIXEL = "data:image/png;base64," + "A" * 400_000


def chat(**fields: Any) -> Call:
    document = {"model": "m", "messages": [{"role": "user", "content": "hi"}], **fields}
    return parse(Operation.CHAT, json.dumps(document).encode())


def image(url: str = "https://example.com/a.png") -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url}}


@pytest.mark.parametrize(
    ("fields", "features"),
    [
        ({}, 0),
        ({"stream": True}, Feature.STREAMING),
        ({"stream": False}, 0),
        ({"stream": None}, 0),
        ({"tools": [{"type": "function"}]}, Feature.TOOLS),
        ({"tools": []}, 0),
        ({"tools": None}, 0),
        ({"functions": [{"name": "f"}]}, Feature.TOOLS),
        ({"tools": [{"type": "function"}], "parallel_tool_calls": True}, Feature.TOOLS | Feature.PARALLEL_TOOLS),
        ({"parallel_tool_calls": True}, 0),
        ({"response_format": {"type": "json_schema", "json_schema": {}}}, Feature.JSON_SCHEMA),
        ({"response_format": {"type": "json_object"}}, Feature.JSON_OBJECT),
        ({"response_format": {"type": "text"}}, 0),
        ({"logprobs": True}, Feature.LOGPROBS),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": "x"}, image()]}]}, Feature.IMAGES),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": None}, image()]}]}, Feature.IMAGES),
        ({"messages": [{"role": "user", "content": [{"type": "input_audio", "input_audio": {}}]}]}, Feature.AUDIO),
        ({"messages": [{"role": "user", "content": 'say "image_url"'}]}, 0),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": "image_url"}]}]}, 0),
    ],
)
def test_features_are_those_that_the_request_uses(fields: dict[str, Any], features: int) -> None:
    assert chat(**fields).features == features


def test_an_embeddings_request_uses_embeddings_and_never_streams() -> None:
    call = parse(Operation.EMBEDDINGS, b'{"model":"m","input":"x","stream":true}')
    assert (call.features, call.stream) == (Feature.EMBEDDINGS, False)


@pytest.mark.parametrize(
    ("fields", "limit"),
    [
        ({}, 0),
        ({"max_tokens": 7}, 7),
        ({"max_completion_tokens": 9}, 9),
        ({"max_tokens": 7, "max_completion_tokens": 9}, 9),
        ({"max_tokens": None}, 0),
        ({"max_tokens": -5}, 0),
        ({"max_tokens": 10**30}, 10**30),
    ],
)
def test_output_limit(fields: dict[str, Any], limit: int) -> None:
    assert chat(**fields).output_limit == limit


@pytest.mark.parametrize(("n", "choices"), [(None, 1), (1, 1), (4, 4), (0, 1), (-2, 1)])
def test_choices(n: int | None, choices: int) -> None:
    assert chat(n=n).choices == choices


def test_the_token_estimate_is_a_quarter_of_the_bytes_of_messages_and_tools() -> None:
    messages, tools = [{"role": "user", "content": "x" * 4000}], [{"type": "function", "function": {"name": "y" * 400}}]
    call = chat(messages=messages, tools=tools)
    assert call.input_tokens == (len(json.dumps(messages)) + len(json.dumps(tools))) // 4
    assert parse(Operation.CHAT, b'{"model":"m","messages":1}').input_tokens == 1


def test_an_image_or_a_sound_is_not_counted_by_the_bytes_of_its_base64() -> None:
    call = chat(messages=[{"role": "user", "content": [{"type": "text", "text": "what is it?"}, image(PIXEL)]}])
    assert 200 < call.input_tokens < 5_000
    audio = {"type": "input_audio", "input_audio": {"data": "A" * 400_000, "format": "wav"}}
    assert 200 < chat(messages=[{"role": "user", "content": [audio]}]).input_tokens < 5_000


@pytest.mark.parametrize(
    ("body", "param", "words"),
    [
        (b'{"messages":[1]}', "model", "Missing required parameter: 'model'."),
        (b'{"model":"m"}', "messages", "Missing required parameter: 'messages'."),
        (b'{"model":"m","messages":[]}', "messages", "Missing required parameter: 'messages'."),
        (b'{"model":"m","messages":null}', "messages", "Missing required parameter: 'messages'."),
        (b'{"model":5,"messages":[1]}', "model", "Invalid type for 'model': Expected `str`, got `int`."),
        (b'{"model":null,"messages":[1]}', "model", "Invalid type for 'model': Expected `str`, got `null`."),
        (b'{"model":"m","messages":[1],"stream":"yes"}', "stream", "Invalid type for 'stream'"),
        (b'{"model":"m","messages":[1],"max_tokens":"7"}', "max_tokens", "Invalid type for 'max_tokens'"),
        (b'{"model":"m","messages":[1],"n":1.5}', "n", "Invalid type for 'n'"),
        (
            b'{"model":"m","messages":[1],"stream_options":{"include_usage":1}}',
            "stream_options.include_usage",
            "Invalid type for 'stream_options.include_usage'",
        ),
        (b"[]", None, "Invalid request: Expected `object`, got `array`."),
        (b"", None, "The body is no JSON object"),
        (b'{"model":"m"', None, "The body is no JSON object"),
        (b'{"model":"m","messages":[1]} trailing', None, "The body is no JSON object"),
        (b'{"model":"m","messages":[1],"\xff":1}', None, "The body is no JSON object"),
        (b'{"model":"\xff","messages":[1]}', None, "The body is no JSON object"),
        (b'{"model":"m","messages":' + b"[" * 100_000 + b"]" * 100_000 + b"}", None, "nested too deeply"),
    ],
)
def test_what_is_wrong_is_named(body: bytes, param: str | None, words: str) -> None:
    with pytest.raises(RequestError) as refused:
        parse(Operation.CHAT, body)
    assert refused.value.status == 400
    assert refused.value.param == param
    assert words in str(refused.value)


@pytest.mark.parametrize(("operation", "field"), [(Operation.COMPLETIONS, "prompt"), (Operation.EMBEDDINGS, "input")])
def test_each_operation_has_its_required_field(operation: Operation, field: str) -> None:
    with pytest.raises(RequestError, match=f"Missing required parameter: '{field}'"):
        parse(operation, b'{"model":"m","messages":[1]}')
    assert parse(operation, json.dumps({"model": "m", field: "text"}).encode()).model == "m"


def outgoing(body: bytes, model: bytes = b'"vendor-model"', operation: Operation = Operation.CHAT) -> bytes:
    return parse(operation, body).body_for(msgspec.Raw(model))


def test_unknown_fields_keep_their_bytes() -> None:
    odd = rb'{"a" : 1.50, "b":1e3,"c":"\u00e9\/", "d":[ ],"e":12345678901234567890123, "f":-0}'
    body = b'{"model": "m", "x-odd": ' + odd + b', "messages" : [ {"role":"user"} ] }'
    sent = outgoing(body)
    assert odd in sent
    assert b'[ {"role":"user"} ]' in sent
    assert json.loads(sent)["model"] == "vendor-model"


def test_the_model_is_replaced_at_the_top_level_only() -> None:
    text = 'ignore "model": "m" and {"model":"m"}'
    messages = [{"role": "user", "content": text, "model": "m"}]
    sent = json.loads(outgoing(json.dumps({"messages": messages, "model": "m", "meta": {"model": "m"}}).encode()))
    assert sent == {"messages": messages, "model": "vendor-model", "meta": {"model": "m"}}


def test_of_a_duplicate_key_the_last_one_counts_for_us_and_for_the_provider() -> None:
    body = b'{"model":"a","messages":[1],"max_tokens":5,"model":"b","max_tokens":6,"messages":[2]}'
    call = parse(Operation.CHAT, body)
    assert (call.model, call.output_limit) == ("b", 6)
    sent = call.body_for(msgspec.Raw(b'"v"'))
    assert sent.count(b'"model"') == sent.count(b'"max_tokens"') == 1
    assert json.loads(sent) == {"model": "v", "messages": [2], "max_tokens": 6}


def test_an_escaped_key_is_the_same_key() -> None:
    assert json.loads(outgoing(rb'{"mod\u0065l":"m","messages":[1]}')) == {"model": "vendor-model", "messages": [1]}


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ({}, {"include_usage": True}),
        ({"stream_options": None}, {"include_usage": True}),
        ({"stream_options": {"include_usage": False}}, {"include_usage": True}),
        ({"stream_options": {"include_obfuscation": False}}, {"include_usage": True, "include_obfuscation": False}),
    ],
)
def test_a_stream_is_always_asked_for_usage_and_keeps_its_other_options(
    given: dict[str, Any], sent: dict[str, Any]
) -> None:
    body = json.dumps({"model": "m", "messages": [1], "stream": True, **given}).encode()
    assert json.loads(outgoing(body))["stream_options"] == sent


def test_stream_options_of_a_request_that_does_not_stream_are_left_alone() -> None:
    assert "stream_options" not in json.loads(outgoing(b'{"model":"m","messages":[1]}'))


@pytest.mark.parametrize(
    ("fields", "wants"),
    [
        ({}, False),
        ({"stream_options": {"include_usage": True}}, True),
        ({"stream_options": {"include_usage": False}}, False),
        ({"usage": {"include": True}}, True),
        ({"usage": {"include": False}}, False),
    ],
)
def test_the_wish_for_usage_in_openais_and_openrouters_form(fields: dict[str, Any], wants: bool) -> None:
    call = chat(stream=True, **fields)
    assert call.wants_usage is wants
    assert "usage" not in json.loads(call.body_for(msgspec.Raw(b'"v"')))


@pytest.mark.parametrize(
    ("messages", "text"),
    [
        ([{"role": "user", "content": "one"}, {"role": "assistant", "content": "two"}], "one"),
        ([{"role": "user", "content": "one"}, {"role": "user", "content": "two"}], "two"),
        (
            [{"role": "user", "content": [{"type": "text", "text": "a"}, image(), {"type": "text", "text": "b"}]}],
            "a\nb",
        ),
        ([{"role": "user", "content": [{"type": "text", "text": None}, {"type": "text", "text": "b"}]}], "\nb"),
        ([{"role": "assistant", "content": None, "tool_calls": []}, {"role": "user", "content": "x"}], "x"),
        ([{"role": "user", "content": 5}], ""),
        ([{"role": "system", "content": "s"}], ""),
        ("no list", ""),
    ],
)
def test_last_user_text(messages: object, text: str) -> None:
    assert chat(messages=messages).last_user_text() == text


@pytest.mark.parametrize("content", [b'"\xff"', b'"\\ud800"'])
def test_text_that_is_no_unicode_is_no_text(content: bytes) -> None:
    body = b'{"model":"m","messages":[{"role":"user","content":' + content + b"}]}"
    with contextlib.suppress(RequestError):
        assert parse(Operation.CHAT, body).last_user_text() == ""


@pytest.mark.parametrize(("size", "tokens"), [(20_000, 1000), (30_000_000, 100_000)])
def test_a_file_counts_for_its_text_and_not_for_its_base64(size: int, tokens: int) -> None:
    file = {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64," + "A" * size}}
    message = {"role": "user", "content": [{"type": "text", "text": "What does it say?"}, file]}
    call = parse(Operation.CHAT, json.dumps({"model": "m", "messages": [message]}).encode())
    assert tokens <= call.input_tokens < tokens + 100
