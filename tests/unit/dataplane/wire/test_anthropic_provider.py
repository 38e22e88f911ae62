"""A Provider that speaks Anthropic's protocol, asked through the gateway by OpenAI's own SDK."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest

from merit_crds.v1alpha1.provider import ProviderSpec
from merit_dataplane.wire.dialects import DIALECTS
from tests.support.cassettes import Cassette, cassettes
from tests.support.gateway import Running, Script, gateway, says, scripted, streams
from tests.support.resources import CONSUMER, PROVIDER_KEY, prices, provider, route

pytestmark = pytest.mark.asyncio(loop_scope="session")

RECORDED = {c.name: c for c in cassettes("anthropic", "messages")}
HELLO: Any = [{"role": "user", "content": "Hello"}]


def recorded(part: str) -> Cassette:
    return next(c for name, c in RECORDED.items() if part in name)


@contextlib.asynccontextmanager
async def anthropic(script: Script, *, capabilities: str = "Streaming, Tools, ParallelTools") -> AsyncIterator[Running]:
    listed = prices("a", "1", "5", capabilities=capabilities)
    async with (
        scripted(script) as url,
        gateway(provider("a", url, protocol="Anthropic"), listed, route("a"), CONSUMER) as merit,
    ):
        yield merit


async def test_every_protocol_of_a_provider_has_its_dialect() -> None:
    allowed = ProviderSpec.model_fields["protocol"].annotation
    assert set(getattr(allowed, "__args__", ())) == set(DIALECTS)


async def test_what_anthropic_gets() -> None:
    heads: list[str] = []
    bodies: list[dict[str, Any]] = []
    answer = recorded("multiple-tool-calls-in-a-single-response__1").body

    async def vendor(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        heads.append(head)
        length = int(head.lower().split("content-length: ")[1].split("\r\n")[0])
        bodies.append(json.loads(await reader.readexactly(length)))
        writer.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(answer), answer)
        )
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(vendor, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        documents = [provider("a", url, protocol="Anthropic"), prices("a", "1", "5"), route("a"), CONSUMER]
        async with gateway(*documents) as merit:
            got = await merit.client().chat.completions.create(model="chat", messages=HELLO)
            assert got.choices[0].message.content
    assert heads[0].startswith("POST /v1/messages HTTP/1.1")
    head = heads[0].lower()
    assert f"x-api-key: {PROVIDER_KEY}" in head
    assert "anthropic-version: 2023-06-01" in head
    assert "authorization" not in head
    assert bodies[0]["messages"] == [{"role": "user", "content": [{"type": "text", "text": "Hello"}]}]


async def test_a_stream_through_the_sdk_is_priced_by_anthropics_own_count() -> None:
    cassette = recorded("tools-with-multi-turn-streaming-conversations__2")
    async with anthropic(streams(cassette.body[:700], cassette.body[700:])) as merit:
        stream = await merit.client().chat.completions.create(
            model="chat", messages=HELLO, stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in stream]
        line = json.loads(merit.log_text())
    usage = chunks[-1].usage
    assert usage is not None
    assert usage.prompt_tokens == line["input_tokens"]
    assert usage.completion_tokens == line["output_tokens"]
    assert (usage.prompt_tokens + 5 * usage.completion_tokens) / 10**6 == pytest.approx(float(line["cost"]))
    names = [
        call.function.name for c in chunks for ch in c.choices for call in ch.delta.tool_calls or () if call.function
    ]
    assert [name for name in names if name]
    assert "estimated" not in line


async def test_a_prompt_that_is_too_long_is_told_in_openais_words() -> None:
    body = recorded("handles-context-length-exceeded-errors").body
    async with anthropic(says(body, status="400 Bad Request")) as merit:
        with pytest.raises(openai.BadRequestError) as refused:
            await merit.client().chat.completions.create(model="chat", messages=HELLO)
    assert refused.value.code == "context_length_exceeded"
    assert "prompt is too long" in str(refused.value)


async def test_an_error_event_within_a_stream() -> None:
    start = b'event: message_start\ndata: {"type":"message_start","message":{"id":"m","model":"c","usage":{}}}\n\n'
    error = b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}\n\n'
    delta = b'{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"A"}}'
    text = b"event: content_block_delta\ndata: " + delta + b"\n\n"
    async with anthropic(streams(start, text, error, seconds_between=0.05)) as merit:
        stream = await merit.client().chat.completions.create(model="chat", messages=HELLO, stream=True)
        with pytest.raises(openai.APIError, match="Overloaded"):
            [chunk async for chunk in stream]


@pytest.mark.parametrize(
    ("more", "lacks"),
    [
        ({"n": 2}, "Choices"),
        ({"logprobs": True}, "Logprobs"),
        ({"response_format": {"type": "json_object"}}, "JsonObject"),
    ],
)
async def test_what_anthropic_cannot_do_is_named_before_the_call(more: Any, lacks: str) -> None:
    everything = "Streaming, Tools, ParallelTools, JsonObject, JsonSchema, Images, Logprobs"
    async with anthropic(says(b"{}"), capabilities=everything) as merit:
        got = await merit.post({"model": "chat", "messages": HELLO} | more)
    assert got.status_code == 400
    assert lacks in got.json()["error"]["message"]


async def test_a_field_that_cannot_be_said_is_the_clients_to_mend() -> None:
    async with anthropic(says(b"{}")) as merit:
        got = await merit.post({"model": "chat", "messages": [{"role": "user", "content": [{"type": "hologram"}]}]})
    assert got.status_code == 400
    assert got.json()["error"]["param"] == "messages[0].content[0].type"


async def test_an_answer_of_another_protocol_is_malformed() -> None:
    async with anthropic(says(b'{"choices": []}')) as merit:
        got = await merit.post({"model": "chat", "messages": HELLO})
    assert got.status_code == 502
