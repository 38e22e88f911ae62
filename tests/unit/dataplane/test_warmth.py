"""Warm prompt caches in the price: who has a prefix, how sure that is, and where the next request goes."""

import asyncio
import json
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from merit_crds.pricing import Usage, price_details
from merit_crds.snapshot import Rates, Tariff
from merit_dataplane.warmth.prefix import Prefix, prefix_of
from merit_dataplane.warmth.table import PrefixTable
from merit_dataplane.warmth.warmth import COLD, Warmth
from merit_dataplane.wire.openai_request import Operation, parse
from tests.support.clock import Clock
from tests.support.gateway import Running, Script, gateway, scripted
from tests.support.resources import CONSUMER, prices, provider, route

SYSTEM = "You answer questions about FinSync's invoices. " * 300  # about 3,500 tokens


def body(text: str = "Why?", *, system: str = SYSTEM, **fields: Any) -> dict[str, Any]:
    messages = [{"role": "system", "content": system}, {"role": "user", "content": text}]
    return {"model": "chat", "messages": messages, "max_tokens": 20, **fields}


def prefix(text: str = "Why?", **fields: Any) -> Prefix:
    found = prefix_of(parse(Operation.CHAT, json.dumps(body(text, **fields)).encode()))
    assert found is not None
    return found


# ---- identity


def test_prompts_that_begin_alike_share_their_first_links() -> None:
    one, other = prefix("Why is that? " * 500), prefix("How much? " * 900)
    shared = sum(a == b for a, b in zip(one.links, other.links, strict=False))
    assert one.links[:shared] == other.links[:shared]
    assert not set(one.links[shared:]) & set(other.links)
    assert one.ends[shared - 1] > len(SYSTEM), "the link that ends with the system prompt"
    assert not set(prefix(system="W" + SYSTEM[1:]).links) & set(one.links)
    tool = {"type": "function", "function": {"name": "look", "parameters": {}}}
    assert not set(prefix(tools=[tool]).links) & set(one.links), "vendors put the tools before the messages"


def test_a_conversation_goes_on_from_its_own_prefix() -> None:
    asked = body()
    further = [{"role": "assistant", "content": "So."}, {"role": "user", "content": "And?"}]
    longer = {**asked, "messages": [*asked["messages"], *further]}
    first, then = (prefix_of(parse(Operation.CHAT, json.dumps(b).encode())) for b in (asked, longer))
    assert first is not None
    assert then is not None
    assert then.links[: len(first.links)] == first.links


