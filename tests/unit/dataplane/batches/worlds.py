"""What tests of batches share: lines, one vendor behind a gateway, what the usage log says."""

import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import openai
from openai.types import Batch, FileObject

from merit_dataplane.fake_provider.behaviour import Behaviour
from merit_dataplane.fake_provider.server import FakeProvider
from tests.support.gateway import Running, gateway
from tests.support.resources import CONSUMER, PROVIDER_KEY, consumer, prices, provider, route

CAPABILITIES = "Streaming, Embeddings, Batches, Files"
HALF = 'serviceTiers: [{name: batch, percentOff: "50"}]'
OTHER_KEY = "merit-test-consumer-key-0002"
OTHER = consumer("other", OTHER_KEY)


def a_line(number: int, model: str = "chat", **more: Any) -> dict[str, Any]:
    body = {"model": model, "messages": [{"role": "user", "content": f"Hello {number}"}], **more}
    return {"custom_id": f"request-{number}", "method": "POST", "url": "/v1/chat/completions", "body": body}


def jsonl(*lines: dict[str, Any]) -> bytes:
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


def priced(name: str, price: str, extra: str = HALF, capabilities: str = CAPABILITIES) -> str:
    return prices(name, price, price, capabilities=capabilities, extra=extra)


def documents(url: str, *more: str) -> tuple[str, ...]:
    """One vendor that takes batches."""
    return provider("a", url), priced("a", "1"), route("a"), CONSUMER, *more


@contextlib.asynccontextmanager
async def served(
    *more: str, behaviour: Behaviour | None = None, **settings: Any
) -> AsyncIterator[tuple[Running, FakeProvider]]:
    """One vendor with batches."""
    async with FakeProvider(behaviour, api_keys=frozenset({PROVIDER_KEY})) as vendor, gateway(**settings) as merit:
        await merit.apply(*documents(vendor.url, *more))
        yield merit, vendor


async def upload(client: openai.AsyncOpenAI, *lines: dict[str, Any], name: str = "in.jsonl") -> FileObject:
    return await client.files.create(file=(name, jsonl(*lines)), purpose="batch")


async def run(client: openai.AsyncOpenAI, *lines: dict[str, Any], **more: Any) -> Batch:
    file = await upload(client, *lines)
    return await client.batches.create(
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h", **more
    )


def lines_of(merit: Running) -> list[dict[str, Any]]:
    """The usage log."""
    return [json.loads(line) for line in merit.log_text().splitlines()]
