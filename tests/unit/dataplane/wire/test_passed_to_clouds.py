"""Clients whose protocol a cloud speaks: Anthropic's on Vertex AI, OpenAI's Responses on Azure. Their bytes pass."""

import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import anthropic
import openai
import pytest

from tests.support.cassettes import cassettes
from tests.support.gateway import Running, Script, gateway, says, streams
from tests.support.resources import CONSUMER, CONSUMER_KEY, PROVIDER_KEY, prices, provider, route, route_of
from tests.support.scripted_vendor import Vendor, vendor

pytestmark = pytest.mark.asyncio(loop_scope="session")
HELLO: Any = [{"role": "user", "content": "Hello"}]
CLAUDE = "claude-sonnet-4-5@20250929"
MESSAGE = (
    b'{ "model":"claude-sonnet-4-5-20250929","id":"msg_vrtx_1","type":"message","role":"assistant", "content":[{"type"'
    b':"text", "text":"Hi"}],"stop_reason":"end_turn","stop_sequence":null,"tomorrow":1.50,"usage":{"input_tokens":7,'
    b'"cache_read_input_tokens":2,"output_tokens":3}}'
)
GOOGLES = b'{"error":{"code":400,"message":"bad region","status":"INVALID_ARGUMENT"}}'
CLAUDES = b'{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 9"},"own":1}'
COUNT = b'{"input_tokens": 14}'
RESPONSE = {
    "id": "resp_1", "object": "response", "created_at": 1, "model": "gpt-5", "status": "completed", "error": None,
    "tomorrow": 1.5, "content_filters": [{"blocked": False}],
    "output": [{"id": "msg_1", "type": "message", "role": "assistant", "status": "completed",
                "content": [{"type": "output_text", "text": "Hi", "annotations": []}]}],
    "usage": {"input_tokens": 7, "output_tokens": 3, "total_tokens": 10},
}  # fmt: skip


@contextlib.asynccontextmanager
async def cloud(
    protocol: str, script: Script, *, model: str, capabilities: str = "Streaming, Tools", extra: str = ""
) -> AsyncIterator[tuple[Running, Vendor]]:
    tiers = f'[{{name: all, candidates: [{{provider: {{name: a}}, model: "{model}"}}]}}]'
    async with (
        vendor(script) as asked,
        gateway(
            provider("a", asked.url.removesuffix("/v1"), protocol=protocol, extra=extra),
            prices("a", "1", "5", model=f'"{model}"', capabilities=capabilities),
            route_of(tiers),
            CONSUMER,
        ) as merit,
    ):
        yield merit, asked


def without_cost(body: bytes) -> dict[str, Any]:
    given: dict[str, Any] = json.loads(body, parse_float=str)
    for name in ("cost", "cost_details"):
        given["usage"].pop(name)
    return given


def line(merit: Running) -> dict[str, Any]:
    made: dict[str, Any] = json.loads(merit.log_text().splitlines()[-1])
    return made


async def test_a_message_passes_to_claude_on_vertex_and_back() -> None:
    asked_for = {
        "max_tokens": 50, "model": "chat", "messages": HELLO, "tomorrow": [1.50], "provider": {"sort": "price"},
        "tools": [{"type": "web_search_20250305", "name": "web_search"}], "thinking": {"type": "disabled"},
    }  # fmt: skip
    async with cloud("VertexAnthropic", says(MESSAGE), model=CLAUDE) as (merit, asked):
        answer = await merit.post(
            asked_for, path="/v1/messages", anthropic_version="2023-06-01", anthropic_beta="context-1m-2025-08-07"
        )
        last = line(merit)
    sent = asked.asked[0]
    assert sent.path == f"/publishers/anthropic/models/{CLAUDE}:rawPredict"
    assert sent.headers["x-goog-api-key"] == PROVIDER_KEY
    assert sent.headers["anthropic-beta"] == "context-1m-2025-08-07"
    assert "anthropic-version" not in sent.headers
    expected = {name: value for name, value in asked_for.items() if name not in {"model", "provider"}}
    assert sent.body == {"anthropic_version": "vertex-2023-10-16", **expected}
    assert answer.status_code == 200
    assert without_cost(answer.content) == json.loads(MESSAGE, parse_float=str)
    assert b'[{"type":"text", "text":"Hi"}]' in answer.content
    assert (last["input_tokens"], last["cached_input_tokens"], last["output_tokens"]) == (9, 2, 3)


@pytest.mark.parametrize("size", [1, 50, 10_000])
async def test_a_stream_of_claudes_on_vertex_passes_event_by_event(size: int) -> None:
    recorded = next(c for c in cassettes("anthropic", "messages") if c.streamed and c.status == 200)
    pieces = [recorded.body[at : at + size] for at in range(0, len(recorded.body), size)]
    async with cloud("VertexAnthropic", streams(*pieces), model=CLAUDE) as (merit, asked):
        claude = anthropic.AsyncAnthropic(base_url=merit.url, api_key=CONSUMER_KEY, max_retries=0)
        async with claude, claude.messages.stream(model="chat", max_tokens=50, messages=HELLO) as stream:
            got = [event.type async for event in stream if event.type.startswith(("message_", "content_block_"))]
    sent = asked.asked[0]
    assert sent.path == f"/publishers/anthropic/models/{CLAUDE}:streamRawPredict"
    assert (sent.body["stream"], sent.body["anthropic_version"]) == (True, "vertex-2023-10-16")
    kinds = [json.loads(li[5:])["type"] for li in recorded.body.decode().splitlines() if li.startswith("data:")]
    assert got == [kind for kind in kinds if kind != "ping"]


