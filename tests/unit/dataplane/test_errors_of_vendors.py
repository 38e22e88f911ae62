"""What a client's own SDK raises for each kind of error of each vendor's, and whether it asks again."""

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import anthropic
import openai
import pytest
import pytest_asyncio

from tests.support.consumers import consumer
from tests.support.gateway import Running, gateway
from tests.support.resources import CONSUMER, CONSUMER_KEY, prices, provider, route

pytestmark = pytest.mark.asyncio(loop_scope="session")
WORDS = "words of the vendor and nobody else"
HELLO: Any = [{"role": "user", "content": "Hello"}]
PROTOCOLS = {"OpenAI": "openai", "Anthropic": "anthropic", "Gemini": "gemini", "Bedrock": "bedrock", "Cohere": "cohere"}
CLIENTS = ["chat", "responses", "messages"]


class Kind(NamedTuple):
    """An error of a vendor's, and what becomes of it."""

    status: int
    raised: str
    """The exception's name, in both SDKs."""
    again: bool = False
    """Whether the SDK asks once more."""
    headers: str = ""
    seen: int = 0
    """The status that the client sees; 0 where it is the vendor's."""


KINDS = {
    "bad": Kind(400, "BadRequestError"),
    "key": Kind(401, "InternalServerError", seen=502),
    "unpaid": Kind(402, "InternalServerError", seen=502),
    "forbidden": Kind(403, "InternalServerError", seen=502),
    "unknown": Kind(404, "InternalServerError", seen=502),
    "large": Kind(413, "APIStatusError"),
    "unprocessable": Kind(422, "UnprocessableEntityError"),
    "limited": Kind(429, "RateLimitError", again=True, headers="retry-after-ms: 20\r\n"),
    "overloaded": Kind(503, "InternalServerError", again=True, headers="retry-after-ms: 20\r\n", seen=502),
}


def body(protocol: str, status: int) -> bytes:
    shapes: dict[str, Any] = {
        "OpenAI": {"error": {"message": WORDS, "type": "a_type", "param": None, "code": None}},
        "Anthropic": {"type": "error", "error": {"type": "a_type", "message": WORDS}},
        "Gemini": {"error": {"code": status, "message": WORDS, "status": "A_STATUS"}},
        "Bedrock": {"message": WORDS},
        "Cohere": {"message": WORDS},
    }
    return json.dumps(shapes[protocol]).encode()


