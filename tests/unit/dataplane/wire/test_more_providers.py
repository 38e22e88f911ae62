"""Providers that speak Bedrock's, Cohere's and Azure's protocols, asked through the gateway by OpenAI's own SDK."""

import base64
import contextlib
import json
import struct
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest

from tests.support.cassettes import Cassette, cassettes
from tests.support.event_stream import event, exception
from tests.support.gateway import Running, gateway, says, scripted
from tests.support.resources import CONSUMER, PROVIDER_KEY, prices, provider, route, route_of
from tests.support.vendor import Vendor, listening

pytestmark = pytest.mark.asyncio(loop_scope="session")

HELLO: Any = [{"role": "user", "content": "Hello"}]
WITH_USAGE: Any = {"stream": True, "stream_options": {"include_usage": True}}
STREAM = "application/vnd.amazon.eventstream"
CLAUDE = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
PROFILE = "arn:aws:bedrock:eu-central-1:123456789012:application-inference-profile/a1b2c3"
FELL_BACK = b'{"choices":[{"index":0,"message":{"role":"assistant","content":"from b"},"finish_reason":"stop"}]}'


def recorded(provider_name: str, endpoint: str, part: str) -> Cassette:
    return next(c for c in cassettes(provider_name, endpoint) if part in c.name)


@contextlib.asynccontextmanager
async def serving(
    vendor: Vendor, protocol: str, *, model: str = "m", extra: str = "", path: str = ""
) -> AsyncIterator[Running]:
    tiers = f'[{{name: all, candidates: [{{provider: {{name: a}}, model: "{model}"}}]}}]'
    async with (
        listening(vendor) as url,
        gateway(
            provider("a", url + path, protocol=protocol, extra=extra),
            prices("a", "1", "5", model=f'"{model}"'),
            route_of(tiers),
            CONSUMER,
        ) as merit,
    ):
        yield merit


@pytest.mark.parametrize(("model", "in_url"), [(CLAUDE, CLAUDE), (PROFILE, PROFILE.replace("/", "%2F"))])
async def test_what_bedrock_gets(model: str, in_url: str) -> None:
    vendor = Vendor(recorded("bedrock", "converse", "accepts-a-json-schema").body)
    async with serving(vendor, "Bedrock", model=model) as merit:
        got = await merit.client().chat.completions.create(model="chat", messages=HELLO, max_tokens=9)
    assert got.choices[0].message.content == '{"name":"John","age":30}'
    assert got.model == model
    assert got.id.startswith("chatcmpl-")
    assert vendor.heads[0].startswith(f"POST /model/{in_url}/converse HTTP/1.1\r\n")
    assert f"Authorization: Bearer {PROVIDER_KEY}\r\n" in vendor.heads[0]  # a Bedrock API key
    assert vendor.asked == {
        "messages": [{"role": "user", "content": [{"text": "Hello"}]}],
        "inferenceConfig": {"maxTokens": 9},
    }


@pytest.mark.parametrize("chunk", [1, 100, 0])
async def test_a_stream_of_bedrocks_is_priced_by_its_own_count(chunk: int) -> None:
    cassette = recorded("bedrock", "converse-stream", "tools-with-multi-turn-streaming-conversations__0")
    vendor = Vendor(cassette.body, kind=STREAM, chunk=chunk)
    async with serving(vendor, "Bedrock", model=CLAUDE) as merit:
        stream = await merit.client().chat.completions.create(model="chat", messages=HELLO, **WITH_USAGE)
        chunks = [piece async for piece in stream]
        line = json.loads(merit.log_text())
    assert vendor.heads[0].startswith(f"POST /model/{CLAUDE}/converse-stream HTTP/1.1\r\n")
    usage = chunks[-1].usage
    assert usage is not None
    assert (usage.prompt_tokens, usage.completion_tokens) == (986, 42) == (line["input_tokens"], line["output_tokens"])
    assert float(line["cost"]) == pytest.approx((986 + 5 * 42) / 10**6)
    pieces = [call for piece in chunks for choice in piece.choices for call in choice.delta.tool_calls or ()]
    arguments = "".join(call.function.arguments or "" for call in pieces if call.function)
    assert json.loads(arguments) == {"latitude": "52.5200", "longitude": "13.4050"}


async def test_an_exception_within_a_stream_of_bedrocks() -> None:
    told = event("messageStart", b'{"role":"assistant"}') + exception("throttlingException", b'{"message":"Too many"}')
    async with serving(Vendor(told, kind=STREAM), "Bedrock", model=CLAUDE) as merit:
        with pytest.raises(openai.InternalServerError, match="error_event"):  # before any token: others are asked
            await merit.client().chat.completions.create(model="chat", messages=HELLO, stream=True)