async def test_claude_on_vertex_counts_tokens() -> None:
    async with cloud("VertexAnthropic", says(COUNT), model=CLAUDE) as (merit, asked):
        claude = anthropic.AsyncAnthropic(base_url=merit.url, api_key=CONSUMER_KEY, max_retries=0)
        async with claude:
            counted = await claude.messages.count_tokens(model="chat", messages=HELLO)
    assert counted.input_tokens == 14
    assert asked.asked[0].path == "/publishers/anthropic/models/count-tokens:rawPredict"
    assert asked.asked[0].body == {"anthropic_version": "vertex-2023-10-16", "model": CLAUDE, "messages": HELLO}


@pytest.mark.parametrize(("body", "kept"), [(GOOGLES, False), (CLAUDES, True)], ids=["Google's", "Claude's"])
async def test_errors_on_the_way_to_claude_are_anthropics_for_its_client(body: bytes, kept: bool) -> None:
    async with cloud("VertexAnthropic", says(body, status="400 Bad Request"), model=CLAUDE) as (merit, _):
        answer = await merit.post({"model": "chat", "max_tokens": 9, "messages": HELLO}, path="/v1/messages")
    told = answer.json()
    assert (answer.status_code, told["type"], told["error"]["type"]) == (400, "error", "invalid_request_error")
    assert json.loads(body)["error"]["message"] in told["error"]["message"]
    assert (answer.content == body) is kept


@pytest.mark.parametrize(
    "more",
    [
        {"container": "c1"},
        {"mcp_servers": [{"type": "url", "url": "https://x", "name": "x"}]},
        {"messages": [{"role": "user", "content": [{"type": "image", "source": {"type": "file", "file_id": "f"}}]}]},
    ],
)
async def test_what_only_anthropics_own_api_has_goes_there(more: dict[str, Any]) -> None:
    asked_for = {"model": "chat", "max_tokens": 9, "messages": HELLO, **more}
    async with vendor(says(MESSAGE)) as asked:
        vertex = provider("a", asked.url, protocol="VertexAnthropic"), prices("a", "1", "1", capabilities="Images")
        own = provider("b", asked.url, protocol="Anthropic"), prices("b", "2", "2", capabilities="Images")
        async with gateway(*vertex, *own, route("a", "b"), CONSUMER) as merit:
            answer = await merit.post(asked_for, path="/v1/messages")
            assert (answer.status_code, answer.headers["x-merit-provider"]) == (200, "b")
        async with gateway(*vertex, route("a"), CONSUMER) as merit:
            refused = await merit.post(asked_for, path="/v1/messages")
    assert refused.status_code == 400
    assert "what only Anthropic's own API has" in refused.json()["error"]["message"]


@pytest.mark.parametrize(
    "extra", ["", 'query: [{name: api-version, value: "2026-01-01-preview"}, {name: own, value: "1"}]']
)
async def test_a_response_passes_to_azure_and_back(extra: str) -> None:
    body = json.dumps(RESPONSE).encode()
    tools = [{"type": "code_interpreter", "container": {"type": "auto"}}]
    asked_for = {"model": "chat", "input": [{"role": "user", "content": "Hello"}], "tools": tools, "store": False}
    able = "Streaming, Tools, Responses"
    async with cloud("AzureOpenAI", says(body), model="gpt-5/eu", capabilities=able, extra=extra) as (merit, asked):
        answer = await merit.post(asked_for, path="/v1/responses")
        last = line(merit)
    sent = asked.asked[0]
    assert sent.path == "/openai/v1/responses" + ("?own=1" if extra else "")
    assert sent.headers["api-key"] == PROVIDER_KEY
    assert sent.body == {**asked_for, "model": "gpt-5/eu"}
    assert without_cost(answer.content) == json.loads(body, parse_float=str)
    assert b'[{"blocked": false}]' in answer.content
    assert (last["input_tokens"], last["output_tokens"]) == (7, 3)


@pytest.mark.parametrize("size", [1, 50, 10_000])
async def test_a_stream_of_responses_passes_from_azure(size: int) -> None:
    recorded = next(c for c in cassettes("azure", "responses") if c.streamed and c.status == 200)
    pieces = [recorded.body[at : at + size] for at in range(0, len(recorded.body), size)]
    able = "Streaming, Tools, Responses"
    async with cloud("AzureOpenAI", streams(*pieces), model="gpt-5", capabilities=able) as (merit, asked):
        answer = await merit.post({"model": "chat", "input": "Hello", "stream": True}, path="/v1/responses")
    assert asked.asked[0].path == "/openai/v1/responses"
    assert events(answer.content)[:-1] == events(recorded.body)[:-1]
    last, vendors = (json.loads(events(body)[-1])["response"] for body in (answer.content, recorded.body))
    assert last["output"] == vendors["output"]
    assert vendors["usage"].items() <= last["usage"].items()


def events(body: bytes) -> list[str]:
    return [li[5:].strip() for li in body.decode().splitlines() if li.startswith("data:")]


async def test_a_model_of_azures_without_responses_is_asked_for_a_chat() -> None:
    body = b'{"choices":[{"index":0,"message":{"role":"assistant","content":"Hi"},"finish_reason":"stop"}]}'
    async with cloud("AzureOpenAI", says(body), model="gpt-4o") as (merit, asked):
        answer = await merit.client().responses.create(model="chat", input="Hello")
        assert answer.output_text == "Hi"
        with pytest.raises(openai.BadRequestError, match="Responses"):
            await merit.client().responses.create(model="chat", input="Hello", tools=[{"type": "web_search"}])
    assert [sent.path for sent in asked.asked] == ["/openai/deployments/gpt-4o/chat/completions?api-version=2024-10-21"]
