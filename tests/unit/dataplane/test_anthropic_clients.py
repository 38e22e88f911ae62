"""Clients that speak Anthropic's protocol, in front of providers of each protocol: Anthropic's own SDK asks."""

import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import anthropic
import pytest

from tests.support.cassettes import Cassette, cassettes
from tests.support.gateway import Running, Script, gateway, says, streams
from tests.support.resources import CONSUMER, CONSUMER_KEY, PROVIDER_KEY, prices, provider, route
from tests.support.scripted_vendor import Vendor, vendor

pytestmark = pytest.mark.asyncio(loop_scope="session")

RECORDED = {c.name: c for c in cassettes("anthropic", "messages")}
HELLO: Any = [{"role": "user", "content": "Hello"}]
USAGE = {
    "prompt_tokens": 10,
    "completion_tokens": 2,
    "total_tokens": 12,
    "prompt_tokens_details": {"cached_tokens": 4},
}
ANSWER = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "gpt",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Hi"}}],
    "usage": USAGE,
}
CHAT = json.dumps(ANSWER).encode()
WEATHER: Any = {"name": "weather", "description": "Now", "input_schema": {"type": "object", "properties": {}}}


def recorded(part: str) -> Cassette:
    return next(c for name, c in RECORDED.items() if part in name)


@contextlib.asynccontextmanager
async def over(
    *scripts: Script, protocol: str, extra: str = "", provider_extra: str = ""
) -> AsyncIterator[tuple[Running, Vendor]]:
    async with vendor(*scripts) as asked:
        documents = [
            provider("a", asked.url, protocol=protocol, extra=provider_extra),
            prices("a", "1", "5", more_prices=', cachedInput: "0.1", cacheWrite: "1.25", cacheWrite1h: "2"'),
            route("a", extra=extra),
            CONSUMER,
        ]
        async with gateway(*documents) as merit:
            yield merit, asked


@contextlib.asynccontextmanager
async def sdk(merit: Running, **options: Any) -> AsyncIterator[anthropic.AsyncAnthropic]:
    given: Any = {"api_key": CONSUMER_KEY, "max_retries": 0, "timeout": 20} | options
    async with anthropic.AsyncAnthropic(base_url=merit.url, **given) as client:
        yield client


async def test_the_clients_own_bytes_reach_anthropic() -> None:
    cassette = recorded("runs-code-server-side")
    assert cassette.request is not None
    request = {**cassette.request, "model": "chat", "a_field_of_tomorrow": {"x": [1, 2.50]}}
    request.pop("stream", None)
    more = "headers: [{name: Anthropic-Beta, value: of-the-provider}]"
    async with over(says(cassette.body), protocol="Anthropic", provider_extra=more) as (merit, asked):
        got = await merit.http.post(
            f"{merit.url}/v1/messages",
            json=request,
            headers={"x-api-key": CONSUMER_KEY, "anthropic-version": "2099-01-01", "anthropic-beta": "b1,b2"},
        )
        line = json.loads(merit.log_text())
    sent = asked.asked[0]
    assert sent.path == "/v1/messages"
    assert sent.body == {**request, "model": "a-model"}
    assert list(sent.body) == list(request)
    assert sent.headers["x-api-key"] == PROVIDER_KEY
    assert sent.headers["anthropic-version"] == "2099-01-01"
    assert sent.headers["anthropic-beta"] == "of-the-provider,b1,b2"
    assert CONSUMER_KEY not in str(sent.headers)
    answer, given = got.json(), json.loads(cassette.body)
    assert float(got.headers["x-merit-cost"]) == pytest.approx(answer["usage"].pop("cost"))
    assert answer["usage"].pop("cost_details")
    assert answer == given
    assert got.headers["request-id"] == got.headers["x-merit-request-id"] == line["request"]
    assert line["operation"] == "messages"
    assert line["output_tokens"] == given["usage"]["output_tokens"]