@pytest.mark.parametrize(
    "given_body",
    [
        body(system="short"),
        body(system="x" * 4000),
        body() | {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x" * 9000}}]}]},
    ],
)  # fmt: skip
def test_what_no_vendor_caches_has_no_prefix(given_body: dict[str, Any]) -> None:
    assert prefix_of(parse(Operation.CHAT, json.dumps(given_body).encode())) is None


@given(st.lists(st.text("ab ", max_size=30_000).map(lambda t: t * 8), min_size=1, max_size=8))
def test_links_are_few_and_in_order(texts: list[str]) -> None:
    messages = [{"role": "user", "content": text} for text in texts]
    found = prefix_of(parse(Operation.CHAT, json.dumps({"model": "m", "messages": messages}).encode()))
    if found is not None:
        assert list(found.ends) == sorted(set(found.ends))
        assert found.ends[-1] <= found.length
        assert len(found.links) == len(found.ends) <= 200


# ---- learning


def test_who_answered_from_the_cache_is_expected_to_again_until_it_cools() -> None:
    warmth, asked = Warmth(PrefixTable(), needs_marks=False), prefix()
    assert warmth.expected(asked, 3600, 1000.0) is COLD
    warmth.observe(asked, COLD, Usage(3600, 10), 1000.0)
    warm = [warmth.expected(asked, 3600, 1000.0 + age).cached for age in (1, 400, 2000, 4000, 90_000)]
    assert warm == sorted(warm, reverse=True)
    assert warm[0] > 2000
    assert warm[-2:] == [0, 0]
    for _ in range(20):
        warmth.observe(asked, warmth.expected(asked, 3600, 1001.0), Usage(100, 10, 3500), 1001.0)
    assert warmth.expected(asked, 3600, 1001.0).cached > 3300


def test_who_misses_is_no_longer_trusted() -> None:
    warmth, asked = Warmth(PrefixTable(), needs_marks=False), prefix()
    for at in range(40):
        warmth.observe(asked, warmth.expected(asked, 3600, 1000.0 + at), Usage(3600, 10), 1000.0 + at)
    assert warmth.expected(asked, 3600, 1041.0).cached < 300


def test_a_cache_that_keeps_for_hours_is_learned() -> None:
    warmth, asked, now = Warmth(PrefixTable(), needs_marks=False), prefix(), 0.0
    for _ in range(20):
        warmth.observe(asked, warmth.expected(asked, 3600, now), Usage(100, 10, 3500), now)
        now += 7200
    assert warmth.expected(asked, 3600, now).cached > 2500


def test_where_marks_are_needed_nothing_is_expected_without() -> None:
    warmth, plain = Warmth(PrefixTable(), needs_marks=True), prefix()
    part = {"type": "text", "text": SYSTEM, "cache_control": {"type": "ephemeral"}}
    marked = prefix(messages=[{"role": "system", "content": [part]}])
    warmth.observe(plain, COLD, Usage(3600, 10), 0.0)
    assert warmth.expected(plain, 3600, 1.0) is COLD
    first = warmth.expected(marked, 3600, 1.0)
    assert (first.cached, first.written) == (0, 3600), "the first one writes"
    warmth.observe(marked, first, Usage(50, 10, 0, 3550), 1.0)
    assert warmth.expected(marked, 3600, 2.0).cached > 2000


def test_models_share_nothing() -> None:
    table, asked = PrefixTable(), prefix()
    one, other = (Warmth(table, needs_marks=False) for _ in range(2))
    one.observe(asked, COLD, Usage(3600, 10), 0.0)
    assert one.expected(asked, 3600, 1.0).cached
    assert other.expected(asked, 3600, 1.0) is COLD


RATES = st.integers(1, 10**7)


ANSWERS = st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 10**5), st.integers(0, 10**5)), max_size=30)
"""Seconds since the one before, tokens from the cache, tokens written to it."""


@given(RATES, RATES, RATES, st.integers(1024, 300_000), ANSWERS)
def test_classes_are_disjoint_and_only_a_write_costs_more_than_cold(
    price: int, cached_price: int, write: int, tokens: int, seen: list[tuple[int, int, int]]
) -> None:
    warmth, asked, now = Warmth(PrefixTable(), needs_marks=False), prefix(), 0.0
    for seconds, cached, written in seen:
        now += seconds
        warmth.observe(asked, warmth.expected(asked, tokens, now), Usage(500, 1, cached, written), now)
    warm = warmth.expected(asked, tokens, now)
    assert (warm.age < 0) == (warm.matched == 0)
    assert 0 <= warm.cached <= warm.matched <= tokens
    assert 0 <= warm.written <= tokens - warm.cached
    charge = Tariff(rates=Rates(price, 1, cached_input=min(cached_price, price), cache_write=write))
    usage = Usage(tokens - warm.cached - warm.written, 1, warm.cached, warm.written)
    cold = price_details(charge, Usage(tokens, 1)).total
    assert price_details(charge, usage).total <= cold + warm.written * max(0, write - price)


def test_memory_is_bounded() -> None:
    table = PrefixTable(1 << 20)
    tracemalloc.start()
    for key in range(100_000):
        table.use((key * 0x9E3779B97F4A7C15) & ((1 << 64) - 1), float(key))
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert used <= 1 << 20
    assert table.last_used((99_999 * 0x9E3779B97F4A7C15) & ((1 << 64) - 1)) == 99_999.0
    assert len(table) == 4096


# ---- over HTTP


@dataclass
class Vendor:
    """Has a cache of its own: reports whatever the test says."""

    cached: int = 0
    asked: int = 0
    status: str = "200 OK"
    url: str = field(default="")

    @property
    def script(self) -> Script:
        async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self.asked += 1
            usage = {"prompt_tokens": 3600, "completion_tokens": 10, "total_tokens": 3610,
                     "prompt_tokens_details": {"cached_tokens": self.cached}}  # fmt: skip
            said = {"id": "x", "object": "chat.completion", "created": 1, "model": "m", "usage": usage,
                    "choices": [{"index": 0, "message": {"content": "So."}, "finish_reason": "stop"}]}  # fmt: skip
            data = json.dumps(said).encode()
            head = f"HTTP/1.1 {self.status}\r\ncontent-type: application/json\r\ncontent-length: {len(data)}\r\n\r\n"
            writer.write(head.encode() + data)

        return answer


