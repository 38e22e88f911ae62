"""OpenTelemetry spans of requests, as a collector gets them over OTLP/HTTP."""

import argparse
import asyncio
import json
import time
from decimal import Decimal

import pytest

from merit_dataplane.cli import otlp_options
from merit_dataplane.fake_provider.behaviour import Behaviour
from merit_dataplane.observability import tracing
from merit_dataplane.wire.dialects import DIALECTS
from tests.support.collector import collector
from tests.support.gateway import gateway, says, scripted
from tests.support.resources import CONSUMER, CONSUMER_KEY, PROVIDER_KEY, prices, provider, route
from tests.unit.dataplane.conftest import Vendors

pytestmark = pytest.mark.asyncio(loop_scope="session")
SECRET_WORDS = "the prompt's own words"
CHAT = {"model": "chat", "messages": [{"role": "user", "content": SECRET_WORDS}], "max_tokens": 40}
ANSWER = b'{"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 1}}'
PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


async def test_a_request_and_its_attempts_are_spans_with_its_account(vendors: Vendors) -> None:
    with collector() as otlp:
        async with gateway(*vendors.resources(), traces_url=f"{otlp.url}/v1/traces") as merit:
            vendors.cheap.behaviour = Behaviour(status=503)
            answer = await merit.post(CHAT, traceparent=f"00-{PARENT[0]}-{PARENT[1]}-01", tracestate="a=1")
            assert answer.status_code == 200
            line = json.loads(merit.log_text())
    (root,), (first, second) = otlp.roots(), otlp.attempts()
    assert (root.trace, root.parent, root.name, root.failed) == (*PARENT, "chat chat", False)
    assert {span.trace for span in otlp.spans} == {PARENT[0]}
    assert (first.parent, second.parent) == (root.id, root.id)
    assert (first.failed, first.attributes["error.type"], first.attributes["http.response.status_code"]) == (
        True, "status_503", 503,
    )  # fmt: skip
    assert (second.failed, second.name) == (False, "chat middle-model")
    assert second.attributes | {
        "gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "middle-model",
        "merit.attempt": 2, "merit.provider": "default/middle", "merit.endpoint": "e0",
    } == second.attributes  # fmt: skip
    said = root.attributes
    assert said | {
        "gen_ai.operation.name": "chat", "gen_ai.request.model": "chat", "gen_ai.response.model": "middle-model",
        "gen_ai.request.max_tokens": 40, "gen_ai.request.stream": False, "http.response.status_code": 200,
        "gen_ai.usage.input_tokens": line["input_tokens"], "gen_ai.usage.output_tokens": line["output_tokens"],
        "merit.route": "default/chat", "merit.consumer": "default/tests", "merit.provider": "default/middle",
        "merit.cost_usd": line["cost"], "merit.price_version": line["price_version"], "merit.attempts": 2,
        "merit.rates.input": "0.5", "merit.rates.output": "1.5", "merit.request_id": line["request"],
    } == said  # fmt: skip
    made = line["input_tokens"] * Decimal(said["merit.rates.input"])
    made += line["output_tokens"] * Decimal(said["merit.rates.output"])
    assert made / 10**6 == Decimal(said["merit.cost_usd"])
    assert root.resource | {"service.name": "merit", "service.instance.id": "pod-under-test"} == root.resource


async def test_of_two_attempts_at_once_each_is_a_span(vendors: Vendors) -> None:
    with collector() as otlp:
        chat = route("cheap", "middle", extra='hedging: {maxExtraCostPercent: "5000"}')
        async with gateway(*vendors.resources(chat), traces_url=f"{otlp.url}/v1/traces") as merit:
            vendors.cheap.behaviour = Behaviour(latency=30)
            assert merit.parts.holder.tables is not None
            learned = merit.parts.holder.tables.routes["default/chat"].tiers[0].targets[0].learned
            for _ in range(40):
                learned.total.observe(0.03, asyncio.get_running_loop().time())
            assert (await merit.post(CHAT)).headers["x-merit-hedge"] == "won"
            assert json.loads(merit.log_text())["hedge"] == "won"
    (root,), (first, second) = otlp.roots(), otlp.attempts()
    assert (first.parent, second.parent) == (root.id, root.id)
    assert (first.failed, first.attributes["error.type"]) == (True, "outpaced")
    assert (second.failed, second.attributes["merit.provider"]) == (False, "default/middle")
    assert root.attributes["merit.hedge"] == "won"