@pytest.mark.parametrize("options", [{}, {"api_key": None, "auth_token": CONSUMER_KEY}])
async def test_a_message_of_a_provider_that_speaks_openais(options: dict[str, Any]) -> None:
    async with over(says(CHAT), protocol="OpenAI") as (merit, asked), sdk(merit, **options) as client:
        message = await client.messages.create(
            model="chat", max_tokens=100, system="Be short.", messages=HELLO, stop_sequences=["END"],
            extra_body={"top_k": 5},
            metadata={"user_id": "u" * 100}, tools=[WEATHER],
            tool_choice={"type": "any", "disable_parallel_tool_use": True},
            thinking={"type": "enabled", "budget_tokens": 1024},
        )  # fmt: skip
    assert asked.asked[0].path == "/v1/chat/completions"
    body = asked.asked[0].body
    assert len(body.pop("user")) == 64
    assert body == {
        "model": "a-model",
        "messages": [{"role": "system", "content": "Be short."}, {"role": "user", "content": "Hello"}],
        "max_tokens": 100,
        "tools": [{"type": "function", "function": {"name": "weather", "description": "Now",
                                                    "parameters": WEATHER["input_schema"]}}],
        "tool_choice": "required",
        "parallel_tool_calls": False,
        "stop": ["END"],
    }  # fmt: skip
    assert message.content[0].type == "text"
    assert message.content[0].text == "Hi"
    assert (message.stop_reason, message.id, message.model) == ("end_turn", "chatcmpl-1", "gpt")
    assert (message.usage.input_tokens, message.usage.cache_read_input_tokens, message.usage.output_tokens) == (6, 4, 2)
    assert message.usage.model_extra is not None
    assert message.usage.model_extra["cost"] == pytest.approx((6 + 0.4 + 10) / 10**6)


async def test_a_message_whose_provider_counts_nothing_has_what_was_booked() -> None:
    silent = json.dumps({name: value for name, value in ANSWER.items() if name != "usage"}).encode()
    async with over(says(silent), protocol="OpenAI") as (merit, _), sdk(merit) as client:
        message = await client.messages.create(model="chat", max_tokens=9, messages=HELLO)
        line = json.loads(merit.log_text())
    assert (message.usage.input_tokens, message.usage.output_tokens) == (line["input_tokens"], line["output_tokens"])
    assert line["estimated"]


async def test_a_stream_of_a_provider_that_speaks_openais() -> None:
    chunk = '{"id":"c1","object":"chat.completion.chunk","created":1,"model":"gpt","choices":[%s]%s}'
    deltas = [
        '{"index":0,"delta":{"role":"assistant","reasoning_content":"Hmm"},"finish_reason":null}',
        '{"index":0,"delta":{"content":"Let me "},"finish_reason":null}',
        '{"index":0,"delta":{"content":"see."},"finish_reason":null}',
        '{"index":0,"delta":{"tool_calls":[{"index":0,"id":"a:1","function":{"name":"weather","arguments":""}}]}}',
        '{"index":0,"delta":{"tool_calls":[{"index":1,"id":"b","function":{"name":"weather","arguments":"{\\"at\\":"}}]}}',
        '{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\\"at\\":1}"}}]}}',
        '{"index":0,"delta":{"tool_calls":[{"index":1,"function":{"arguments":"2}"}}]}}',
        '{"index":0,"delta":{},"finish_reason":"tool_calls"}',
    ]
    pieces = [f"data: {chunk % (delta, '')}\n\n" for delta in deltas]
    usage = ',"usage":{"prompt_tokens":10,"completion_tokens":2,"total_tokens":12}'
    pieces += [f"data: {chunk % ('', usage)}\n\n", "data: [DONE]\n\n"]
    async with (
        over(streams(*(p.encode() for p in pieces)), protocol="OpenAI") as (merit, asked),
        sdk(merit) as client,
        client.messages.stream(model="chat", max_tokens=100, messages=HELLO, tools=[WEATHER]) as stream,
    ):
        seen = [event async for event in stream]
        message = await stream.get_final_message()
        line = json.loads(merit.log_text())
    assert asked.asked[0].body["stream_options"] == {"include_usage": True}
    thought, text, first, second = message.content
    assert thought.type == "thinking"
    assert thought.thinking == "Hmm"
    assert text.type == "text"
    assert text.text == "Let me see."
    assert first.type == second.type == "tool_use"
    assert (first.id, first.input, second.id, second.input) == ("a_1", {"at": 1}, "b", {"at": 2})
    assert message.stop_reason == "tool_use"
    assert (message.usage.input_tokens, message.usage.output_tokens) == (10, 2)
    assert "estimated" not in line
    costs = [event.usage.to_dict()["cost"] for event in seen if event.type == "message_delta"]
    assert costs == [pytest.approx(float(line["cost"]))]
    assert seen[0].type == "message_start"
    assert seen[-1].type == "message_stop"


