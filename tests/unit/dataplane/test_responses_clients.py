"""Clients of OpenAI's Responses, in front of models that have them and of models that don't: OpenAI's own SDK asks."""

import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest
from openai.types.responses import Response

from tests.support.cassettes import Cassette, cassettes
from tests.support.gateway import Running, Script, gateway, says, streams
from tests.support.resources import CONSUMER, prices, provider, route
from tests.support.scripted_vendor import Vendor, vendor

pytestmark = pytest.mark.asyncio(loop_scope="session")

ABLE = "Streaming, Tools, JsonSchema, Images, Responses"
MESSAGES = {c.name: c for c in cassettes("anthropic", "messages")}
CHAT: dict[str, Any] = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "gpt",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Hi"}}],
    "usage": {"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12},
}
SAID = {"type": "output_text", "text": "Hi", "annotations": []}
OWN: dict[str, Any] = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1,
    "status": "completed",
    "error": None,
    "model": "gpt",
    "store": False,
    "output": [{"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": [SAID]}],
    "parallel_tool_calls": True,
    "tool_choice": "auto",
    "tools": [],
    "a_field_of_tomorrow": [1.50],
    "usage": {
        "input_tokens": 10,
        "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 0},
        "output_tokens": 2,
        "output_tokens_details": {"reasoning_tokens": 1},
        "total_tokens": 12,
    },
}
PARAMETERS = {"type": "object", "properties": {}}
SHAPE = {"name": "x", "schema": {"type": "object"}, "strict": True}


def recorded(part: str) -> Cassette:
    return next(c for name, c in MESSAGES.items() if part in name)


@contextlib.asynccontextmanager
async def over(
    *scripts: Script, protocol: str = "OpenAI", able: str = "Streaming, Tools, JsonSchema, Images"
) -> AsyncIterator[tuple[Running, Vendor]]:
    async with vendor(*scripts) as asked:
        listed = prices("a", "1", "5", capabilities=able, more_prices=', cachedInput: "0.1"')
        async with gateway(provider("a", asked.url, protocol=protocol), listed, route("a"), CONSUMER) as merit:
            yield merit, asked


def whole(message: dict[str, Any], finish: str = "stop") -> Script:
    return says(json.dumps(CHAT | {"choices": [{"index": 0, "finish_reason": finish, "message": message}]}).encode())


async def test_a_request_and_an_answer_in_the_words_of_a_chat() -> None:
    function: Any = {"type": "function", "name": "weather", "parameters": PARAMETERS, "strict": True}
    shape: Any = {"format": {"type": "json_schema", **SHAPE}}
    image = {"url": "https://x/y.png", "detail": "low"}
    async with over(says(json.dumps(CHAT).encode())) as (merit, asked):
        response = await merit.client().responses.create(
            model="chat", instructions="Be short.", max_output_tokens=50, temperature=0.5, tools=[function],
            tool_choice={"type": "function", "name": "weather"}, metadata={"a": "b"}, store=True,
            text=shape,
            input=[
                {"role": "user", "content": [{"type": "input_text", "text": "Hello"},
                                             {"type": "input_image", "image_url": "https://x/y.png", "detail": "low"}]},
                {"type": "function_call", "call_id": "c1", "name": "weather", "arguments": "{}"},
                {"type": "function_call_output", "call_id": "c1", "output": "Sun"},
            ],
        )  # fmt: skip
        line = json.loads(merit.log_text())
    called = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
    named = {"name": "weather", "parameters": function["parameters"], "strict": True}
    assert asked.asked[0].path == "/v1/chat/completions"
    assert asked.asked[0].body == {
        "model": "a-model", "max_tokens": 50, "temperature": 0.5,
        "messages": [
            {"role": "system", "content": "Be short."},
            {"role": "user", "content": [{"type": "text", "text": "Hello"}, {"type": "image_url", "image_url": image}]},
            {"role": "assistant", "content": None, "tool_calls": [called]},
            {"role": "tool", "tool_call_id": "c1", "content": "Sun"},
        ],
        "tools": [{"type": "function", "function": named}],
        "tool_choice": {"type": "function", "function": {"name": "weather"}},
        "response_format": {"type": "json_schema", "json_schema": SHAPE},
    }  # fmt: skip
    assert response.output_text == "Hi"
    assert response.status == "completed"
    assert response.instructions == "Be short."
    assert response.metadata == {"a": "b"}
    assert response.to_dict()["store"] is False
    assert response.usage is not None
    assert (response.usage.input_tokens, response.usage.output_tokens) == (10, 2)
    assert response.usage.to_dict()["cost"] == pytest.approx(20 / 10**6)
    assert line["operation"] == "responses"


