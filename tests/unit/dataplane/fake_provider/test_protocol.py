"""The official SDK can't tell the simulated vendor from a real one."""

import base64
import json
from typing import Any

import openai
import pytest

from merit_dataplane.fake_provider.behaviour import Behaviour
from merit_dataplane.fake_provider.server import FakeProvider
from tests.unit.dataplane.fake_provider.conftest import KEY, Desk

HELLO: list[Any] = [{"role": "user", "content": "Where is my parcel?"}]  # 19 bytes: 4 tokens


def tool(name: str) -> Any:
    return {"type": "function", "function": {"name": name, "parameters": {"type": "object", "properties": {}}}}


async def test_a_plain_answer_has_a_bill_that_can_be_foreseen(desk: Desk) -> None:
    made = await desk.sdk.chat.completions.create(model="any-model", messages=HELLO)
    assert made.model == "any-model"
    assert made.choices[0].message.content
    assert made.choices[0].finish_reason == "stop"
    assert made.usage
    assert made.usage.prompt_tokens == 4
    assert made.usage.completion_tokens > 0
    assert made.usage.total_tokens == 4 + made.usage.completion_tokens


async def test_equal_last_words_get_equal_answers_and_others_get_others(desk: Desk) -> None:
    async def said(text: str, before: str = "") -> str | None:
        messages: list[Any] = [{"role": "system", "content": before}, {"role": "user", "content": text}]
        return (await desk.sdk.chat.completions.create(model="m", messages=messages)).choices[0].message.content

    assert len({await said("one", before=str(n)) for n in range(10)}) == 1
    assert len({await said(str(n)) for n in range(20)}) == 5  # all plain recordings, of four vendors


@pytest.mark.parametrize("text", ["Where is my parcel?", "a", "b", "c", "d"])
async def test_a_stream_has_no_usage_unless_asked(desk: Desk, text: str) -> None:
    messages: list[Any] = [{"role": "user", "content": text}]
    chunks = [c async for c in await desk.sdk.chat.completions.create(model="m", messages=messages, stream=True)]
    assert "".join(c.choices[0].delta.content or "" for c in chunks)
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert not any(c.usage for c in chunks)
    assert {c.model for c in chunks} == {"m"}


@pytest.mark.parametrize("text", ["Where is my parcel?", "a", "b", "c", "d"])
async def test_a_stream_ends_with_usage_when_asked(desk: Desk, text: str) -> None:
    messages: list[Any] = [{"role": "user", "content": text}]
    stream = await desk.sdk.chat.completions.create(
        model="m", messages=messages, stream=True, stream_options={"include_usage": True}
    )
    *before, last = [c async for c in stream]
    assert not any(c.usage for c in before)
    assert last.choices == []
    assert last.id == before[0].id
    assert last.model == "m"
    assert last.usage
    assert last.usage.prompt_tokens == max(1, len(text) // 4)
    assert last.usage.total_tokens == last.usage.prompt_tokens + last.usage.completion_tokens


async def test_the_only_function_is_called_by_its_name(desk: Desk) -> None:
    made = await desk.sdk.chat.completions.create(model="m", messages=HELLO, tools=[tool("track_parcel")])
    assert made.choices[0].finish_reason == "tool_calls"
    calls = made.choices[0].message.tool_calls
    assert calls
    for call in calls:
        assert call.type == "function"
        assert call.function.name == "track_parcel"
        json.loads(call.function.arguments)


async def test_of_several_functions_the_recorded_one_is_called(desk: Desk) -> None:
    made = await desk.sdk.chat.completions.create(model="m", messages=HELLO, tools=[tool("a"), tool("b")])
    calls = made.choices[0].message.tool_calls
    assert calls
    assert calls[0].type == "function"
    assert calls[0].function.name in ("weather", "search_games", "current_date")


async def test_a_streamed_call_has_name_and_arguments(desk: Desk) -> None:
    stream = await desk.sdk.chat.completions.create(
        model="m", messages=HELLO, tools=[tool("track_parcel")], stream=True
    )
    calls = [call async for c in stream for call in c.choices[0].delta.tool_calls or []]
    named = [call.function.name for call in calls if call.function and call.function.name]
    assert set(named) == {"track_parcel"}
    json.loads("".join(call.function.arguments or "" for call in calls if call.function))


@pytest.mark.parametrize("stream", [False, True])
async def test_a_tools_result_is_answered_with_text(desk: Desk, stream: bool) -> None:
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    messages = [
        *HELLO,
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "1", "content": "ok"},
    ]
    body = {"model": "m", "messages": messages, "tools": [tool("f")], "stream": stream}
    assert '"tool_calls":[' not in (await desk.http.post("/v1/chat/completions", json=body)).text.replace(" ", "")


@pytest.mark.parametrize("kind", ["json_object", "json_schema"])
async def test_json_is_answered_with_json(desk: Desk, kind: str) -> None:
    wanted: Any = {"type": kind}
    for text in ("a", "b", "c"):
        messages: list[Any] = [{"role": "user", "content": text}]
        made = await desk.sdk.chat.completions.create(model="m", messages=messages, response_format=wanted)
        assert isinstance(json.loads(made.choices[0].message.content or ""), dict)


async def test_streamed_json_is_answered_with_text_and_never_with_calls(desk: Desk) -> None:
    for n in range(20):
        body = {"model": "m", "messages": [{"role": "user", "content": str(n)}], "stream": True}
        made = await desk.http.post("/v1/chat/completions", json={**body, "response_format": {"type": "json_object"}})
        assert "tool_calls" not in made.text