async def test_a_stream_of_anthropics_own() -> None:
    cassette = recorded("tools-with-multi-turn-streaming-conversations__2")
    async with (
        over(streams(cassette.body[:700], cassette.body[700:]), protocol="Anthropic") as (merit, _),
        sdk(merit) as client,
        client.messages.stream(model="chat", max_tokens=100, messages=HELLO) as stream,
    ):
        message = await stream.get_final_message()
        line = json.loads(merit.log_text())
    assert line["output_tokens"] == message.usage.output_tokens
    assert line["input_tokens"] == message.usage.input_tokens + (message.usage.cache_read_input_tokens or 0)
    assert line["first_token"] > 0


async def test_thoughts_of_another_vendor_come_back_to_it_and_never_reach_anthropic() -> None:
    thinks = json.loads(CHAT)
    detail = {"type": "reasoning.encrypted", "data": "abc", "format": "google-gemini-v1", "index": 0}
    thinks["choices"][0]["message"] |= {"reasoning_content": "Hmm", "reasoning_details": [detail]}
    async with over(says(json.dumps(thinks).encode()), protocol="OpenAI") as (merit, _), sdk(merit) as client:
        message = await client.messages.create(model="chat", max_tokens=100, messages=HELLO)
    assert [block.type for block in message.content] == ["thinking", "text"]
    turns = [*HELLO, {"role": "assistant", "content": [b.to_dict() for b in message.content]}, *HELLO]
    answer = says(recorded("multiple-tool-calls-in-a-single-response__1").body)
    async with over(answer, protocol="Anthropic") as (merit, asked), sdk(merit) as client:
        await client.messages.create(model="chat", max_tokens=100, messages=turns)
    assert asked.asked[0].body["messages"] == [
        HELLO[0],
        {"role": "assistant", "content": [{"type": "text", "text": "Hi"}]},
        HELLO[0],
    ]


async def test_what_a_tool_shows_is_shown_to_a_vendor_of_openais() -> None:
    tools: Any = [{**WEATHER, "name": "map"}]
    picture = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}}
    shown = [{"type": "text", "text": "A map"}, picture]
    turns: Any = [
        {"role": "user", "content": [{"type": "text", "text": "Where?", "cache_control": {"type": "ephemeral"}}]},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "map", "input": {"at": 1.5}}]},
        {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "t1", "content": shown, "is_error": True},
            {"type": "text", "text": "And?"},
        ]},
    ]  # fmt: skip
    async with over(says(CHAT), protocol="OpenAI") as (merit, asked), sdk(merit) as client:
        await client.messages.create(model="chat", max_tokens=100, messages=turns, tools=tools)
    asks, calls, result, sees, and_then = asked.asked[0].body["messages"]
    assert asks == {"role": "user", "content": "Where?"}
    assert calls == {"role": "assistant", "content": None, "tool_calls": [
        {"id": "t1", "type": "function", "function": {"name": "map", "arguments": '{"at":1.5}'}}]}  # fmt: skip
    assert result == {"role": "tool", "tool_call_id": "t1", "content": "A map"}
    assert sees["content"][1] == {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}
    assert and_then == {"role": "user", "content": "And?"}


async def test_what_only_anthropic_has_keeps_the_request_there() -> None:
    search: Any = {"type": "web_search_20250305", "name": "web_search"}
    answer = recorded("multiple-tool-calls-in-a-single-response__1").body
    async with vendor(says(CHAT)) as cheap, vendor(says(answer)) as dear:
        documents = [provider("a", cheap.url), provider("b", dear.url, protocol="Anthropic"),
                     prices("a", "1", "5"), prices("b", "2", "9"), route("a", "b"), CONSUMER]  # fmt: skip
        async with gateway(*documents) as merit, sdk(merit) as client:
            await client.messages.create(model="chat", max_tokens=100, messages=HELLO)
            await client.messages.create(model="chat", max_tokens=100, messages=HELLO, tools=[search])
    assert len(cheap.asked) == len(dear.asked) == 1
    async with over(says(CHAT), protocol="OpenAI") as (merit, _), sdk(merit) as client:
        with pytest.raises(anthropic.BadRequestError, match="what only the protocol Anthropic has") as refused:
            await client.messages.create(model="chat", max_tokens=100, messages=HELLO, tools=[search])
    assert "tools[0]" in str(refused.value)


REFUSED = b'{"error":{"message":"No.","type":"x"}}'