async def test_no_text_and_no_key_is_in_a_span(vendors: Vendors) -> None:
    with collector() as otlp:
        async with gateway(*vendors.resources(), traces_url=f"{otlp.url}/v1/traces") as merit:
            answer = await merit.post(CHAT)
            said = answer.json()["choices"][0]["message"]["content"]
            await merit.post({**CHAT, "model": "nobody-serves-this"})
            await merit.post(CHAT, key="sk-wrong-key-0123456789")
    everything = b"".join(otlp.raw)
    assert len(otlp.roots()) == 3
    for secret in (SECRET_WORDS, said, CONSUMER_KEY, PROVIDER_KEY, "sk-wrong-key", "nobody-serves-this"):
        assert secret.encode() not in everything, secret


async def test_the_provider_is_told_the_attempts_span(vendors: Vendors) -> None:
    heads: list[str] = []

    async def vendor(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append((await reader.readuntil(b"\r\n\r\n")).decode().lower())
        await reader.readexactly(int(heads[-1].split("content-length: ")[1].split("\r\n")[0]))
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(ANSWER))
        writer.write(ANSWER)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(vendor, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        documents = provider("a", url), prices("a", "1", "2"), route("a"), CONSUMER
        with collector() as otlp:
            async with gateway(*documents, traces_url=f"{otlp.url}/v1/traces") as merit:
                await merit.post(CHAT, traceparent=f"00-{PARENT[0]}-{PARENT[1]}-01", tracestate="a=1")
                await merit.post(CHAT, traceparent=f"00-{PARENT[0]}-{PARENT[1]}-00")  # the client's is not sampled
        (attempt,) = otlp.attempts()
        async with gateway(*documents) as merit:
            await merit.post(CHAT, traceparent=f"00-{PARENT[0]}-{PARENT[1]}-01")
    traced, unsampled, off = heads
    assert f"traceparent: 00-{PARENT[0]}-{attempt.id}-01" in traced
    assert "tracestate: a=1" in traced
    assert f"traceparent: 00-{PARENT[0]}-" in unsampled
    assert "-00\r\n" in unsampled
    assert "traceparent" not in off


@pytest.mark.parametrize(
    ("path", "body", "operation", "output"),
    [
        ("moderations", {"input": "I will"}, "moderation", None),
        ("images/generations", {"prompt": "a fox"}, "generate_content", "image"),
        ("audio/speech", {"input": "Hi", "voice": "alloy"}, "generate_content", "speech"),
        ("completions", {"prompt": "Once"}, "text_completion", None),
        ("embeddings", {"input": "Once"}, "embeddings", None),
        ("responses", {"input": "Hi"}, "chat", None),
        ("messages", {"messages": CHAT["messages"], "max_tokens": 9}, "chat", None),
    ],
)
async def test_what_is_asked_for_has_the_conventions_name(
    path: str, body: dict[str, object], operation: str, output: str | None
) -> None:
    able = "Moderation, ImageGeneration, Speech, Embeddings"
    with collector() as otlp:
        async with scripted(says(ANSWER)) as url:
            documents = provider("a", url), prices("a", "1", "2", capabilities=able), route("a"), CONSUMER
            async with gateway(*documents, traces_url=f"{otlp.url}/v1/traces") as merit:
                await merit.post({"model": "chat", **body}, path=f"/v1/{path}")
    (root,), (attempt,) = otlp.roots(), otlp.attempts()
    assert (root.name, attempt.name) == (f"{operation} chat", f"{operation} a-model")
    assert {span.attributes["gen_ai.operation.name"] for span in (root, attempt)} == {operation}
    assert root.attributes.get("gen_ai.output.type") == output


async def test_every_protocol_has_a_provider_name_of_the_conventions() -> None:
    known = {"openai", "anthropic", "azure.ai.openai", "aws.bedrock", "cohere", "gcp.gemini", "gcp.vertex_ai"}
    assert {protocol: tracing.PROVIDERS.get(protocol) for protocol in DIALECTS} == tracing.PROVIDERS
    assert set(tracing.PROVIDERS.values()) == known


async def test_a_stream_is_one_span_until_its_end(vendors: Vendors) -> None:
    with collector() as otlp:
        async with gateway(*vendors.resources(), traces_url=f"{otlp.url}/v1/traces") as merit:
            stream = await merit.client().chat.completions.create(
                model="chat", messages=[{"role": "user", "content": "Hello"}], stream=True
            )
            assert [chunk async for chunk in stream]
    (root,), (attempt,) = otlp.roots(), otlp.attempts()
    assert root.attributes["gen_ai.request.stream"] is True
    assert attempt.parent == root.id
    assert root.attributes["merit.cost_usd"]


async def test_identical_requests_that_share_a_call_have_a_span_each(vendors: Vendors) -> None:
    cached = route("cheap", extra="cache: {exact: {ttl: 10m}}")
    with collector() as otlp:
        async with gateway(*vendors.resources(cached), traces_url=f"{otlp.url}/v1/traces") as merit:
            vendors.cheap.behaviour = Behaviour(latency=0.2)
            answers = await asyncio.gather(*(merit.post(CHAT) for _ in range(3)))
            assert {answer.status_code for answer in answers} == {200}
            await merit.post(CHAT)
            logged = len(merit.log_text().splitlines())
    assert len(otlp.roots()) == logged == 4
    assert len(otlp.attempts()) == 1


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["away", "refuses", "stalls"])
async def test_a_collector_that_is_sick_costs_no_request(vendors: Vendors, fault: str) -> None:
    with collector() as otlp:
        url = "http://127.0.0.1:9/v1/traces" if fault == "away" else f"{otlp.url}/v1/traces"
        otlp.answers, otlp.stalls = (503 if fault == "refuses" else 200), (60.0 if fault == "stalls" else 0.0)
        async with gateway(*vendors.resources(), traces_url=url) as merit:
            answers = [await merit.post(CHAT) for _ in range(20)]
            assert {answer.status_code for answer in answers} == {200}
            began = time.monotonic()
        assert time.monotonic() - began < 30