async def test_completions(desk: Desk) -> None:
    made = await desk.sdk.completions.create(model="m", prompt="twelve bytes")
    assert made.choices[0].text
    assert made.usage
    assert (made.usage.prompt_tokens, made.usage.completion_tokens) == (3, 16)
    stream = await desk.sdk.completions.create(
        model="m", prompt=[1, 2, 3, 4, 5], stream=True, stream_options={"include_usage": True}
    )
    *before, last = [c async for c in stream]
    assert "".join(c.choices[0].text for c in before)
    assert last.usage
    assert last.usage.prompt_tokens == 5  # ids of tokens are tokens


@pytest.mark.parametrize("encoding", ["float", "base64"])
async def test_embeddings_are_as_many_as_inputs(desk: Desk, encoding: Any) -> None:
    for text, expected in (("one", 1), (["one", "two", "three"], 3), ([1, 2, 3], 1), ([[1, 2], [3]], 2)):
        body = {"model": "m", "input": text, "encoding_format": encoding}
        made = (await desk.http.post("/v1/embeddings", json=body)).json()
        assert [item["index"] for item in made["data"]] == list(range(expected))
        for item in made["data"]:
            vector = item["embedding"]
            assert len(base64.b64decode(vector) if encoding == "base64" else vector) > 1000
    assert set(made["usage"]) == {"prompt_tokens", "total_tokens"}


async def test_embeddings_by_the_sdk(desk: Desk) -> None:
    made = await desk.sdk.embeddings.create(model="m", input=["one", "two"])
    assert len(made.data) == 2
    assert all(isinstance(number, float) for number in made.data[0].embedding)


async def test_models_are_those_given_or_those_recorded(desk: Desk) -> None:
    assert "mistral-embed" in [m.id async for m in desk.sdk.models.list()]
    async with (
        FakeProvider(models=("small", "large")) as provider,
        openai.AsyncOpenAI(base_url=provider.url, api_key="any", max_retries=0) as sdk,
    ):
        assert [m.id async for m in sdk.models.list()] == ["small", "large"]
        with pytest.raises(openai.NotFoundError, match="`huge` does not exist") as caught:
            await sdk.chat.completions.create(model="huge", messages=HELLO)
        assert caught.value.code == "model_not_found"
        assert (await sdk.chat.completions.create(model="small", messages=HELLO)).model == "small"


async def test_a_wrong_key_is_refused_and_not_repeated(desk: Desk) -> None:
    wrong = "sk-wrong-and-secret-9876"
    async with desk.sdk.with_options(api_key=wrong, http_client=openai.DefaultAsyncHttpxClient()) as sdk:
        with pytest.raises(openai.AuthenticationError, match="Incorrect API key provided") as caught:
            await sdk.chat.completions.create(model="m", messages=HELLO)
        assert caught.value.code == "invalid_api_key"
        assert wrong not in str(caught.value.body)
        with pytest.raises(openai.AuthenticationError):
            await sdk.models.list()
    for sent in ("", KEY, f"Basic {KEY}", f"Bearer {KEY}x"):
        made = await desk.http.get("/v1/models", headers={"authorization": sent})
        assert made.status_code == 401, sent


@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        ("chat/completions", b"{", "could not parse"),
        ("chat/completions", b"[]", "could not parse"),
        ("chat/completions", b'{"messages":[]}', "`model`"),
        ("chat/completions", b'{"model":"","messages":[]}', "model parameter"),
        ("chat/completions", b'{"model":"m"}', "'messages'"),
        ("chat/completions", b'{"model":"m","messages":7}', "$.messages"),
        ("chat/completions", b'{"model":"m","messages":[],"stream_options":"x"}', "$.stream_options"),
        ("embeddings", b'{"model":"m"}', "'input'"),
        ("embeddings", b'{"model":"m","input":[' + b'"a",' * 2048 + b'"a"]}', "at most 2048"),
    ],
)
async def test_a_request_that_is_none_gets_openais_400(desk: Desk, path: str, body: bytes, words: str) -> None:
    made = await desk.http.post(f"/v1/{path}", content=body)
    assert made.status_code == 400
    assert words in made.json()["error"]["message"]
    assert made.json()["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize(
    "extra",
    [
        {"messages": [{"role": "user", "content": None}]},
        {"messages": [{"role": "user", "content": [{"type": "image_url"}, {"type": "text", "text": "é"}]}]},
        {"messages": HELLO, "tools": [{"type": "function"}]},
        {"messages": HELLO, "tools": [], "stream_options": None, "stream": True},
        {"messages": [], "response_format": {}},
    ],
)
async def test_odd_requests_are_served(desk: Desk, extra: dict[str, Any]) -> None:
    assert (await desk.http.post("/v1/chat/completions", json={"model": "m", **extra})).status_code == 200


async def test_unknown_urls(desk: Desk) -> None:
    made = await desk.http.post("/v1/audio/speech", json={})
    assert (made.status_code, made.json()["error"]["code"]) == (404, "unknown_url")


async def test_usage_can_stay_as_recorded() -> None:
    async with (
        FakeProvider(counted=False, behaviour=Behaviour()) as provider,
        openai.AsyncOpenAI(base_url=provider.url, api_key="any", max_retries=0) as sdk,
    ):
        made = await sdk.completions.create(model="m", prompt="x" * 4000)
        assert made.usage
        assert (made.usage.prompt_tokens, made.usage.completion_tokens, made.usage.total_tokens) == (8, 16, 24)