@asynccontextmanager
async def two(dear_extra: str = ', cachedInput: "0.2"') -> AsyncIterator[tuple[Running, Vendor, Vendor]]:
    """`dear` costs twice what `cheap` does, and a tenth of that for what it has in its cache."""
    async with AsyncExitStack() as stack:
        cheap, dear = Vendor(), Vendor()
        for vendor in (cheap, dear):
            vendor.url = await stack.enter_async_context(scripted(vendor.script))
        documents = [CONSUMER, provider("cheap", cheap.url), provider("dear", dear.url),
                     prices("cheap", "1", "1"), prices("dear", "2", "2", more_prices=dear_extra),
                     route("cheap", "dear"), route("dear", model="only-dear", name="only-dear")]  # fmt: skip
        yield await stack.enter_async_context(gateway(*documents)), cheap, dear


@pytest.mark.asyncio(loop_scope="session")
async def test_a_prefix_stays_with_the_dearer_that_has_it_warm_until_it_cools(clock: Clock) -> None:
    clock.set("2026-11-24T12:00:00Z")
    async with two() as (merit, cheap, dear):
        assert (await merit.post(body())).headers["x-merit-provider"] == "cheap", "nobody knows it yet"
        for _ in range(6):  # another route of the same account warms it
            assert (await merit.post(body(model="only-dear"))).status_code == 200
            dear.cached = 3500
            clock.now += 10
        for question in ("When?", "Where?", "Who?"):
            answer = await merit.post(body(question))
            assert answer.headers["x-merit-provider"] == "dear"
            clock.now += 10
        assert (await merit.post(body(system="W" + SYSTEM[1:]))).headers["x-merit-provider"] == "cheap"
        assert (await merit.post(body(system="short"))).headers["x-merit-provider"] == "cheap"
        told = (await merit.post(body("When?"), path="/v1/explain")).json()["meritOrder"]
        assert [bid["provider"] for bid in told] == ["default/dear", "default/cheap"]
        assert told[0]["expectedCachedInputTokens"] > 3000
        assert told[1]["expectedCachedInputTokens"] == 0
        details = told[0]["expectedCostDetailsUSD"].values()
        assert float(told[0]["expectedCostUSD"]) == pytest.approx(sum(map(float, details)))
        line = json.loads(merit.log_text().splitlines()[-3])
        assert line["expected_cached_input_tokens"] > 2500
        assert abs(float(line["expected_cost"]) - float(line["cost"])) < 0.3 * float(line["cost"])
        clock.now += 7000
        assert (await merit.post(body())).headers["x-merit-provider"] == "cheap"
        assert cheap.asked == 4


@pytest.mark.asyncio(loop_scope="session")
async def test_who_has_it_warm_but_fails_is_not_asked(clock: Clock) -> None:
    clock.set("2026-11-24T12:00:00Z")
    async with two() as (merit, _, dear):
        dear.cached = 3500
        for _ in range(6):
            await merit.post(body(model="only-dear"))
        dear.status = "500 Internal Server Error"
        for _ in range(6):
            answer = await merit.post(body())
            assert (answer.status_code, answer.headers["x-merit-provider"]) == (200, "cheap")
        order = (await merit.post(body(), path="/v1/explain")).json()["meritOrder"]
        assert [(bid["provider"], bid["standing"]) for bid in order] == [
            ("default/cheap", "admissible"), ("default/dear", "unavailable")]  # fmt: skip


@pytest.mark.asyncio(loop_scope="session")
async def test_where_cached_input_costs_the_same_no_prefix_is_kept() -> None:
    async with two("") as (merit, _, dear):
        dear.cached = 3500
        for _ in range(3):
            await merit.post(body(model="only-dear"))
        assert merit.parts.holder.tables is not None
        tiers = [tier for plan in merit.parts.holder.tables.routes.values() for tier in plan.tiers]
        assert not any(tier.warms for tier in tiers)
        assert (await merit.post(body())).headers["x-merit-provider"] == "cheap"