@pytest.mark.parametrize(
    ("flag", "variables", "expected"),
    [
        (None, {}, ""),
        ("http://a:4318", {}, "http://a:4318/v1/traces"),
        ("http://a:4318/", {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://b"}, "http://a:4318/v1/traces"),
        (None, {"OTEL_EXPORTER_OTLP_ENDPOINT": "https://b/x"}, "https://b/x/v1/traces"),
        (
            None,
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "https://b", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c/t"},
            "http://c/t",
        ),
        ("http://a:4318", {"OTEL_SDK_DISABLED": "true"}, ""),
        ("", {}, ""),
    ],
)
async def test_where_spans_go(
    monkeypatch: pytest.MonkeyPatch, flag: str | None, variables: dict[str, str], expected: str
) -> None:
    for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_SDK_DISABLED"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    args = argparse.Namespace(otlp_endpoint=flag, parser=argparse.ArgumentParser())
    assert otlp_options.traces_url(args) == expected


@pytest.mark.parametrize("wrong", ["collector:4318", "grpc://collector:4317", "http://"])
async def test_what_is_no_endpoint_is_named(capsys: pytest.CaptureFixture[str], wrong: str) -> None:
    with pytest.raises(SystemExit) as ended:
        otlp_options.traces_url(argparse.Namespace(otlp_endpoint=wrong, parser=argparse.ArgumentParser()))
    assert ended.value.code == 2
    assert "--otlp-endpoint must be an http:// or https:// URL" in capsys.readouterr().err