async def test_a_stream_of_a_chat_through_the_sdk() -> None:
    chunk = '{"id":"c1","object":"chat.completion.chunk","created":1,"model":"gpt","choices":[%s]%s}'
    deltas = [
        '{"index":0,"delta":{"role":"assistant","reasoning_content":"Hmm"}}',
        '{"index":0,"delta":{"content":"Let me see."}}',
        '{"index":0,"delta":{"tool_calls":[{"index":0,"id":"a","function":{"name":"weather","arguments":"{\\"at\\":"}}]}}',
        '{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"1}"}}]}}',
        '{"index":0,"delta":{},"finish_reason":"tool_calls"}',
    ]
    pieces = [f"data: {chunk % (delta, '')}\n\n" for delta in deltas]
    usage = ',"usage":' + json.dumps(CHAT["usage"])
    pieces += [f"data: {chunk % ('', usage)}\n\n", "data: [DONE]\n\n"]
    async with over(streams(*(p.encode() for p in pieces))) as (merit, _):
        async with merit.client().responses.stream(model="chat", input="Weather?") as stream:
            kinds = [event.type async for event in stream]
            response = await stream.get_final_response()
        line = json.loads(merit.log_text())
    assert kinds == [
        "response.created", "response.in_progress",
        "response.output_item.added", "response.content_part.added", "response.reasoning_text.delta",
        "response.reasoning_text.done", "response.content_part.done", "response.output_item.done",
        "response.output_item.added", "response.content_part.added", "response.output_text.delta",
        "response.output_text.done", "response.content_part.done", "response.output_item.done",
        "response.output_item.added",
        "response.function_call_arguments.delta", "response.function_call_arguments.delta",
        "response.function_call_arguments.done", "response.output_item.done", "response.completed",
    ]  # fmt: skip
    thought, message, call = response.output
    assert thought.type == "reasoning"
    assert thought.content is not None
    assert thought.content[0].text == "Hmm"
    assert message.type == "message"
    assert call.type == "function_call"
    assert (call.call_id, call.name, call.arguments) == ("a", "weather", '{"at":1}')
    assert response.usage is not None
    assert response.usage.to_dict()["cost"] == pytest.approx(float(line["cost"]))


PAGE = '{"type":"url_citation","url_citation":{"url":"https://a.example/","title":"A","start_index":0,"end_index":0}}'


@pytest.mark.parametrize("deltas", [
    ['{"content":"","annotations":[PAGE]}', '{"content":"Hi"}'],
    ['{"content":"Hi","annotations":[PAGE]}', '{}'],
    ['{"content":"Hi"}', '{"annotations":[PAGE]}'],
    ['{"reasoning_content":"Hm","annotations":[PAGE]}', '{"content":"Hi"}'],
    ['{"annotations":[PAGE]}', '{}'],
], ids=["before", "with", "after", "while it thinks", "alone"])  # fmt: skip
async def test_pages_that_are_cited_before_or_after_the_words_are_told(deltas: list[str]) -> None:
    """OpenRouter's web search names its pages first (recorded by pydantic-ai, August 2026)."""
    chunk = '{"id":"c1","choices":[{"index":0,"delta":%s,"finish_reason":%s}],"usage":%s}'
    chunks = [chunk % (delta.replace("PAGE", PAGE), "null", "null") for delta in deltas]
    chunks += [chunk % ("{}", '"stop"', json.dumps(CHAT["usage"])), "[DONE]"]
    async with (
        over(streams(*(f"data: {piece}\n\n".encode() for piece in chunks))) as (merit, _),
        merit.client().responses.stream(model="chat", input="Which page?") as stream,
    ):
        kinds = [event.type async for event in stream]
        response = await stream.get_final_response()
    message = response.output[-1]
    assert message.type == "message"
    part = message.content[0]
    assert part.type == "output_text"
    assert [page.url for page in part.annotations if page.type == "url_citation"] == ["https://a.example/"]
    assert kinds.count("response.output_text.annotation.added") == 1


