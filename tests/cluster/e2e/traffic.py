"""Steady traffic from the official OpenAI SDK, and what became of each request."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from openai import AsyncOpenAI
from openai.types.chat import ChatCompletionMessageParam

QUESTION: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Where is my parcel?"}]


@dataclass(frozen=True, slots=True)
class Seen:
    """One request. Times are seconds of the monotonic clock."""

    started: float
    ended: float
    provider: str = ""
    snapshot: str = ""
    cost: float = 0.0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    stream: bool = False
    error: str = ""


@dataclass(slots=True)
class Traffic:
    """Requests as they end."""

    seen: list[Seen] = field(default_factory=list)

    @property
    def failures(self) -> list[str]:
        """Errors of the requests that failed."""
        return [s.error for s in self.seen if s.error]

    async def until(self, count: int) -> None:
        """Returns when this many requests have ended."""
        while len(self.seen) < count:  # noqa: ASYNC110 # a count is no event
            await asyncio.sleep(0.02)


def client(base_url: str, key: str) -> AsyncOpenAI:
    """A client without retries: what fails, fails the test."""
    return AsyncOpenAI(base_url=base_url, api_key=key, max_retries=0, timeout=60)


@contextlib.asynccontextmanager
async def steady(openai: AsyncOpenAI, model: str, *, rate: float, stream_share: float = 0.25) -> AsyncIterator[Traffic]:
    """Requests at a fixed rate per second while the block runs; all of them have ended after it."""
    traffic, running = Traffic(), set[asyncio.Task[None]]()
    stop = asyncio.Event()

    async def generate() -> None:
        begun, count = time.monotonic(), 0
        while not stop.is_set():
            stream = (count * stream_share) % 1 + stream_share >= 1
            task = asyncio.create_task(_one(openai, model, traffic, stream=stream))
            running.add(task)
            task.add_done_callback(running.discard)
            count += 1
            await asyncio.sleep(max(0.0, begun + count / rate - time.monotonic()))

    generator = asyncio.create_task(generate())
    try:
        yield traffic
    finally:
        stop.set()
        await generator
        await asyncio.gather(*running)


async def _one(openai: AsyncOpenAI, model: str, traffic: Traffic, *, stream: bool) -> None:
    started = time.monotonic()
    try:
        seen = await (streamed(openai, model, started) if stream else plain(openai, model, started))
    except Exception as error:  # every failure counts, a transport's too
        seen = Seen(started, time.monotonic(), stream=stream, error=f"{type(error).__name__}: {error}")
    traffic.seen.append(seen)


async def plain(openai: AsyncOpenAI, model: str, started: float) -> Seen:
    """One request that is not streamed."""
    raw = await openai.chat.completions.with_raw_response.create(model=model, messages=QUESTION)
    answer = raw.parse()
    usage = answer.usage
    assert usage is not None
    return Seen(
        started,
        time.monotonic(),
        provider=raw.headers["x-merit-provider"],
        snapshot=raw.headers["x-merit-snapshot"],
        cost=float(raw.headers["x-merit-cost"]),
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
    )


async def streamed(openai: AsyncOpenAI, model: str, started: float) -> Seen:
    """One streamed request, with its usage."""
    raw = await openai.chat.completions.with_raw_response.create(
        model=model,
        messages=QUESTION,
        stream=True,
        stream_options={"include_usage": True},
    )
    usage, finished = None, False
    async for chunk in raw.parse():
        usage = chunk.usage or usage
        finished = finished or any(choice.finish_reason for choice in chunk.choices)
    if not finished or usage is None:
        return Seen(started, time.monotonic(), stream=True, error="the stream ended early")
    return Seen(
        started,
        time.monotonic(),
        provider=raw.headers["x-merit-provider"],
        snapshot=raw.headers["x-merit-snapshot"],
        cost=float(getattr(usage, "cost", 0)),
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        stream=True,
    )