@pytest.mark.parametrize(
    ("status", "body", "raised", "kind"),
    [
        ("400 Bad Request", REFUSED, anthropic.BadRequestError, "invalid_request_error"),
        ("413 Too Large", b"", anthropic.APIStatusError, "request_too_large"),
        ("429 Too Many", b"busy", anthropic.RateLimitError, "rate_limit_error"),
        ("503 Down", b"down", anthropic.InternalServerError, "api_error"),
        ("401 No", b"no", anthropic.InternalServerError, "api_error"),
    ],
)
async def test_errors_raise_what_anthropics_clients_expect(status: str, body: bytes, raised: Any, kind: str) -> None:
    script = says(body, status=status, extra="retry-after: 7\r\n")
    async with over(script, protocol="OpenAI") as (merit, _), sdk(merit) as client:
        with pytest.raises(raised) as error:
            await client.messages.create(model="chat", max_tokens=100, messages=HELLO)
    assert error.value.body["type"] == "error"
    assert error.value.body["error"]["type"] == kind
    headers = error.value.response.headers
    assert headers.get("retry-after") == ("7" if status[:3] in {"429", "503"} else None)


async def test_errors_of_merits_own() -> None:
    odd: Any = [{"role": "tool", "content": "x"}]
    async with over(says(CHAT), protocol="OpenAI") as (merit, asked):
        async with sdk(merit, api_key="wrong") as client:
            with pytest.raises(anthropic.AuthenticationError) as error:
                await client.messages.create(model="chat", max_tokens=1, messages=HELLO)
            told: Any = error.value.body
            assert told["error"]["type"] == "authentication_error"
            assert told["error"]["code"] == "invalid_api_key"
            assert told["request_id"] == error.value.request_id
        async with sdk(merit) as client:
            with pytest.raises(anthropic.NotFoundError):
                await client.messages.create(model="nope", max_tokens=1, messages=HELLO)
            with pytest.raises(anthropic.BadRequestError, match=r"messages\[0\]\.role"):
                await client.messages.create(model="chat", max_tokens=1, messages=odd)
            with pytest.raises(anthropic.BadRequestError, match="max_tokens: Field required"):
                await client.post("/v1/messages", body={"model": "chat", "messages": HELLO}, cast_to=object)
    assert not asked.asked


async def test_a_stream_that_breaks_off_ends_with_an_error_event() -> None:
    start = b'data: {"id":"c","model":"m","choices":[{"index":0,"delta":{"content":"Hi"}}]}\n\n'
    async with over(streams(start), protocol="OpenAI") as (merit, _), sdk(merit) as client:
        with pytest.raises(anthropic.APIStatusError, match="broke off"):
            async with client.messages.stream(model="chat", max_tokens=9, messages=HELLO) as stream:
                [event async for event in stream]


async def test_an_error_event_of_either_protocol() -> None:
    error = b'data: {"error":{"message":"Overloaded","code":"server_error"}}\n\n'
    async with over(streams(error), protocol="OpenAI") as (merit, _), sdk(merit) as client:
        with pytest.raises(anthropic.APIStatusError, match="Overloaded"):
            async with client.messages.stream(model="chat", max_tokens=9, messages=HELLO) as stream:
                [event async for event in stream]
    own = b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}\n\n'
    async with over(streams(own), protocol="Anthropic") as (merit, _), sdk(merit) as client:
        with pytest.raises(anthropic.APIStatusError, match="Overloaded"):
            async with client.messages.stream(model="chat", max_tokens=9, messages=HELLO) as stream:
                [event async for event in stream]


async def test_the_cache_keeps_what_was_asked_in_this_protocol() -> None:
    async with over(says(CHAT), protocol="OpenAI", extra="cache: {exact: {ttl: 60s}}") as (merit, asked):
        async with sdk(merit) as client:
            for betas in ([], [], ["x"]):
                headers = {"anthropic-beta": ",".join(betas)} if betas else {}
                got = await client.messages.with_raw_response.create(
                    model="chat", max_tokens=9, messages=HELLO, metadata={"user_id": "u"}, extra_headers=headers
                )
                assert (await got.parse()).content
        assert (await merit.post({"model": "chat", "messages": HELLO, "max_tokens": 9})).json()["choices"]
        lines = [json.loads(line) for line in merit.log_text().splitlines()]
    assert [line["cache"] for line in lines] == ["miss", "hit", "miss", "miss"]
    assert len(asked.asked) == 3