async def test_custom_tools_are_functions_with_one_argument() -> None:
    tool: Any = {"type": "custom", "name": "sql", "description": "Runs SQL",
                 "format": {"type": "grammar", "syntax": "lark", "definition": "start: WORD"}}  # fmt: skip
    function = {"name": "sql", "arguments": '{"input": "SELECT 1"}'}
    calls = [{"id": "c1", "type": "function", "function": function}]
    message = {"role": "assistant", "content": None, "tool_calls": calls}
    async with over(whole(message, "tool_calls")) as (merit, asked):
        first = await merit.client().responses.create(model="chat", input="Run it", tools=[tool])
        call = first.output[0]
        assert call.type == "custom_tool_call"
        assert (call.name, call.input, call.call_id) == ("sql", "SELECT 1", "c1")
        followed: Any = [
            {"role": "user", "content": "Run it"},
            call.to_dict(),
            {"type": "custom_tool_call_output", "call_id": "c1", "output": "1"},
        ]
        await merit.client().responses.create(model="chat", input=followed, tools=[tool])
    sent = asked.asked[0].body["tools"][0]["function"]
    assert sent["description"] == "Runs SQL"
    assert "start: WORD" in sent["parameters"]["properties"]["input"]["description"]
    again = asked.asked[1].body["messages"]
    assert again[1]["tool_calls"][0]["function"] == {"name": "sql", "arguments": '{"input":"SELECT 1"}'}
    assert again[2] == {"role": "tool", "tool_call_id": "c1", "content": "1"}


async def test_the_clients_own_bytes_reach_a_model_that_has_responses() -> None:
    sealed = {"type": "reasoning", "id": "rs_2", "summary": [], "encrypted_content": "merit.v1.W10="}
    stored = {"type": "reasoning", "id": "rs_3", "summary": []}
    readable = {"type": "reasoning", "id": "rs_4", "summary": [], "encrypted_content": "gAAAA"}
    request = {
        "model": "chat",
        "input": [{"role": "user", "content": "?"}, sealed, stored, readable],
        "tools": [{"type": "web_search"}],
        "reasoning": {"effort": "low"},
        "a_field_of_tomorrow": {"x": 1.50},
    }
    async with over(says(json.dumps(OWN).encode()), able=ABLE) as (merit, asked):
        got = await merit.post(request, path="/v1/responses")
    sent = asked.asked[0]
    assert sent.path == "/v1/responses"
    assert sent.body == request | {
        "model": "a-model",
        "store": False,
        "include": ["reasoning.encrypted_content"],
        "input": [request["input"][0], readable],  # type: ignore[index]
    }
    answer = got.json()
    cost = answer["usage"].pop("cost")
    assert cost == pytest.approx((6 + 0.4 + 10) / 10**6)
    assert answer["usage"].pop("cost_details")
    assert answer == OWN
    Response.model_validate(answer)


async def test_a_stream_of_a_model_that_has_responses() -> None:
    cassette = next(c for c in cassettes("openai", "responses") if c.status == 200 and c.body.startswith(b"event:"))
    async with over(streams(cassette.body[:900], cassette.body[900:]), able=ABLE) as (merit, asked):
        async with merit.client().responses.stream(model="chat", input="?") as stream:
            [event async for event in stream]
            response = await stream.get_final_response()
        line = json.loads(merit.log_text())
    assert asked.asked[0].body == {"model": "a-model", "input": "?", "stream": True, "store": False}
    assert response.usage is not None
    assert line["output_tokens"] == response.usage.output_tokens
    assert "estimated" not in line


async def test_a_stream_of_a_model_that_has_responses_breaks_off() -> None:
    """The failure is that of the response that has begun: the SDK takes one with another id for a fault of its own."""
    end = b"event: response.output_text.done"
    cassette = next(c for c in cassettes("openai", "responses") if c.status == 200 and end in c.body)
    begun = streams(cassette.body.partition(end)[0])
    async with over(begun, able=ABLE) as (merit, _), merit.client().responses.stream(model="chat", input="?") as stream:
        events = [event async for event in stream]
    assert [event.type for event in events].count("response.created") == 1
    first, last = events[0], events[-1]
    assert first.type == "response.created"
    assert last.type == "response.failed"
    assert (last.response.id, last.response.model) == (first.response.id, first.response.model)
    assert last.response.status == "failed"
    assert last.response.error is not None
    assert "broke off" in last.response.error.message
    assert events[-2].type == "error"
    assert [event.sequence_number for event in events] == list(range(len(events)))


