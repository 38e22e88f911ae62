"""A consumer with limits in front of a vendor whose answers cost a known sum."""

import contextlib
import json
from collections.abc import AsyncIterator, Callable

from merit_dataplane.redis_settings import RedisAddress, RedisSettings
from merit_dataplane.serve import Gateway
from tests.support.gateway import Running, Script, eventually, gateway, says, scripted
from tests.support.redis_servers import SECONDS, is_on
from tests.support.resources import CONSUMER, prices, provider, route_of

ANSWER = {
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "good"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 1000, "completion_tokens": 500, "total_tokens": 1500},
}
COST = 0.002
"""USD of one answer at the prices below."""
CHAT = {"model": "chat", "messages": [{"role": "user", "content": "Hello"}]}


def consumer(extra: str) -> str:
    """The tests' consumer; `extra` are more fields of its spec, in YAML flow style."""
    return CONSUMER.replace("key: tests}]}", f"key: tests}}], {extra}}}", 1)


def settings(url: str) -> RedisSettings:
    """With patience: a busy machine is no fault of Redis."""
    return RedisSettings(RedisAddress.parse(url), budget_seconds=2.0)


def resources(url: str, extra: str, vendor: str = "") -> tuple[str, ...]:
    """One vendor, two tiers: `main`, and `cheap` at a tenth of the price. `vendor` are more fields of its spec."""
    tier = "[{{name: {}, candidates: [{{provider: {{name: {}}}, model: {}-model}}]}}".format
    main, cheap = tier("main", "vendor", "vendor"), tier("cheap", "discount", "discount")
    tiers = f"{main[:-1]}, when: [{{inputTokens: {{below: 1000000}}}}]}}, {cheap[1:]}]"
    return (
        provider("vendor", url, extra=vendor),
        provider("discount", url),
        prices("vendor", "1", "2"),
        prices("discount", "0.1", "0.2"),
        route_of(tiers),
        consumer(extra) if extra else CONSUMER,
    )


@contextlib.asynccontextmanager
async def limited(
    extra: str,
    *,
    redis: str = "",
    script: Script | None = None,
    vendor: str = "",
    before: Callable[[Gateway], None] = lambda _: None,
) -> AsyncIterator[Running]:
    """A gateway; with Redis once that is asked."""
    answers = script or says(json.dumps(ANSWER).encode())
    async with scripted(answers) as url, gateway(redis=settings(redis) if redis else None) as merit:
        before(merit.parts)
        merit.documents = resources(url, extra, vendor)
        await merit.apply(*merit.documents)
        state = merit.parts.state
        if state is not None:
            await eventually(lambda: is_on(state), "Redis is not asked", SECONDS)
        yield merit