async def test_what_anthropic_said_is_kept_and_said_again_as_it_was() -> None:
    cassette = recorded("tools-with-multi-turn-streaming-conversations__2")
    cached = "cache: {exact: {ttl: 60s}}"
    async with over(streams(cassette.body), protocol="Anthropic", extra=cached) as (merit, asked), sdk(merit) as client:
        got = []
        for _ in range(2):
            async with client.messages.stream(model="chat", max_tokens=100, messages=HELLO) as stream:
                got.append([block.to_dict() for block in (await stream.get_final_message()).content])
        lines = [json.loads(line) for line in merit.log_text().splitlines()]
    assert [line["cache"] for line in lines] == ["miss", "hit"]
    assert len(asked.asked) == 1
    assert got[0] == got[1]
    body = recorded("multiple-tool-calls-in-a-single-response__1").body
    async with over(says(body), protocol="Anthropic", extra=cached) as (merit, asked), sdk(merit) as client:
        first, again = [
            (await client.messages.create(model="chat", max_tokens=100, messages=HELLO)).to_dict() for _ in range(2)
        ]
    assert len(asked.asked) == 1
    for answer, free in ((first, False), (again, True)):
        usage: Any = answer["usage"]
        assert (usage.pop("cost") == 0) is free
        usage.pop("cost_details")
    assert first == again == json.loads(body)


async def test_clients_of_anthropics_steer_too() -> None:
    async with vendor(says(CHAT)) as cheap, vendor(says(CHAT)) as dear:
        documents = [provider("a", cheap.url), provider("b", dear.url), prices("a", "1", "5"), prices("b", "2", "9"),
                     route("a", "b"), CONSUMER]  # fmt: skip
        async with gateway(*documents) as merit, sdk(merit) as client:
            await client.messages.create(
                model="chat", max_tokens=9, messages=HELLO, extra_body={"provider": {"only": ["b"]}}
            )
    assert not cheap.asked
    assert "provider" not in dear.asked[0].body


async def test_tokens_are_counted_by_the_provider_where_it_can() -> None:
    async with over(says(b'{"input_tokens": 77}'), protocol="Anthropic") as (merit, asked), sdk(merit) as client:
        got = await client.messages.with_raw_response.count_tokens(model="chat", messages=HELLO, system="Be short.")
    assert (await got.parse()).input_tokens == 77
    assert got.headers["x-merit-token-count"] == "provider"
    assert asked.asked[0].path == "/v1/messages/count_tokens"
    assert asked.asked[0].body == {"model": "a-model", "messages": HELLO, "system": "Be short."}
    assert asked.asked[0].headers["x-api-key"] == PROVIDER_KEY


@pytest.mark.parametrize("protocol", ["OpenAI", "Anthropic"])
async def test_tokens_are_estimated_else(protocol: str) -> None:
    down = says(b"no", status="500 Down")
    async with over(down, protocol=protocol) as (merit, asked), sdk(merit) as client:
        got = await client.messages.with_raw_response.count_tokens(model="chat", messages=HELLO, tools=[WEATHER])
        explained = await merit.post(
            {"model": "chat", "messages": HELLO, "tools": [WEATHER], "max_tokens": 9},
            path="/v1/explain",
            anthropic_version="2023-06-01",
        )
    assert got.headers["x-merit-token-count"] == "estimate"
    assert (await got.parse()).input_tokens == explained.json()["meritOrder"][0]["expectedInputTokens"] > 10
    assert got.headers["x-merit-provider"] == "a"
    assert len(asked.asked) == (protocol == "Anthropic")


async def test_counting_has_its_errors_in_anthropics_words() -> None:
    async with over(says(CHAT), protocol="OpenAI") as (merit, _), sdk(merit) as client:
        with pytest.raises(anthropic.NotFoundError, match="nope"):
            await client.messages.count_tokens(model="nope", messages=HELLO)
        with pytest.raises(anthropic.BadRequestError, match="messages: Field required"):
            await client.messages.count_tokens(model="chat", messages=[])


async def test_the_model_list_of_anthropics_sdk() -> None:
    async with over(says(CHAT), protocol="OpenAI") as (merit, _), sdk(merit) as client:
        assert [model.id async for model in client.models.list()] == ["chat"]
        assert (await client.models.retrieve("chat")).display_name == "chat"
        with pytest.raises(anthropic.NotFoundError):
            await client.models.retrieve("nope")