async def test_what_only_responses_have_is_named() -> None:
    async with over(says(json.dumps(CHAT).encode())) as (merit, asked):
        with pytest.raises(openai.BadRequestError, match="Responses") as refused:
            await merit.client().responses.create(model="chat", input="?", tools=[{"type": "web_search"}])
    assert "tools[0]" in str(refused.value)
    assert not asked.asked


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"conversation": "conv_1"}, "conversation"),
        ({"background": True}, "background"),
        ({"prompt": {"id": "pmpt_1"}}, "prompt"),
    ],
)
async def test_what_needs_a_store_is_refused(more: dict[str, Any], field: str) -> None:
    async with over(says(b"{}")) as (merit, asked):
        with pytest.raises(openai.BadRequestError, match="stores none") as refused:
            await merit.client().responses.create(model="chat", input="?", **more)
    assert (refused.value.param, refused.value.code) == (field, "unsupported_parameter")
    assert not asked.asked


async def test_a_stored_item_is_refused() -> None:
    async with over(says(b"{}")) as (merit, _):
        with pytest.raises(openai.BadRequestError, match=r"input\[0\]"):
            await merit.client().responses.create(model="chat", input=[{"type": "item_reference", "id": "msg_1"}])


async def test_a_provider_that_speaks_anthropics_and_its_thoughts_over_turns() -> None:
    cassette = recorded("preserves-thinking-signatures-between-turns")
    given = json.loads(cassette.body)
    async with over(says(cassette.body), protocol="Anthropic") as (merit, asked):
        client = merit.client()
        first = await client.responses.create(model="chat", input="?", max_output_tokens=5000)
        followed: Any = [{"role": "user", "content": "?"}, *[item.to_dict() for item in first.output]]
        followed.append({"role": "user", "content": "Go on."})
        await client.responses.create(model="chat", input=followed, max_output_tokens=5000)
    thoughts = [b for b in given["content"] if b["type"] == "thinking"]
    assert thoughts
    sent = asked.asked[1].body["messages"][1]["content"]
    assert [b for b in sent if b["type"] == "thinking"] == thoughts


async def test_errors_raise_what_openais_clients_expect() -> None:
    refused = b'{"error":{"message":"No.","type":"invalid_request_error","code":"x","param":"y"}}'
    async with over(says(refused, status="400 Bad Request")) as (merit, _):
        with pytest.raises(openai.BadRequestError, match=r"No\.") as error:
            await merit.client().responses.create(model="chat", input="?")
    assert error.value.code == "x"
    assert error.value.request_id == error.value.response.headers["x-merit-request-id"]
    start = b'data: {"id":"c","model":"m","choices":[{"index":0,"delta":{"content":"Hi"}}]}\n\n'
    async with over(streams(start)) as (merit, _):
        stream = await merit.client().responses.create(model="chat", input="?", stream=True)
        events = [event async for event in stream]
    assert [event.type for event in events[-2:]] == ["error", "response.failed"]
    assert events[-1].type == "response.failed"
    assert events[-1].response.error is not None
    assert "broke off" in events[-1].response.error.message


async def test_a_model_that_reasons_is_asked_as_it_wants() -> None:
    async with vendor(says(json.dumps(CHAT).encode())) as asked:
        listed = prices("a", "1", "5", model="gpt-5-mini")
        tiers = route("a").replace("model: a-model", "model: gpt-5-mini")
        wanted: Any = {"model": "chat", "input": "?", "max_output_tokens": 9, "reasoning": {"effort": "low"}}
        async with gateway(provider("a", asked.url), listed, tiers, CONSUMER) as merit:
            await merit.client().responses.create(**wanted)
            thinking = {"type": "enabled", "budget_tokens": 4096}
            await merit.post({"model": "chat", "max_tokens": 9, "temperature": 1, "thinking": thinking,
                              "messages": [{"role": "user", "content": "?"}]}, path="/v1/messages")  # fmt: skip
    for request, effort in zip(asked.asked, ("low", "medium"), strict=True):
        assert request.body["max_completion_tokens"] == 9
        assert request.body["reasoning_effort"] == effort
        assert not {"max_tokens", "temperature", "thinking", "reasoning"} & set(request.body)
