"""Providers that speak Gemini's protocol, and those of Vertex AI, asked through the gateway by OpenAI's own SDK."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import openai
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from merit_crds.pricing import CostDetails, Usage
from merit_dataplane.wire.openai_gemini.answer import answer_body
from merit_dataplane.wire.openai_gemini.errors import read_error
from merit_dataplane.wire.openai_gemini.frames import FrameReader
from merit_dataplane.wire.openai_gemini.stream import GeminiStream
from merit_dataplane.wire.server_sent_events import MalformedStreamError
from tests.support.cassettes import Cassette, cassettes
from tests.support.gateway import Running, Script, gateway, says, scripted, streams
from tests.support.resources import CONSUMER, PROVIDER_KEY, prices, provider, route

RECORDED = {
    c.name: c
    for vendor in ("gemini", "vertex")
    for endpoint in ("generateContent", "streamGenerateContent")
    for c in cassettes(vendor, endpoint)
}
HELLO: Any = [{"role": "user", "content": "Hello"}]
SAID = b'{"candidates":[{"content":{"parts":[{"text":"Hi"}],"role":"model"},"finishReason":"STOP"}]}'


def recorded(part: str) -> Cassette:
    return next(c for name, c in RECORDED.items() if part in name)


@contextlib.asynccontextmanager
async def gemini(script: Script, *others: Script, protocol: str = "Gemini") -> AsyncIterator[Running]:
    async with contextlib.AsyncExitStack() as stack:
        made, names = [CONSUMER], "abcd"[: 1 + len(others)]
        for name, each in zip(names, (script, *others), strict=True):
            url = await stack.enter_async_context(scripted(each))
            made += [provider(name, url, protocol=protocol), prices(name, "1", "5")]
        yield await stack.enter_async_context(gateway(*made, route(*names)))


@dataclass
class Vendor:
    """Notes what it gets, answers the same each time."""

    answer: bytes = SAID
    status: str = "200 OK"
    kind: str = "application/json"
    heads: list[str] = field(default_factory=list)
    bodies: list[dict[str, Any]] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, OSError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                self.heads.append(head)
                length = int(head.lower().split("content-length: ")[1].split("\r\n")[0])
                self.bodies.append(json.loads(await reader.readexactly(length)))
                said = (
                    f"HTTP/1.1 {self.status}\r\ncontent-type: {self.kind}\r\ncontent-length: {len(self.answer)}\r\n\r\n"
                )
                writer.write(said.encode() + self.answer)
                await writer.drain()
        writer.close()


@contextlib.asynccontextmanager
async def noted(vendor: Vendor, protocol: str, model: str, base: str) -> AsyncIterator[Running]:
    async with await asyncio.start_server(vendor.serve, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}{base}"
        made = [provider("a", url, protocol=protocol), prices("a", "1", "5", model=model), CONSUMER]
        tiers = f"[{{name: all, candidates: [{{provider: {{name: a}}, model: {model!r}}}]}}]"
        routes = route("a").replace("[{name: all, candidates: [{provider: {name: a}, model: a-model}]}]", tiers)
        async with gateway(*made, routes) as merit:
            yield merit


@pytest.mark.asyncio(loop_scope="session")
@pytest.mark.parametrize(
    ("protocol", "base", "model", "stream", "path"),
    [
        ("Gemini", "/v1beta", "gemini-2.5-flash", False, "/v1beta/models/gemini-2.5-flash:generateContent"),
        (
            "Gemini",
            "/v1beta",
            "gemini-2.5-flash",
            True,
            "/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse",
        ),
        (
            "VertexGemini",
            "/v1/projects/p/locations/l",
            "gemini-3-pro",
            False,
            "/v1/projects/p/locations/l/publishers/google/models/gemini-3-pro:generateContent",
        ),
        (
            "VertexGemini",
            "/v1/projects/p/locations/l",
            "gemini-3-pro",
            True,
            "/v1/projects/p/locations/l/publishers/google/models/gemini-3-pro:streamGenerateContent?alt=sse",
        ),
        (
            "VertexAnthropic",
            "/v1/projects/p/locations/l",
            "claude-sonnet-4-5@20250929",
            False,
            "/v1/projects/p/locations/l/publishers/anthropic/models/claude-sonnet-4-5@20250929:rawPredict",
        ),
        (
            "VertexAnthropic",
            "/v1/projects/p/locations/l",
            "claude-sonnet-4-5@20250929",
            True,
            "/v1/projects/p/locations/l/publishers/anthropic/models/claude-sonnet-4-5@20250929:streamRawPredict",
        ),
    ],
)
async def test_what_google_gets(protocol: str, base: str, model: str, stream: bool, path: str) -> None:
    vendor = Vendor()
    if protocol == "VertexAnthropic":
        vendor.answer = b'{"id":"m","type":"message","content":[{"type":"text","text":"Hi"}],"stop_reason":"end_turn"}'
    if stream:
        vendor.kind = "text/event-stream"
        vendor.answer = b"data: " + SAID + b"\n\n"
        if protocol == "VertexAnthropic":
            vendor.answer = b'data: {"type":"message_stop"}\n\n'
    async with noted(vendor, protocol, model, base) as merit:
        got = await merit.post({"model": "chat", "messages": HELLO, "stream": stream})
    assert got.status_code == 200
    head = vendor.heads[0]
    assert head.startswith(f"POST {path} HTTP/1.1\r\n")
    assert f"x-goog-api-key: {PROVIDER_KEY}\r\n" in head
    assert "authorization" not in head.lower()
    if protocol == "VertexAnthropic":
        assert vendor.bodies[0]["anthropic_version"] == "vertex-2023-10-16"
        assert "model" not in vendor.bodies[0]
    else:
        assert vendor.bodies[0] == {"contents": [{"role": "user", "parts": [{"text": "Hello"}]}]}


@pytest.mark.asyncio(loop_scope="session")
@pytest.mark.parametrize("part", ["stream-with-tools-thought-1", "llm-gemini__test-tools__0"])
async def test_a_stream_through_the_sdk_is_priced_by_googles_own_count(part: str) -> None:
    cassette = recorded(part)
    body = cassette.body
    vendors = [json.loads(li[5:]) for li in body.decode().splitlines() if li.startswith("data:")] or json.loads(body)
    reported = vendors[-1]["usageMetadata"]
    kind = "text/event-stream" if body.startswith(b"data:") else "application/json; charset=UTF-8"
    async with gemini(streams(body[:700], body[700:]) if kind.startswith("text") else says(body, kind=kind)) as merit:
        stream = await merit.client().chat.completions.create(
            model="chat", messages=HELLO, stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in stream]
        line = json.loads(merit.log_text())
    usage = chunks[-1].usage
    assert usage is not None
    assert usage.prompt_tokens == line["input_tokens"] == reported["promptTokenCount"]
    written = reported["candidatesTokenCount"] + reported["thoughtsTokenCount"]
    assert usage.completion_tokens == line["output_tokens"] == written
    assert (usage.prompt_tokens + 5 * written) / 10**6 == pytest.approx(float(line["cost"]))
    assert [choice.finish_reason for c in chunks for choice in c.choices if choice.finish_reason] == ["tool_calls"]
    assert "estimated" not in line


@pytest.mark.asyncio(loop_scope="session")
async def test_googles_400_for_a_wrong_key_is_ours_and_another_provider_answers() -> None:
    wrong = recorded("raises-appropriate-auth-error")
    async with gemini(says(wrong.body, status="400 Bad Request"), says(SAID)) as merit:
        got = await merit.post({"model": "chat", "messages": HELLO})
    assert got.status_code == 200
    assert (got.headers["x-merit-provider"], got.headers["x-merit-attempts"]) == ("b", "2")


@pytest.mark.asyncio(loop_scope="session")
async def test_a_spent_quota_asks_for_as_long_as_google_says() -> None:
    spent = recorded("mini-gemini-2-5-flash-handles-context-length-exceeded-errors")
    async with gemini(says(spent.body, status="429 Too Many Requests")) as merit:
        with pytest.raises(openai.RateLimitError) as refused:
            await merit.client().chat.completions.create(model="chat", messages=HELLO)
    assert 40 < int(refused.value.response.headers["retry-after"]) < 60


@pytest.mark.asyncio(loop_scope="session")
async def test_a_prompt_that_is_too_long_is_told_in_openais_words() -> None:
    body = recorded("exai-gemini-2-5-flash-handles-context-length-exceeded-errors").body
    async with gemini(says(body, status="400 Bad Request"), protocol="VertexGemini") as merit:
        with pytest.raises(openai.BadRequestError) as refused:
            await merit.client().chat.completions.create(model="chat", messages=HELLO)
    assert refused.value.code == "context_length_exceeded"
    assert "1250074" in str(refused.value)


@pytest.mark.asyncio(loop_scope="session")
async def test_claude_on_vertex_errs_in_two_tongues() -> None:
    googles = b'{"error":{"code":400,"message":"bad region","status":"INVALID_ARGUMENT"}}'
    claudes = b'{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 9"}}'
    for body, code in ((googles, "invalid_argument"), (claudes, "context_length_exceeded")):
        async with gemini(says(body, status="400 Bad Request"), protocol="VertexAnthropic") as merit:
            with pytest.raises(openai.BadRequestError) as refused:
                await merit.client().chat.completions.create(model="chat", messages=HELLO)
        assert refused.value.code == code


@pytest.mark.asyncio(loop_scope="session")
async def test_a_blocked_prompt_is_a_refusal_not_an_error() -> None:
    body = b'{"promptFeedback":{"blockReason":"PROHIBITED_CONTENT"},"usageMetadata":{"promptTokenCount":7}}'
    async with gemini(says(body)) as merit:
        got = await merit.client().chat.completions.create(model="chat", messages=HELLO)
        choice = got.choices[0]
        assert (choice.finish_reason, choice.message.content) == ("content_filter", None)
        assert "PROHIBITED_CONTENT" in (choice.message.refusal or "")
        assert got.usage is not None
        assert (got.usage.prompt_tokens, got.usage.completion_tokens) == (7, 0)
    async with gemini(streams(b"data: " + body + b"\n\n")) as merit:
        stream = await merit.client().chat.completions.create(model="chat", messages=HELLO, stream=True)
        chunks = [chunk async for chunk in stream]
    assert chunks[0].choices[0].delta.refusal
    assert chunks[0].choices[0].finish_reason == "content_filter"


@pytest.mark.asyncio(loop_scope="session")
async def test_several_choices_with_logprobs() -> None:
    token = {"token": "Hé", "logProbability": -0.5}
    result = {"chosenCandidates": [token], "topCandidates": [{"candidates": [token, {"token": "Ho"}]}]}
    said = {
        "candidates": [
            {"index": i, "content": {"parts": [{"text": f"Hé{i}"}]}, "finishReason": reason, "logprobsResult": result}
            for i, reason in enumerate(["STOP", "MAX_TOKENS", "SAFETY"])
        ]
    }
    async with gemini(says(json.dumps(said).encode())) as merit:
        got = await merit.client().chat.completions.create(model="chat", messages=HELLO, n=3, logprobs=True)
    assert [(c.index, c.message.content, c.finish_reason) for c in got.choices] == [
        (0, "Hé0", "stop"),
        (1, "Hé1", "length"),
        (2, "Hé2", "content_filter"),
    ]
    logprobs = got.choices[0].logprobs
    assert logprobs is not None
    assert logprobs.content is not None
    assert (logprobs.content[0].token, logprobs.content[0].bytes) == ("Hé", [72, 195, 169])
    assert [top.token for top in logprobs.content[0].top_logprobs] == ["Hé", "Ho"]


@pytest.mark.asyncio(loop_scope="session")
async def test_pictures_that_the_model_drew() -> None:
    part = {"inlineData": {"mimeType": "image/png", "data": "aGk="}, "thoughtSignature": "sig"}
    said = {"candidates": [{"content": {"parts": [{"text": "Look:"}, part]}, "finishReason": "STOP"}]}
    async with gemini(says(json.dumps(said).encode())) as merit:
        got = (await merit.post({"model": "chat", "messages": HELLO})).json()
    image = got["choices"][0]["message"]["images"][0]
    assert image["image_url"]["url"] == "data:image/png;base64,aGk="
    assert image["extra_content"]["google"]["thought_signature"] == "sig"


@pytest.mark.asyncio(loop_scope="session")
async def test_an_error_within_a_stream() -> None:
    error = b'data: {"error":{"code":503,"message":"The model is overloaded.","status":"UNAVAILABLE"}}\n\n'
    first = b'data: {"candidates":[{"content":{"parts":[{"text":"Hi"}]},"index":0}]}\n\n'
    async with gemini(streams(first, error, seconds_between=0.1)) as merit:
        stream = await merit.client().chat.completions.create(model="chat", messages=HELLO, stream=True)
        with pytest.raises(openai.APIError, match="overloaded"):
            [chunk async for chunk in stream]


@pytest.mark.asyncio(loop_scope="session")
async def test_embeddings_through_the_sdk() -> None:
    body = b'{"embeddings":[{"values":[0.5,-1]}],"usageMetadata":{"promptTokenCount":4}}'
    async with gemini(says(body)) as merit:
        got = await merit.client().embeddings.create(model="chat", input="Hi")
    assert got.data[0].embedding == [0.5, -1]
    assert got.usage.prompt_tokens == 4


@pytest.mark.asyncio(loop_scope="session")
@pytest.mark.parametrize(
    "body", [b'{"choices": []}', b"{}", b"[]", b'{"candidates":[]}', b"<html>", b'{"candidates":7}']
)
async def test_an_answer_that_is_none_is_malformed(body: bytes) -> None:
    async with gemini(says(body)) as merit:
        got = await merit.post({"model": "chat", "messages": HELLO})
    assert got.status_code == 502


# ---- whatever comes


def free(_: Usage) -> CostDetails:
    return CostDetails(input=0, output=0, request=0)


def opened() -> GeminiStream:
    return GeminiStream(wants_usage=True, price=free, model="m", created=1)


@given(st.lists(st.binary(max_size=40), max_size=6), st.sampled_from([b"", b"data: ", b"[", b'data: {"candidates":']))
def test_any_bytes_are_a_stream_or_malformed(pieces: list[bytes], first: bytes) -> None:
    stream = opened()
    with contextlib.suppress(MalformedStreamError):
        for piece in (first, *pieces):
            stream.feed(piece)
        stream.finish()


NAMES = [
    "candidates", "content", "parts", "text", "thought", "thoughtSignature", "functionCall", "name", "args", "id",
    "finishReason", "index", "groundingMetadata", "groundingChunks", "groundingSupports", "segment", "startIndex",
    "groundingChunkIndices", "web", "uri", "usageMetadata", "promptTokenCount", "promptTokensDetails", "modality",
    "error", "details", "status", "message", "code", "logprobsResult", "chosenCandidates", "topCandidates",
    "promptFeedback", "blockReason", "citationMetadata", "inlineData", "mimeType", "data", "safetyRatings",
]  # fmt: skip
anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.sampled_from(["STOP", "image/png", "é"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=5),
    max_leaves=20,
)
part = st.dictionaries(st.sampled_from(["text", "thought", "thoughtSignature", "functionCall", "inlineData"]), anything)
candidate = st.fixed_dictionaries(
    {"content": st.fixed_dictionaries({"parts": st.lists(part | anything, max_size=3)}) | anything},
    optional={
        "finishReason": st.sampled_from(["STOP", "SAFETY", 1, -1, 99]),
        "index": st.integers(0, 2),
        "groundingMetadata": anything,
        "logprobsResult": anything,
        "citationMetadata": anything,
    },
)
likely = st.fixed_dictionaries(
    {"candidates": st.lists(candidate, max_size=2)}, optional={"usageMetadata": anything, "error": anything}
)


@settings(max_examples=300)
@given(likely | anything)
def test_any_json_is_an_answer_or_none(document: Any) -> None:
    body = json.dumps(document).encode()
    with contextlib.suppress(ValueError):
        json.loads(answer_body(body, "m", 1))
    stream = opened()
    with contextlib.suppress(MalformedStreamError):
        stream.feed(b"data: " + body + b"\n\n")
        stream.finish()
    status, error, _ = read_error(400, body)
    assert 400 <= status < 600
    assert error


@settings(max_examples=100)
@given(st.lists(anything, max_size=4), st.integers(1, 9), st.booleans())
def test_an_array_is_split_where_its_elements_end(elements: list[Any], size: int, pretty: bool) -> None:
    objects = [{'é\\"}{': element} for element in elements]
    data = json.dumps(objects, indent=2 if pretty else None, ensure_ascii=False).encode()
    reader = FrameReader()
    found = [frame for at in range(0, len(data), size) for frame in reader.feed(data[at : at + size])]
    assert [json.dumps(json.loads(frame)) for frame in found] == [json.dumps(each) for each in objects]