async def _vendor(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Its path says who it is, and what goes wrong."""
    with contextlib.suppress(asyncio.IncompleteReadError, OSError):
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            await reader.readexactly(int(head.lower().split("content-length: ")[1].split("\r\n")[0]))
            _, protocol, kind, *_ = head.split("/")
            told, said = KINDS[kind], body(protocol, KINDS[kind].status)
            more = told.headers + ("x-amzn-errortype: AnException\r\n" if protocol == "Bedrock" else "")
            length = f"content-type: application/json\r\ncontent-length: {len(said)}\r\n"
            writer.write(f"HTTP/1.1 {told.status} No\r\n{length}{more}\r\n".encode() + said)
            await writer.drain()
    writer.close()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def shop() -> AsyncIterator[Running]:
    """A route for each kind of error of each protocol: `openai-bad`."""
    async with await asyncio.start_server(_vendor, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        documents = [CONSUMER]
        for protocol, short in PROTOCOLS.items():
            for kind in KINDS:
                name = f"{short}-{kind}"
                documents += [
                    provider(name, f"http://127.0.0.1:{port}/{protocol}/{kind}", protocol=protocol),
                    prices(name, "1", "2"),
                    route(name, name=name, model=name),
                ]
        async with gateway(*documents, alone=False) as merit:
            yield merit


async def raised(merit: Running, client: str, model: str, retries: int = 2) -> Any:
    """The exception of the SDK."""
    if client == "messages":
        async with anthropic.AsyncAnthropic(base_url=merit.url, api_key=CONSUMER_KEY, max_retries=retries) as claude:
            with pytest.raises(anthropic.APIStatusError) as met:
                await claude.messages.create(model=model, max_tokens=9, messages=HELLO)
            return met.value
    sdk = merit.client().with_options(max_retries=retries)
    asked: Any = sdk.chat.completions.create(model=model, messages=HELLO)
    if client == "responses":
        asked.close()
        asked = sdk.responses.create(model=model, input="Hello")
    with pytest.raises(openai.APIStatusError) as wrong:
        await asked
    return wrong.value


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("kind", KINDS)
async def test_what_is_raised_and_whether_it_is_asked_again(
    shop: Running, client: str, protocol: str, kind: str
) -> None:
    expected = KINDS[kind]
    before = len(shop.log_text().splitlines())
    error = await raised(shop, client, f"{PROTOCOLS[protocol]}-{kind}", retries=1 if expected.again else 2)
    asked = len(shop.log_text().splitlines()) - before
    names = [cls.__name__ for cls in type(error).__mro__]
    assert expected.raised in names, names
    assert error.status_code == (expected.seen or expected.status)
    assert asked == (2 if expected.again else 1)
    assert WORDS in str(error)
    if client == "messages":
        assert error.body["type"] == "error"
        assert error.response.headers["request-id"]


@pytest.mark.parametrize("client", CLIENTS)
async def test_errors_of_merits_own(shop: Running, client: str) -> None:
    assert type(await raised(shop, client, "nobody-serves-this")).__name__ == "NotFoundError"
    path = {"chat": "chat/completions"}.get(client, client)
    refused = await shop.post({"model": "openai-bad"}, path=f"/v1/{path}", key="sk-wrong")
    assert refused.status_code == 401
    assert "authentication_error" in refused.text or client != "messages"


OPENAIS = {
    "x-ratelimit-limit-requests": "100", "x-ratelimit-remaining-requests": "99", "x-ratelimit-reset-requests": "1m30s",
    "x-ratelimit-limit-tokens": "5000", "x-ratelimit-remaining-tokens": "4900", "x-ratelimit-reset-tokens": "20ms",
}  # fmt: skip
ANTHROPICS = {
    "anthropic-ratelimit-requests-limit": "100", "anthropic-ratelimit-requests-remaining": "99",
    "anthropic-ratelimit-requests-reset": "2026-01-01T00:01:30Z", "anthropic-ratelimit-tokens-limit": "5000",
    "anthropic-ratelimit-tokens-remaining": "4900", "anthropic-ratelimit-tokens-reset": "2026-01-01T00:00:01Z",
    "anthropic-ratelimit-output-tokens-limit": "800", "anthropic-ratelimit-output-tokens-remaining": "700",
    "anthropic-ratelimit-output-tokens-reset": "2026-01-01T00:00:01Z",
}  # fmt: skip
STREAM = b'data: {"choices":[{"index":0,"delta":{"content":"Hi"},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
CHAT = b'{"choices":[{"index":0,"message":{"role":"assistant","content":"Hi"},"finish_reason":"stop"}]}'
MESSAGE = (
    b'{"id":"m","type":"message","role":"assistant","content":[{"type":"text","text":"Hi"}],"stop_reason":"end_turn"}'
)


def limits_of(headers: Any) -> dict[str, str]:
    return {name: value for name, value in headers.items() if "ratelimit" in name}


@contextlib.asynccontextmanager
async def told(
    protocol: str, given: dict[str, str], *, status: str = "200 OK", extra: str = ""
) -> AsyncIterator[Running]:
    async def vendor(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, OSError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                await reader.readexactly(int(head.lower().split("content-length: ")[1].split("\r\n")[0]))
                said = MESSAGE if protocol == "Anthropic" else CHAT
                kind, lines = "application/json", "".join(f"{name}: {value}\r\n" for name, value in given.items())
                if '"stream":true' in head or "text/event-stream" in head:
                    kind = "text/event-stream"
                    said = STREAM
                writer.write(
                    f"HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {len(said)}\r\n{lines}\r\n".encode()
                    + said
                )
                await writer.drain()
        writer.close()

    caller = consumer(extra) if extra else CONSUMER
    async with await asyncio.start_server(vendor, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with gateway(provider("a", url, protocol=protocol), prices("a", "1", "2"), route("a"), caller) as merit:
            yield merit


ASKED: dict[str, tuple[str, dict[str, Any]]] = {
    "chat": ("/v1/chat/completions", {"model": "chat", "messages": HELLO}),
    "responses": ("/v1/responses", {"model": "chat", "input": "Hello"}),
    "messages": ("/v1/messages", {"model": "chat", "max_tokens": 9, "messages": HELLO}),
}


@pytest.mark.parametrize("protocol", ["OpenAI", "Anthropic"])
@pytest.mark.parametrize(
    ("status", "clients"),
    [
        ("200 OK", CLIENTS),
        ("400 Bad Request", CLIENTS),
        ("429 Too Many Requests", ["chat"]),  # one each: the account is left alone after that
        ("429 Too Many Requests", ["messages"]),
        ("503 Unavailable", ["chat"]),
        ("503 Unavailable", ["messages"]),
    ],
)
async def test_limits_that_the_vendor_tells_reach_the_client_in_its_own_words(
    protocol: str, status: str, clients: list[str]
) -> None:
    given = OPENAIS if protocol == "OpenAI" else ANTHROPICS
    async with told(protocol, given, status=status) as merit:
        for client in clients:
            path, asked = ASKED[client]
            check(limits_of((await merit.post(asked, path=path)).headers), client, protocol, given)
            if protocol == "OpenAI":
                streamed = await merit.post({**asked, "stream": True}, path=path)
                check(limits_of(streamed.headers), client, protocol, given)


def check(got: dict[str, str], client: str, protocol: str, given: dict[str, str]) -> None:
    if (client == "messages") == (protocol == "Anthropic"):
        assert got == given
        return
    values = {name: value for name, value in got.items() if "reset" not in name}
    theirs = {name.replace("x-ratelimit-", ""): value for name, value in OPENAIS.items() if "reset" not in name}
    resets = [value for name, value in got.items() if "reset" in name]
    if client == "messages":
        assert values == {f"anthropic-ratelimit-{'-'.join(reversed(n.split('-')))}": v for n, v in theirs.items()}
        assert len(resets) == 2
        assert all(re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ", value) for value in resets)
    else:
        assert values == {f"x-ratelimit-{name}": value for name, value in theirs.items()}
        assert resets == ["0s", "0s"]  # their time has passed


async def test_a_consumers_own_limits_come_before_the_accounts() -> None:
    async with told("OpenAI", OPENAIS, extra="limits: {requestsPerMinute: 7}") as merit:
        for used, client in enumerate(CLIENTS, 1):
            path, asked = ASKED[client]
            got = limits_of((await merit.post(asked, path=path)).headers)
            limit, left = "anthropic-ratelimit-requests-limit", "anthropic-ratelimit-requests-remaining"
            if client != "messages":
                limit, left = "x-ratelimit-limit-requests", "x-ratelimit-remaining-requests"
            assert (got[limit], got[left]) == ("7", str(7 - used))
            assert len(got) == 3


async def test_headers_that_make_no_sense_go_no_further() -> None:
    odd = {**OPENAIS, "x-ratelimit-reset-requests": "soon", "x-ratelimit-limit-tokens": "x" * 100}
    path, asked = ASKED["messages"]
    async with told("OpenAI", odd) as merit:
        got = limits_of((await merit.post(asked, path=path)).headers)
    assert set(got) == {
        "anthropic-ratelimit-requests-limit", "anthropic-ratelimit-requests-remaining",
        "anthropic-ratelimit-tokens-remaining", "anthropic-ratelimit-tokens-reset",
    }  # fmt: skip
