"""What a client sees when all is well: the official SDK against the gateway, with simulated vendors behind it."""

import asyncio
import hashlib
import json
import re
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import openai
import pytest
import pytest_asyncio
from openai.types.chat import ChatCompletionMessageParam, ChatCompletionToolParam

from merit_crds.pricing import price_version
from tests.support.gateway import Running, eventually, gateway, over, says, scripted, streams
from tests.support.resources import (
    CONSUMER,
    CONSUMER_KEY,
    PROVIDER_KEY,
    candidate,
    consumer,
    prices,
    provider,
    route,
    route_of,
)
from tests.unit.dataplane.conftest import Vendors

pytestmark = pytest.mark.asyncio(loop_scope="session")

HELLO: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Hello there, how are you today?"}]
TOOL: ChatCompletionToolParam = {
    "type": "function",
    "function": {"name": "get_weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}},
}


@pytest_asyncio.fixture(loop_scope="session")
async def merit(vendors: Vendors) -> AsyncIterator[Running]:
    async with gateway(*vendors.resources()) as running:
        yield running


def usage_in(body: bytes) -> dict[str, Any]:
    usage: dict[str, Any] = json.loads(body, parse_float=Decimal)["usage"]
    return usage


async def test_a_plain_answer_comes_from_the_cheapest_and_says_so(merit: Running, vendors: Vendors) -> None:
    raw = await merit.client().chat.completions.with_raw_response.create(model="chat", messages=HELLO)
    answer = raw.parse()
    assert answer.choices[0].message.content
    shown = {name: value for name, value in raw.headers.items() if name.startswith("x-merit-")}
    assert merit.compiled is not None
    assert shown.pop("x-merit-request-id").startswith("req_")
    usage = answer.usage
    assert usage is not None
    cost = (Decimal("0.10") * usage.prompt_tokens + Decimal("0.40") * usage.completion_tokens) / 1_000_000
    assert Decimal(shown.pop("x-merit-cost")) == cost
    assert shown.pop("x-merit-price-version") == price_version(merit.compiled.snapshot.pricings["default/cheap"])
    assert shown == {
        "x-merit-provider": "cheap",
        "x-merit-model": "cheap-model",
        "x-merit-route": "chat",
        "x-merit-tier": "all",
        "x-merit-attempts": "1",
        "x-merit-snapshot": merit.compiled.version[:12],
    }
    assert [v.stats.requests for v in vendors.all] == [1, 0, 0]


async def test_the_cost_in_the_body_is_exact_to_the_pico_dollar(vendors: Vendors) -> None:
    documents = [d for d in vendors.resources(route("cheap")) if "providerRef: {name: cheap}" not in d]
    priced = prices("cheap", "0.123457", "9876.543211", more_prices=', request: "0.000003"')
    async with gateway(*documents, priced) as merit:
        answer = await merit.post({"model": "chat", "messages": HELLO})
    usage = usage_in(answer.content)
    expected = (
        Decimal("0.123457") * usage["prompt_tokens"] + Decimal("9876.543211") * usage["completion_tokens"]
    ) / 1_000_000 + Decimal("0.000003")
    assert usage["cost"] == expected == Decimal(answer.headers["x-merit-cost"])
    details = usage["cost_details"]
    assert details["upstream_inference_cost"] == expected
    assert details["upstream_inference_prompt_cost"] == Decimal("0.123457") * usage["prompt_tokens"] / 1_000_000


async def test_cached_input_and_cache_writes_have_their_own_prices() -> None:
    details = {"cached_tokens": 600, "cache_write_tokens": 300}
    usage = {"prompt_tokens": 1000, "completion_tokens": 10, "prompt_tokens_details": details}
    body = json.dumps({"choices": [], "usage": usage}).encode()
    more = ', cachedInput: "0.1", cacheWrite: "1.25"'
    async with scripted(says(body)) as url:
        documents = provider("a", url), prices("a", "1", "2", more_prices=more), route("a"), CONSUMER
        async with gateway(*documents) as merit:
            answer = await merit.post({"model": "chat", "messages": HELLO})
            metrics = await merit.metrics()
    expected = (100 * Decimal(1) + 600 * Decimal("0.1") + 300 * Decimal("1.25") + 10 * Decimal(2)) / 1_000_000
    assert usage_in(answer.content)["cost"] == expected
    assert re.search(r'merit_tokens_total\{[^}]*gen_ai_token_type="cached_input"[^}]*\} 600\.0', metrics)


async def test_reasoning_and_sound_have_their_own_prices() -> None:
    usage = {
        "prompt_tokens": 1000,
        "completion_tokens": 300,
        "prompt_tokens_details": {"audio_tokens": 400},
        "completion_tokens_details": {"reasoning_tokens": 200, "audio_tokens": 50},
    }
    more = ', audioInput: "32", audioOutput: "64", reasoning: "3"'
    priced = prices("a", "1", "2", more_prices=more)
    async with (
        scripted(says(json.dumps({"choices": [], "usage": usage}).encode())) as url,
        gateway(provider("a", url), priced, route("a"), CONSUMER) as merit,
    ):
        answer = await merit.post({"model": "chat", "messages": HELLO})
        line = json.loads(merit.log_text())
    assert usage_in(answer.content)["cost"] == Decimal(600 + 400 * 32 + 50 * 2 + 200 * 3 + 50 * 64) / 1_000_000
    assert (line["input_tokens"], line["output_tokens"]) == (1000, 300)
    assert line["special"] == {"reasoning": 200, "audio_input": 400, "audio_output": 50}
    assert line["rates"]["special"]["audio_input"] == "32"


async def test_a_long_input_is_charged_at_its_context_tier() -> None:
    """By what the provider counted, at the threshold and one token above it; the bid by what was estimated."""
    tier = 'contextTiers: [{above: 1000, applies: Whole, prices: {input: "2", output: "3", cachedInput: "0.2"}}]'
    for prompt, expected in ((1000, "0.00046"), (1001, "0.000922")):
        details = {"cached_tokens": 600}
        usage = {"prompt_tokens": prompt, "completion_tokens": 0, "prompt_tokens_details": details}
        async with scripted(says(json.dumps({"choices": [], "usage": usage}).encode())) as url:
            priced = prices("a", "1", "2", more_prices=', cachedInput: "0.1"', extra=tier)
            async with gateway(provider("a", url), priced, route("a"), CONSUMER) as merit:
                answer = await merit.post({"model": "chat", "messages": HELLO})
                line = json.loads(merit.log_text())
        assert usage_in(answer.content)["cost"] == Decimal(expected)
        assert Decimal(line["expected_cost"]) < Decimal(expected) + Decimal("0.001")


async def test_an_answer_without_usage_is_estimated_and_marked(vendors: Vendors) -> None:
    async with over(says(b'{"choices":[]}')) as merit:
        answer = await merit.post({"model": "chat", "messages": HELLO})
        assert Decimal(answer.headers["x-merit-cost"]) > 0
        usage = answer.json()["usage"]  # SDKs that check what they get refuse one without its counts
        assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"] > 1
        assert json.loads(merit.log_text())["estimated"] is True
        assert "merit_usage_estimated_total" in await merit.metrics()


async def collect(stream: openai.AsyncStream[Any]) -> tuple[str, Any, int]:
    text, usage, chunks = "", None, 0
    async for chunk in stream:
        chunks += 1
        usage = chunk.usage or usage
        if chunk.choices:
            text += chunk.choices[0].delta.content or ""
    return text, usage, chunks


async def test_a_stream_without_the_wish_for_usage_has_none_and_is_accounted_all_the_same(merit: Running) -> None:
    stream = await merit.client().chat.completions.create(model="chat", messages=HELLO, stream=True)
    text, usage, chunks = await collect(stream)
    assert text
    assert usage is None
    assert chunks > 2
    await eventually(lambda: merit.parts.ledger.in_flight == 0, "the stream has not ended")
    line = json.loads(merit.log_text())
    assert line["output_tokens"] > 0
    assert "estimated" not in line
    assert (
        Decimal(line["cost"])
        == (line["input_tokens"] * Decimal("0.10") + line["output_tokens"] * Decimal("0.40")) / 1_000_000
    )


async def test_a_stream_with_the_wish_for_usage_ends_with_its_cost(merit: Running) -> None:
    raw = await merit.client().chat.completions.with_raw_response.create(
        model="chat", messages=HELLO, stream=True, stream_options={"include_usage": True}
    )
    assert raw.headers["x-merit-provider"] == "cheap"
    assert "x-merit-expected-cost" in raw.headers
    _, usage, _ = await collect(raw.parse())
    cost = (Decimal("0.10") * usage.prompt_tokens + Decimal("0.40") * usage.completion_tokens) / 1_000_000
    assert Decimal(str(usage.cost)) == cost
    assert Decimal(str(usage.cost_details["upstream_inference_cost"])) == cost


async def test_tool_calls_plain_and_streamed(merit: Running) -> None:
    client = merit.client()
    plain = await client.chat.completions.create(model="chat", messages=HELLO, tools=[TOOL])
    calls = plain.choices[0].message.tool_calls
    assert calls
    assert calls[0].type == "function"
    assert calls[0].function.name == "get_weather"
    json.loads(calls[0].function.arguments)
    arguments, name = "", ""
    async for chunk in await client.chat.completions.create(model="chat", messages=HELLO, tools=[TOOL], stream=True):
        for call in (chunk.choices and chunk.choices[0].delta.tool_calls) or []:
            if call.function is not None:
                name += call.function.name or ""
                arguments += call.function.arguments or ""
    assert name == "get_weather"
    json.loads(arguments)


async def test_embeddings(merit: Running) -> None:
    answer = await merit.client().embeddings.create(model="chat", input="some text")
    assert len(answer.data[0].embedding) > 3
    raw = await merit.post({"model": "chat", "input": ["a", "b"]}, path="/v1/embeddings")
    assert raw.headers["x-merit-model"] == "cheap-model"
    assert usage_in(raw.content)["cost"] == Decimal(raw.headers["x-merit-cost"])


async def test_completions_plain_and_streamed(merit: Running) -> None:
    client = merit.client()
    plain = await client.completions.create(model="chat", prompt="Once upon a time")
    assert plain.choices[0].text
    text = ""
    async for chunk in await client.completions.create(model="chat", prompt="Once upon", stream=True):
        text += chunk.choices[0].text if chunk.choices else ""
    assert text


async def test_models(vendors: Vendors) -> None:
    more = route("dear", name="second", model="vendor/second:latest")
    async with gateway(*vendors.resources(), more) as merit:
        client = merit.client()
        assert [model.id async for model in client.models.list()] == ["chat", "vendor/second:latest"]
        assert (await client.models.retrieve("chat")).owned_by == "merit:chat"
        assert (await merit.http.get(f"{merit.url}/v1/models/vendor/second:latest", headers=auth())).status_code == 200
        with pytest.raises(openai.NotFoundError, match="does not exist"):
            await client.models.retrieve("gpt-9")


def auth(key: str = CONSUMER_KEY) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


async def test_the_provider_gets_its_own_key_its_own_model_name_and_our_fields_untouched(
    merit: Running, vendors: Vendors
) -> None:
    extra = {"x_unknown": {"deep": [1, 2.50, "é"]}, "metadata": {"a": "b"}}
    await merit.client().chat.completions.create(model="chat", messages=HELLO, temperature=0.25, extra_body=extra)
    sent = vendors.cheap.stats.last_request
    assert sent["body"] == {"model": "cheap-model", "messages": HELLO, "temperature": 0.25, **extra}
    assert sent["headers"]["user-agent"] == "merit"
    assert not [name for name in sent["headers"] if name.startswith("x-stainless")]


async def test_the_providers_key_is_sent_and_never_the_consumers(vendors: Vendors) -> None:
    seen: list[bytes] = []

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await says(b'{"choices":[]}')(reader, writer)

    async def record(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.readuntil(b"\r\n\r\n"))
        await script(reader, writer)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(record, "127.0.0.1", 0)
    async with server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        async with gateway(provider("a", url), prices("a", "1", "1"), route("a"), CONSUMER) as merit:
            assert (await merit.post({"model": "chat", "messages": HELLO}, cookie="a=b")).status_code == 200
    head = seen[0].decode().lower()
    assert f"authorization: bearer {PROVIDER_KEY}" in head
    assert CONSUMER_KEY not in head
    assert "cookie" not in head


async def test_headers_of_the_provider_resource_are_sent(vendors: Vendors) -> None:
    extra = "headers: [{name: OpenAI-Organization, value: org-1}]"
    async with gateway(*vendors.resources(extra=extra)) as merit:
        await merit.post({"model": "chat", "messages": HELLO})
    assert vendors.cheap.stats.last_request["headers"]["openai-organization"] == "org-1"


async def test_the_cheapest_for_this_request_is_chosen_request_by_request(vendors: Vendors) -> None:
    documents = [
        provider("reader", vendors.cheap.url), prices("reader", "0.1", "50"),
        provider("writer", vendors.dear.url), prices("writer", "5", "1"),
        route("reader", "writer"), CONSUMER,
    ]  # fmt: skip
    async with gateway(*documents) as merit:
        long = [{"role": "user", "content": "x" * 40_000}]
        answers = [
            await merit.post({"model": "chat", "messages": long, "max_tokens": 5}),
            await merit.post({"model": "chat", "messages": HELLO, "max_tokens": 500}),
        ]
    assert [a.headers["x-merit-provider"] for a in answers] == ["reader", "writer"]


TIERS = """
    - name: long
      when: [{inputTokens: {atLeast: 1000}}]
      candidates: [{provider: {name: dear}, model: dear-model}]
    - name: tools
      when: [{uses: [Tools]}]
      candidates: [{provider: {name: middle}, model: middle-model}]
    - name: streams
      when: [{uses: [Streaming]}]
      candidates: [{provider: {name: middle}, model: middle-model}]
    - name: header
      when: [{headers: [{name: X-Priority, value: high}]}]
      candidates: [{provider: {name: dear}, model: dear-model}]
    - name: words
      when: [{lastMessage: "(?i)refund"}]
      candidates: [{provider: {name: dear}, model: dear-model}]
    - name: rest
      candidates: [{provider: {name: cheap}, model: cheap-model}]
"""


async def test_the_tier_by_each_kind_of_condition(vendors: Vendors) -> None:
    cases: list[tuple[str, dict[str, Any], dict[str, str]]] = [
        ("rest", {}, {}),
        ("long", {"messages": [{"role": "user", "content": "x" * 5000}]}, {}),
        ("tools", {"tools": [TOOL]}, {}),
        ("streams", {"stream": True}, {}),
        ("header", {}, {"x_priority": "high"}),
        ("rest", {}, {"x_priority": "low"}),
        ("words", {"messages": [{"role": "user", "content": "I want a REFUND"}]}, {}),
    ]
    async with gateway(*vendors.resources(route_of(TIERS))) as merit:
        for tier, fields, headers in cases:
            answer = await merit.post({"model": "chat", "messages": HELLO, **fields}, **headers)
            assert (answer.status_code, answer.headers["x-merit-tier"]) == (200, tier)


async def test_a_missed_objective_is_said_and_is_no_outage(vendors: Vendors) -> None:
    who = ", ".join([candidate("cheap", accuracy="0.5"), candidate("dear", accuracy="0.7")])
    tiers = f'[{{name: all, candidates: [{who}], objectives: {{accuracy: "0.9"}}}}]'
    async with gateway(*vendors.resources(route_of(tiers))) as merit:
        answer = await merit.post({"model": "chat", "messages": HELLO})
    assert answer.status_code == 200
    assert answer.headers["x-merit-provider"] == "dear"
    assert answer.headers["x-merit-objectives"] == "missed: accuracy 0.7 is below 0.9"


async def test_a_met_objective_is_not_marked(vendors: Vendors) -> None:
    who = ", ".join([candidate("cheap", accuracy="0.5"), candidate("dear", accuracy="0.95")])
    tiers = f'[{{name: all, candidates: [{who}], objectives: {{accuracy: "0.9"}}}}]'
    async with gateway(*vendors.resources(route_of(tiers))) as merit:
        answer = await merit.post({"model": "chat", "messages": HELLO})
    assert answer.headers["x-merit-provider"] == "dear"
    assert "x-merit-objectives" not in answer.headers


async def test_a_provider_of_another_namespace_is_shown_with_it(vendors: Vendors) -> None:
    documents = [
        provider("shared", vendors.cheap.url, namespace="platform", extra="allowedNamespaces: [default]"),
        prices("shared", "1", "1", namespace="platform"),
        route_of("[{name: all, candidates: [{provider: {name: shared, namespace: platform}, model: shared-model}]}]"),
        CONSUMER,
        "apiVersion: v1\nkind: Secret\nmetadata: {name: provider-keys, namespace: platform}\nstringData: {key: abc}",
    ]
    async with gateway(*documents) as merit:
        answer = await merit.post({"model": "chat", "messages": HELLO})
    assert answer.headers["x-merit-provider"] == "platform/shared"


async def test_expected_cost_learns_from_the_answers(vendors: Vendors) -> None:
    async with gateway(*vendors.resources()) as merit:
        for _ in range(30):
            await merit.post({"model": "chat", "messages": HELLO})
        lines = [json.loads(line) for line in merit.log_text().splitlines()]
    gaps = [abs(Decimal(line["cost"]) - Decimal(line["expected_cost"])) for line in lines]
    assert gaps[-1] < gaps[0] / 2


# ---- who may call what


async def test_a_consumer_reaches_only_what_it_may(vendors: Vendors) -> None:
    theirs = (
        provider("theirs", vendors.dear.url, namespace="other"),
        prices("theirs", "1", "1", namespace="other"),
        route("theirs", name="secret", model="secret-model", namespace="other"),
        "apiVersion: v1\nkind: Secret\nmetadata: {name: provider-keys, namespace: other}\nstringData: {key: abc}",
        consumer("limited", "limited-consumer-key-0003", routes=", routes: [{name: second}]"),
        route("dear", name="second", model="second"),
        consumer("them", "their-consumer-key-00004", namespace="other"),
    )
    async with gateway(*vendors.resources(), *theirs) as merit:
        asked = [
            (CONSUMER_KEY, {"chat", "second"}),
            ("limited-consumer-key-0003", {"second"}),
            ("their-consumer-key-00004", {"secret-model"}),
        ]
        for key, allowed in asked:
            assert {m.id async for m in merit.client(key).models.list()} == allowed
            for model in ("chat", "second", "secret-model", "no-such-model"):
                answer = await merit.post({"model": model, "messages": HELLO}, key=key)
                assert answer.status_code == (200 if model in allowed else 404), (key, model)
        refused = [await merit.post({"model": m, "messages": HELLO}) for m in ("secret-model", "secret-modem")]
        # the same words whether it exists elsewhere or not
        assert refused[0].text.replace("secret-model", "X") == refused[1].text.replace("secret-modem", "X")


async def test_upstream_connections_are_kept_after_streams_too(vendors: Vendors) -> None:
    connections: set[object] = set()
    body = b'data: {"choices":[{"delta":{"content":"x"}}]}\n\n'
    script = streams(body, body, b"data: [DONE]\n\n", seconds_between=0.025)

    async def counted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.add(writer)
        await script(reader, writer)

    async with over(counted) as merit:
        for _ in range(3):
            answer = await merit.post({"model": "chat", "messages": HELLO, "stream": True})
            assert b"[DONE]" in answer.content
            await eventually(lambda: merit.parts.ledger.in_flight == 0, "still in flight")
    assert len(connections) == 1


async def test_the_key_of_the_provider_that_is_recorded_is_the_hash_of_its_own(
    merit: Running, vendors: Vendors
) -> None:
    await merit.post({"model": "chat", "messages": HELLO})
    digest = hashlib.sha256(f"Bearer {PROVIDER_KEY}".encode()).hexdigest()[:12]
    token = hashlib.sha256(PROVIDER_KEY.encode()).hexdigest()[:12]
    assert vendors.cheap.stats.last_request["headers"]["authorization"] in (digest, token)
