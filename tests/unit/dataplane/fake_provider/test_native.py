"""The simulated vendor in the protocols of Anthropic, Bedrock, Cohere and Gemini, asked by Merit and by SDKs."""

import contextlib
import json
from collections.abc import AsyncIterator
from importlib.resources import files
from typing import Any

import anthropic
import httpx
import openai
import pytest

from merit_dataplane.fake_provider.behaviour import Behaviour
from merit_dataplane.fake_provider.native import native_of
from merit_dataplane.fake_provider.native_answers import packaged_natives
from merit_dataplane.fake_provider.server import FakeProvider
from merit_dataplane.wire.amazon_event_stream import MessageReader
from tests.support.gateway import Running, gateway
from tests.support.resources import CONSUMER, PROVIDER_KEY, prices, provider, route_of

pytestmark = pytest.mark.asyncio(loop_scope="session")

HELLO: Any = [{"role": "user", "content": "Hello"}]
TOOL: Any = {"type": "function", "function": {"name": "look_up", "parameters": {"type": "object", "properties": {}}}}
PROFILE = "arn:aws:bedrock:eu-central-1:123456789012:application-inference-profile/a1"
BASES = {
    "Anthropic": "/v1",
    "VertexAnthropic": "/v1/projects/p/locations/l",
    "Cohere": "/v2",
    "Gemini": "/v1beta",
    "VertexGemini": "/v1/projects/p/locations/l",
}
NATIVES = ["Anthropic", "VertexAnthropic", "Bedrock", "Cohere", "Gemini", "VertexGemini"]
SCHEMA: Any = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}}


@contextlib.asynccontextmanager
async def merit_before(fake: FakeProvider, protocol: str, model: str = PROFILE) -> AsyncIterator[Running]:
    url = fake.url.removesuffix("/v1") + BASES.get(protocol, "")
    tiers = f'[{{name: all, candidates: [{{provider: {{name: a}}, model: "{model}"}}]}}]'
    documents = [provider("a", url, protocol=protocol), prices("a", "1", "1", model=f'"{model}"'), route_of(tiers)]
    async with gateway(*documents, CONSUMER) as merit:
        yield merit


@pytest.mark.parametrize("protocol", NATIVES)
@pytest.mark.parametrize("stream", [False, True])
async def test_chats_tools_and_schemas(protocol: str, stream: bool) -> None:
    async with FakeProvider(api_keys=frozenset({PROVIDER_KEY})) as fake, merit_before(fake, protocol) as merit:
        client = merit.client()

        async def said(**more: Any) -> tuple[str, list[str]]:
            if not stream:
                whole = await client.chat.completions.create(model="chat", messages=HELLO, **more)
                message = whole.choices[0].message
                assert whole.usage is not None
                assert whole.usage.prompt_tokens == 1  # len("Hello") // 4
                calls = [call.function.name for call in message.tool_calls or () if call.type == "function"]
                return message.content or "", calls
            pieces = await client.chat.completions.create(
                model="chat", messages=HELLO, stream=True, stream_options={"include_usage": True}, **more
            )
            chunks = [chunk async for chunk in pieces]
            assert chunks[-1].usage is not None
            assert chunks[-1].usage.prompt_tokens == 1
            deltas = [choice.delta for chunk in chunks for choice in chunk.choices]
            names = [
                call.function.name
                for d in deltas
                for call in d.tool_calls or ()
                if call.function and call.function.name
            ]
            return "".join(d.content or "" for d in deltas), names

        text, calls = await said()
        assert text
        assert not calls
        assert set((await said(tools=[TOOL]))[1]) == {"look_up"}
        if not stream:
            text, calls = await said(response_format=SCHEMA)
            assert isinstance(json.loads(text), dict)
            assert not calls
        assert fake.stats.by_model[PROFILE] >= 2


@pytest.mark.parametrize("protocol", ["Cohere", "Gemini", "VertexGemini"])
async def test_embeddings(protocol: str) -> None:
    async with FakeProvider() as fake, merit_before(fake, protocol, "embed-v4.0") as merit:
        got = await merit.client().embeddings.create(model="chat", input=["a" * 40, "b"], encoding_format="float")
    assert len(got.data) == 2
    assert len(got.data[0].embedding) > 100
    assert got.usage.prompt_tokens == 10


@pytest.mark.parametrize(
    ("status", "error"),
    [(429, openai.RateLimitError), (400, openai.BadRequestError), (500, openai.InternalServerError)],
)
@pytest.mark.parametrize("protocol", NATIVES)
async def test_errors_in_the_vendors_own_shape(protocol: str, status: int, error: type[Exception]) -> None:
    async with FakeProvider(Behaviour(status=status)) as fake, merit_before(fake, protocol) as merit:
        with pytest.raises(error):
            await merit.client().chat.completions.create(model="chat", messages=HELLO)


