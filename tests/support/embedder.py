"""A vendor of answers and of embeddings: each answer is the number of its call, each subject a direction of its own."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

from tests.support.gateway import Script, says, streams
from tests.support.resources import CONSUMER, candidate, consumer, prices, provider, route, route_of
from tests.support.scripted_vendor import Asked, vendor

DIMENSIONS = 64
OTHER_KEY = "another-consumer-key-0002"


def by_subject(text: str) -> list[float]:
    """Questions with the same longest word are alike: at 0.99 or more."""
    subject = max(text.lower().replace("?", "").split() or [""], key=lambda word: (len(word), word))
    far, near = direction(subject), direction(text)
    return [one + 0.05 * other for one, other in zip(far, near, strict=True)]


def direction(text: str) -> list[float]:
    """Of length 1; any two are nearly at right angles."""
    chance = blake2b(text.encode(), digest_size=DIMENSIONS).digest()
    return [(1.0 if byte & 1 else -1.0) / DIMENSIONS**0.5 for byte in chance]


@dataclass
class Embedder:
    """What came, and what goes back."""

    url: str = ""
    embeds: Callable[[str], list[float]] = by_subject
    instead: Script | None = None
    """What is said to who wants an embedding."""
    texts: list[str] = field(default_factory=list)
    """Of which embeddings were wanted."""
    questions: list[Any] = field(default_factory=list)
    """Bodies of chats."""
    takes: float = 0.0
    """Seconds of each."""

    async def serve(self, asked: Asked, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request."""
        body = asked.body
        await asyncio.sleep(self.takes)
        if asked.path.endswith("/embeddings"):
            self.texts.append(body["input"])
            script = self.instead or says(embedding(self.embeds(body["input"]), model=body["model"]))
        else:
            self.questions.append(body)
            script = _answer(f"call-{len(self.questions)}", stream=bool(body.get("stream")))
        await script(reader, writer)


def embedding(numbers: Any, *, model: str = "m") -> bytes:
    """An answer as vendors give it."""
    data = [{"object": "embedding", "index": 0, "embedding": numbers}]
    usage = {"prompt_tokens": 10, "total_tokens": 10}
    return json.dumps({"object": "list", "model": model, "data": data, "usage": usage}).encode()


def _answer(said: str, *, stream: bool) -> Script:
    message, usage = {"role": "assistant", "content": said}, {"prompt_tokens": 100, "completion_tokens": 10}
    made = {"id": said, "created": 1, "model": "m"}
    if not stream:
        choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
        return says(json.dumps({**made, "object": "chat.completion", "choices": choices, "usage": usage}).encode())
    chunk = {**made, "object": "chat.completion.chunk"}
    choices = [{"index": 0, "delta": message, "finish_reason": "stop"}]
    events = [{**chunk, "choices": choices}, {**chunk, "choices": [], "usage": usage}]
    return streams(b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events), b"data: [DONE]\n\n")


@contextlib.asynccontextmanager
async def embedder() -> AsyncIterator[Embedder]:
    """Listens on loopback."""
    made = Embedder()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await made.serve(at.asked.pop(), reader, writer)

    async with vendor(script) as at:
        made.url = at.url
        yield made


def resources(
    at: Embedder,
    *,
    semantic: str = 'semantic: {embeddings: embeddings, similarity: "0.9"}',
    exact: str = "ttl: 60s",
    embeddings: str = "",
    tiers: str = "",
    limits: str = "",
) -> tuple[str, ...]:
    """A route `chat` with the semantic layer, one that makes embeddings, and two consumers."""
    tiers = tiers or f"[{{name: all, candidates: [{candidate('v')}]}}]"
    return (
        provider("v", at.url),
        prices("v", "1", "4", capabilities="Streaming, Tools"),
        provider("e", at.url),
        prices("e", "0.5", "0", capabilities="Embeddings"),
        route("e", model="embeds", name="embeddings", extra=embeddings),
        route_of(tiers, extra=f"cache: {{exact: {{{exact}}}, {semantic}}}"),
        CONSUMER.replace("tests}]}\n---", f"tests}}]{limits}}}\n---", 1),
        consumer("other", OTHER_KEY),
    )


def body(text: str, **more: Any) -> dict[str, Any]:
    """A chat."""
    return {"model": "chat", "messages": [{"role": "user", "content": text}]} | more
