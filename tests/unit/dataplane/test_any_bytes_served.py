"""A gateway whose providers and clients send what is none of their protocols': a clean error, and nobody else's words.

`wire/test_any_bytes.py` does the same with the parsers alone, and more of it.
"""

import asyncio
import contextlib
import json
import random
import re

import pytest

from tests.fidelity.exchanges import Exchange, exchanges
from tests.support.gateway import Running, gateway
from tests.support.resources import CONSUMER, CONSUMER_KEY, prices, provider, route

PROTOCOLS = ("OpenAI", "Anthropic", "Gemini", "VertexGemini", "Bedrock", "Cohere", "AzureOpenAI")
REQUESTS = 210
ENDPOINTS = {"chat/completions": "messages", "messages": "messages", "responses": "input"}
STRANGE = (
    b"null", b"[]", b"{}", b"5", b'"x"', b"-1", b"1e999", b"[[[[", b"\xff", b"\x00", b"\r", b"\n\n", b"data: ", b":\n",
    b'{"a":', b"9" * 40, b"\xef\xbb\xbf", b"[DONE]", b"}", b'"', b"",
)  # fmt: skip
RECORDED = [e for e in exchanges(extracts=True) if e.kind is not None and e.kind.operation in ("chat", "messages")]
_VALUE = re.compile(rb'"[^"]*"|\d+|\[|\{|null|true')


def tampered(chance: random.Random, body: bytes) -> bytes:
    for _ in range(chance.randint(0, 2)):
        found = [m.span() for m in _VALUE.finditer(body[:4000])] or [(0, 0)]
        start, end = chance.choice(found) if chance.random() < 0.8 else (chance.randrange(len(body) + 1),) * 2
        body = body[:start] + chance.choice(STRANGE) + body[end:]
    return body


def _of(protocol: str, streamed: bool, chance: random.Random) -> Exchange:
    """Mostly one of the protocol, in the way that was asked for."""
    fit = [e for e in RECORDED if e.kind is not None and e.kind.protocol == protocol and e.streamed is streamed]
    return chance.choice(fit if fit and chance.random() < 0.9 else RECORDED)


async def vendor(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers with a recorded answer that was tampered with and has the request's own number in it."""
    with contextlib.suppress(OSError, asyncio.IncompleteReadError):
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: (\d+)", head)
        body = await reader.readexactly(int(length[1]) if length else 0)
        number = re.search(rb"number-(\d+)-", body) or re.search(rb"(0)", b"0")
        chance = random.Random(int(number[1]) if number else 0)
        exchange = _of(
            head.split(b"/")[1].decode(), b'"stream":true' in body or b"tream" in head.split(b" ")[1], chance
        )
        answer = exchange.body.replace(b'"text":"', b'"text":"number-%b-' % (number[1] if number else b"0"))
        answer = tampered(
            chance, answer.replace(b'"content":"', b'"content":"number-%b-' % (number[1] if number else b"0"))
        )
        streamed = exchange.streamed and chance.random() < 0.9
        kind = exchange.headers.get("content-type", "application/json") if chance.random() < 0.9 else "text/html"
        coding = chance.choice([*[""] * 14, "content-encoding: gzip\r\n", "content-encoding: br\r\n"])
        status = exchange.status if streamed or chance.random() < 0.9 else chance.choice([201, 418, 500, 302])
        writer.write(f"HTTP/1.1 {status} Any\r\ncontent-type: {kind}\r\n{coding}connection: close\r\n\r\n".encode())
        at = 0
        while at < len(answer):
            size = chance.choice((1, 7, 100, 5000))
            writer.write(answer[at : at + size])
            at += size
            if chance.random() < 0.2:
                await writer.drain()
    writer.close()


async def asked(running: Running, number: int, data: bytes, endpoint: str) -> tuple[int, bytes]:
    headers = {"authorization": f"Bearer {CONSUMER_KEY}", "content-type": "application/json"}
    answer = await running.http.post(f"{running.url}/v1/{endpoint}", content=data, headers=headers)
    told = answer.content
    assert answer.status_code != 500, (number, data, told)
    assert set(re.findall(rb"number-(\d+)-", told)) <= {b"%d" % number}, (number, told)
    if "text/event-stream" not in answer.headers.get("content-type", ""):
        json.loads(told)
    return answer.status_code, told


@pytest.mark.parametrize("client_errs", [False, True], ids=["provider", "client"])
async def test_no_bytes_break_a_request_or_reach_another(client_errs: bool) -> None:
    async with contextlib.AsyncExitStack() as stack:
        server = await asyncio.start_server(vendor, "127.0.0.1", 0, limit=2**22)
        stack.callback(server.close)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        documents = [CONSUMER]
        for number in range(REQUESTS):  # each has an account of its own: who errs is left alone
            name, protocol = f"p{number}", PROTOCOLS[number % len(PROTOCOLS)]
            documents += [provider(name, f"{url}/{protocol}", protocol=protocol), prices(name, "1", "1")]
            documents.append(route(name, model=name, name=name, extra="retry: {attempts: 1}"))
        running = await stack.enter_async_context(gateway(*documents))
        free, chance = asyncio.Semaphore(8), random.Random(7)
        seen: dict[int, int] = {}

        async def one(number: int) -> None:
            endpoint = chance.choice(list(ENDPOINTS))
            body = {"model": f"p{number}", "stream": chance.random() < 0.5, "max_tokens": 50,
                    ENDPOINTS[endpoint]: [{"role": "user", "content": f"number-{number}-"}],
                    "tools": [], "cache": {"ttl": 1}, "stop_sequences": ["x"], "metadata": {"a": "b"},
                    "temperature": 0.5}  # fmt: skip
            data = json.dumps(body, separators=(",", ":")).encode()
            if client_errs:
                data = tampered(chance, data)
            async with free:
                status, _ = await asked(running, number, data, endpoint)
            seen[status] = seen.get(status, 0) + 1

        await asyncio.gather(*map(one, range(REQUESTS)))
        assert seen[200] > 10, seen
        assert sum(count for status, count in seen.items() if status >= 400) > 20, seen