async def test_a_frame_that_changed_on_its_way_breaks_the_stream() -> None:
    body = bytearray(recorded("bedrock", "converse-stream", "supports-streaming-responses").body)
    body[len(body) // 2] ^= 1
    async with serving(Vendor(bytes(body), kind=STREAM), "Bedrock", model=CLAUDE) as merit:
        with pytest.raises(openai.InternalServerError, match="malformed_answer"):
            await merit.client().chat.completions.create(model="chat", messages=HELLO, stream=True)


@pytest.mark.parametrize(
    ("status", "kind", "words"),
    [
        ("429 Too Many Requests", "ThrottlingException", "Too many requests"),
        ("400 Bad Request", "ThrottlingException", "Rate exceeded"),
        ("424 Failed Dependency", "ModelErrorException", "It broke"),
        ("403 Forbidden", "UnrecognizedClientException", "The security token included in the request is invalid."),
        ("400 Bad Request", "ValidationException", "The provided model identifier is invalid."),
        ("408 Request Timeout", "ModelTimeoutException", "Too slow"),
    ],
)
async def test_what_another_provider_can_help_goes_there(status: str, kind: str, words: str) -> None:
    vendor = Vendor(
        json.dumps({"message": words}).encode(), status=status, headers={"x-amzn-errortype": f"{kind}:http://x/"}
    )
    async with (
        scripted(says(FELL_BACK)) as second,
        listening(vendor) as url,
        gateway(
            provider("a", url, protocol="Bedrock"),
            prices("a", "1", "1"),
            provider("b", second),
            prices("b", "2", "2"),
            route("a", "b"),
            CONSUMER,
        ) as merit,
    ):
        got = await merit.client().chat.completions.create(model="chat", messages=HELLO)
    assert got.choices[0].message.content == "from b"


async def test_a_mistake_of_the_clients_is_told_in_openais_words() -> None:
    cassette = recorded("bedrock", "converse", "handles-context-length-exceeded")
    headers = {"x-amzn-errortype": cassette.headers["x-amzn-errortype"]}
    vendor = Vendor(cassette.body, status="400 Bad Request", headers=headers)
    async with serving(vendor, "Bedrock", model=CLAUDE) as merit:
        with pytest.raises(openai.BadRequestError) as refused:
            await merit.client().chat.completions.create(model="chat", messages=HELLO)
    assert refused.value.code == "context_length_exceeded"
    assert "Input Tokens Exceeded" in str(refused.value)


async def test_a_stream_of_coheres_is_priced_by_what_it_bills() -> None:
    cassette = recorded("cohere", "chat", "tool-calls-and-streaming")
    vendor = Vendor(cassette.body, kind="text/event-stream", chunk=50)
    async with serving(vendor, "Cohere", model="command-r", path="/v2") as merit:
        stream = await merit.client().chat.completions.create(model="chat", messages=HELLO, **WITH_USAGE)
        chunks = [piece async for piece in stream]
        line = json.loads(merit.log_text())
    assert vendor.heads[0].startswith("POST /v2/chat HTTP/1.1\r\n")
    assert vendor.asked == {"model": "command-r", "messages": HELLO, "stream": True}
    usage = chunks[-1].usage
    assert usage is not None
    assert (usage.prompt_tokens, usage.completion_tokens) == (968, 83)
    assert (line["input_tokens"], line["output_tokens"]) == (62, 28)
    assert float(line["cost"]) == pytest.approx((62 + 5 * 28) / 10**6)
    assert chunks[-2].choices[0].finish_reason == "tool_calls"


@pytest.mark.parametrize("form", ["float", "base64"])
async def test_embeddings_of_coheres(form: str) -> None:
    cassette = recorded("cohere", "embeddings", "custom-dimensions")
    vendor = Vendor(cassette.body)
    async with serving(vendor, "Cohere", model="embed-v4.0", path="/v2") as merit:
        got = (
            await merit.post({"model": "chat", "input": "Ruby", "encoding_format": form}, path="/v1/embeddings")
        ).json()
        line = json.loads(merit.log_text())
    assert vendor.heads[0].startswith("POST /v2/embed HTTP/1.1\r\n")
    wanted = json.loads(cassette.body)["embeddings"]["float"][0]
    found = got["data"][0]["embedding"]
    if form == "base64":
        raw = base64.b64decode(found)
        found = struct.unpack(f"<{len(raw) // 4}f", raw)
    assert list(found) == pytest.approx(wanted, rel=1e-6)
    assert line["input_tokens"] == got["usage"]["prompt_tokens"] == 7


async def test_azures_deployments() -> None:
    vendor = Vendor(FELL_BACK)
    async with serving(vendor, "AzureOpenAI", model="gpt-4o/eu") as merit:
        await merit.client().chat.completions.create(model="chat", messages=HELLO)
        await merit.client().embeddings.create(model="chat", input="x", encoding_format="float")
    assert vendor.heads[0].startswith(
        "POST /openai/deployments/gpt-4o%2Feu/chat/completions?api-version=2024-10-21 HTTP/1.1\r\n"
    )
    assert vendor.heads[1].startswith("POST /openai/deployments/gpt-4o%2Feu/embeddings?api-version=2024-10-21 ")
    assert f"api-key: {PROVIDER_KEY}\r\n" in vendor.heads[0]
    assert "authorization" not in vendor.heads[0].lower()


async def test_a_provider_may_set_another_version_of_azures_api() -> None:
    vendor = Vendor(FELL_BACK)
    extra = 'query: [{name: api-version, value: "2026-01-01-preview"}]'
    async with serving(vendor, "AzureOpenAI", extra=extra) as merit:
        await merit.client().chat.completions.create(model="chat", messages=HELLO)
    assert "?api-version=2026-01-01-preview HTTP/1.1" in vendor.heads[0]


async def test_azure_gets_no_words_of_anthropics() -> None:
    vendor = Vendor(FELL_BACK)
    asked = {
        "model": "chat",
        "max_tokens": 9,
        "system": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
        "messages": HELLO,
    }
    async with serving(vendor, "AzureOpenAI", model="gpt-4o") as merit:
        assert (await merit.post(asked, path="/v1/messages")).status_code == 200
    assert b"cache_control" not in vendor.bodies[0]