@pytest.mark.parametrize("protocol", NATIVES)
async def test_a_wrong_key(protocol: str) -> None:
    async with FakeProvider(api_keys=frozenset({"another"})) as fake, merit_before(fake, protocol) as merit:
        got = await merit.post({"model": "chat", "messages": HELLO})
    assert "status_401" in got.text


async def streamed(client: openai.AsyncOpenAI) -> None:
    async for _ in await client.chat.completions.create(model="chat", messages=HELLO, stream=True):
        pass


@pytest.mark.parametrize("protocol", NATIVES)
@pytest.mark.parametrize("fault", ["reset_at_chunk", "eof_at_chunk", "malformed_at_chunk", "half_body"])
async def test_faults_within_a_stream(protocol: str, fault: str) -> None:
    async with FakeProvider(Behaviour(fault=fault, chunk=2)) as fake, merit_before(fake, protocol) as merit:
        client = merit.client()
        with pytest.raises(openai.APIError):
            await streamed(client)


async def test_anthropics_sdk_reads_it() -> None:
    async with FakeProvider(api_keys=frozenset({"a-key"})) as fake:
        url = fake.url.removesuffix("/v1")
        tool: Any = {"name": "look_up", "input_schema": {"type": "object"}}
        async with anthropic.AsyncAnthropic(base_url=url, api_key="a-key", max_retries=0) as client:
            whole = await client.messages.create(model="m", max_tokens=9, messages=HELLO)
            assert (whole.content[0].type, whole.usage.input_tokens) == ("text", 1)
            assert (await client.messages.count_tokens(model="m", messages=HELLO)).input_tokens == 1
            async with client.messages.stream(model="m", max_tokens=9, messages=HELLO, tools=[tool]) as stream:
                final = await stream.get_final_message()
            assert {block.name for block in final.content if block.type == "tool_use"} == {"look_up"}
            assert final.usage.input_tokens == 1
            with pytest.raises(anthropic.BadRequestError, match="max_tokens: Field required"):
                await client.post("/v1/messages", body={"model": "m", "messages": HELLO}, cast_to=object)
        async with anthropic.AsyncAnthropic(base_url=url, api_key="another", max_retries=0) as client:
            with pytest.raises(anthropic.AuthenticationError):
                await client.messages.create(model="m", max_tokens=9, messages=HELLO)


async def test_a_key_that_signed() -> None:
    headers = {"authorization": "AWS4-HMAC-SHA256 Credential=AKID/20260101/r/bedrock/aws4_request, SignedHeaders=host"}
    body = {"messages": [{"role": "user", "content": [{"text": "Hello"}]}]}
    async with FakeProvider(api_keys=frozenset({"AKID"})) as fake, httpx.AsyncClient() as client:
        url = fake.url.removesuffix("/v1") + "/model/amazon.nova-2-lite-v1:0/converse-stream"
        answer = await client.post(url, json=body, headers=headers)
        assert answer.headers["content-type"] == "application/vnd.amazon.eventstream"
        kinds = [message.text(":event-type") for message in MessageReader().feed(answer.content)]
        assert (kinds[0], kinds[-2:]) == ("messageStart", ["messageStop", "metadata"])
        refused = await client.post(url, json={"messages": []}, headers=headers)
        assert refused.status_code == 400
        assert refused.headers["x-amzn-errortype"].startswith("ValidationException:")
        unknown = await client.post(url, json=body, headers={"authorization": "Bearer x"})
        assert unknown.headers["x-amzn-errortype"].startswith("UnrecognizedClientException:")


async def test_other_paths_are_nobodys() -> None:
    assert native_of("/model/x/invoke") is None
    assert native_of("/v2/rerank") is None
    assert native_of("/v1/responses/resp_1") is None
    assert len({recording.name for recording in packaged_natives()}) == len(packaged_natives()) == 27


async def test_each_recording_is_free_and_named_in_the_notice() -> None:
    notice = (files("merit_dataplane.fake_provider") / "native_recordings" / "NOTICE").read_text()
    for made in packaged_natives():
        origin = made.origin
        assert origin["licence"] in ("MIT", "Apache-2.0")
        entry = f"{made.name}.json\n    {origin['repo']} @ {origin['commit']}\n    {origin['path']}\n"
        assert f"{entry}    {origin['licence']}\n" in notice
