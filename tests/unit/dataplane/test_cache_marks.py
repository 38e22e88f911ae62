"""Marks that Merit sets for providers that cache only what is marked: where, when they pay, and what they save."""

import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from merit_crds.pricing import Usage
from merit_crds.snapshot import Rates
from merit_dataplane.warmth.marks import Marks, marks_of, named
from merit_dataplane.warmth.prefix import Prefix, _instructs, prefix_of
from merit_dataplane.warmth.table import PrefixTable
from merit_dataplane.warmth.warmth import COLD, Warmth
from merit_dataplane.wire.cache_marks import marked
from merit_dataplane.wire.openai_request import Call, Operation, parse
from tests.support.gateway import Running, gateway
from tests.support.resources import CONSUMER, prices, provider, route
from tests.support.vendor import Vendor, listening

SYSTEM = "You answer questions about FinSync's invoices. " * 300  # about 3,500 tokens
TOOL = {"type": "function", "function": {"name": "look", "description": "d" * 6000, "parameters": {"type": "object"}}}
HAIKU = Rates(100, 500, cached_input=10, cache_write=125)
MARK = {"type": "ephemeral"}


def body(text: str = "Why?", *, system: str = SYSTEM, **fields: Any) -> dict[str, Any]:
    messages = [{"role": "system", "content": system}, {"role": "user", "content": text}]
    return {"model": "chat", "messages": messages, "max_tokens": 20, **fields}


def call_of(request: dict[str, Any]) -> Call:
    return parse(Operation.CHAT, json.dumps(request).encode())


def prefix(request: dict[str, Any]) -> Prefix:
    found = prefix_of(call_of(request))
    assert found is not None
    return found


# ---- where


def test_the_prompts_places_are_known() -> None:
    found = prefix(body(tools=[TOOL]))
    assert 6000 < found.tools < found.instructions < found.length
    assert found.instructions == found.length - len(json.dumps({"role": "user", "content": "Why?"}))


def test_marks_stand_at_the_ends_and_nothing_else_changes() -> None:
    request = body(tools=[TOOL, TOOL], temperature=0.10)
    request["messages"][1]["content"] = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    made = marked(call_of(request), int(Marks.TOOLS | Marks.INSTRUCTIONS | Marks.END))
    fields = {name: json.loads(bytes(raw)) for name, raw in made.fields.items()}
    assert json.loads(bytes(made.messages)) == fields["messages"]
    assert fields["tools"] == [TOOL, {**TOOL, "cache_control": MARK}]
    assert fields["messages"][0] == {**request["messages"][0], "cache_control": MARK}
    assert fields["messages"][1]["content"] == [
        {"type": "text", "text": "a"},
        {"type": "text", "text": "b", "cache_control": MARK},
    ]
    assert bytes(made.fields["temperature"]) == b"0.1"


@pytest.mark.parametrize(
    ("last", "expected"),
    [
        ({"role": "user", "content": "x"}, {"role": "user", "content": "x", "cache_control": MARK}),
        (
            {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]},
            {"role": "assistant", "content": None, "tool_calls": [{"id": "1", "cache_control": MARK}]},
        ),
        (
            {"role": "tool", "tool_call_id": "1", "content": "r"},
            {"role": "tool", "tool_call_id": "1", "content": "r", "cache_control": MARK},
        ),
    ],
)
def test_the_end_of_a_conversation(last: dict[str, Any], expected: dict[str, Any]) -> None:
    request = body()
    request["messages"].append(last)
    made = marked(call_of(request), int(Marks.END))
    assert json.loads(bytes(made.messages)) == [*request["messages"][:-1], expected]


# ---- when


def test_a_first_prompt_is_marked_where_reuse_is_likely_to_pay() -> None:
    asked = prefix(body(tools=[TOOL]))
    assert named(marks_of(asked, 5000, 0, [0.5, 0.5], HAIKU)) == ["tools", "instructions"]
    assert marks_of(asked, 5000, 0, [0.2, 0.5], HAIKU) == 0, "0.2 of 0.9 saved is less than 0.25 more"
    assert marks_of(asked, 5000, 4500, [0.2, 0.0], HAIKU), "what is there already is read"
    hour = Rates(100, 500, cached_input=10, cache_write=200)
    assert marks_of(asked, 5000, 0, [0.5, 0.5], hour) == 0
    assert marks_of(asked, 5000, 0, [1.0, 1.0], Rates(100, 500, cached_input=100, cache_write=100)) == 0
    assert marks_of(asked, 5000, 0, [0.1, 0.0], Rates(100, 500, cached_input=25, cache_write=100)), (
        "writing costs no more"
    )


def test_a_long_conversation_is_marked_at_its_end() -> None:
    asked = prefix(body("Why is that so? " * 1500))
    assert named(marks_of(asked, 9000, 0, [0.5, 0.5], HAIKU)) == ["instructions", "end"]
    assert named(marks_of(asked, 9000, 0, [0.5, 0.1], HAIKU)) == ["instructions"]
    assert named(marks_of(asked, 9000, 8000, [0.5, 0.1], HAIKU)) == ["instructions", "end"], "it is read up to its end"


@given(
    st.integers(1024, 10**6),
    st.floats(0, 1),
    st.lists(st.floats(0, 1), min_size=2, max_size=2),
    st.tuples(*[st.integers(0, 1000)] * 3),
    st.integers(0, 40_000),
)
def test_marks_are_expected_to_pay(
    tokens: int, share: float, reuse: list[float], rates: tuple[int, int, int], words: int
) -> None:
    asked = prefix(body("x" * words))
    price = Rates(rates[0], 1, cached_input=rates[1], cache_write=rates[2])
    cached = int(tokens * share)
    marks = marks_of(asked, tokens, cached, reuse, price)
    if not marks:
        return
    end = asked.length if marks & Marks.END else asked.instructions
    reach = tokens * end // asked.length
    read = min(cached, reach)
    instructions = tokens * asked.instructions // asked.length
    again = reuse[0] * instructions + (reuse[1] * (tokens - instructions) if marks & Marks.END else 0)
    saved, premium = rates[0] - rates[1], rates[2] - rates[0]
    assert read * saved + again * saved > (reach - read) * premium


def test_instructions_that_never_come_again_are_soon_not_marked() -> None:
    warmth, marks = Warmth(PrefixTable(), needs_marks=True), []
    for at in range(6):
        asked = prefix(body(system=f"{at} {SYSTEM}"))
        expected = warmth.expected(asked, 3600, float(at), HAIKU)
        marks.append(expected.marks)
        warmth.observe(asked, expected, Usage(60, 10, 0, 3540) if expected.marks else Usage(3600, 10), float(at))
    assert marks[0]
    assert marks[3:] == [0, 0, 0]


def test_instructions_of_yesterday_are_not_presumed_to_come_again() -> None:
    warmth, asked = Warmth(PrefixTable(), needs_marks=True), prefix(body())
    for day in range(6):
        expected = warmth.expected(asked, 3600, day * 86_400.0, HAIKU)
        warmth.observe(asked, expected, Usage(3600, 10), day * 86_400.0)
    assert warmth.expected(asked, 3600, 6 * 86_400.0, HAIKU) is COLD


def test_what_stands_behind_the_last_mark_is_neither_written_nor_read() -> None:
    warmth, asked = Warmth(PrefixTable(), needs_marks=True), prefix(body("Why is that so? " * 1500))
    warmth._reuse.shares[1] = 0.0  # type: ignore[union-attr]
    expected = warmth.expected(asked, 9600, 0.0, HAIKU)
    within = 9600 * asked.instructions // asked.length
    assert (expected.cached, expected.written) == (0, within)
    warmth.observe(asked, expected, Usage(9600 - within, 10, 0, within), 0.0)
    then = warmth.expected(asked, 9600, 1.0, HAIKU)
    assert 0.7 * within < then.cached <= within
    assert then.cached + then.written <= within


# ---- over HTTP


@dataclass
class Cache:
    """A vendor's: keeps what stands before the last mark, and says so in `usage`."""

    protocol: str
    kept: set[str] = field(default_factory=set)
    marks: list[int] = field(default_factory=list)

    def __call__(self, asked: bytes) -> bytes:
        text = asked.decode()
        mark = '"cachePoint"' if self.protocol == "Bedrock" else '"cache_control"'
        self.marks.append(text.count(mark))
        # the mark of the tools and of the system stand before the conversation in both protocols
        system = json.dumps(json.loads(text).get("system"))
        read = write = 0
        if self.marks[-1]:
            read, write = (3500, 0) if system in self.kept else (0, 3500)
            self.kept.add(system)
        if self.protocol == "Bedrock":
            usage = {"inputTokens": 3600 - read - write, "outputTokens": 10, "totalTokens": 3610,
                     "cacheReadInputTokens": read, "cacheWriteInputTokens": write}  # fmt: skip
            said = {"output": {"message": {"content": [{"text": "So."}]}}, "stopReason": "end_turn", "usage": usage}
            return json.dumps(said).encode()
        usage = {"input_tokens": 3600 - read - write, "output_tokens": 10,
                 "cache_read_input_tokens": read, "cache_creation_input_tokens": write}  # fmt: skip
        content = [{"type": "text", "text": "So."}]
        return json.dumps(
            {"id": "m", "model": "c", "content": content, "stop_reason": "end_turn", "usage": usage}
        ).encode()


DEAR = ', cachedInput: "0.1", cacheWrite: "1.25"'


@contextlib.asynccontextmanager
async def cached(protocol: str, *, extra: str = "", more: str = DEAR) -> AsyncIterator[tuple[Running, Cache, Vendor]]:
    cache = Cache(protocol)
    vendor = Vendor(reply=cache)
    async with (
        listening(vendor) as url,
        gateway(
            provider("a", url, protocol=protocol),
            prices("a", "1", "5", more_prices=more),
            route("a", extra=extra),
            CONSUMER,
        ) as merit,
    ):
        yield merit, cache, vendor


@pytest.mark.parametrize("protocol", ["Anthropic", "Bedrock"])
@pytest.mark.asyncio(loop_scope="session")
async def test_a_second_identical_call_is_expected_from_the_cache_and_is(protocol: str) -> None:
    async with cached(protocol) as (merit, cache, vendor):
        told = (await merit.post(body(), path="/v1/explain")).json()["meritOrder"][0]
        assert told["cacheMarks"] == ["instructions"]
        assert (told["expectedCachedInputTokens"], told["expectedCacheWriteTokens"] > 3000) == (0, True)
        first = (await merit.post(body())).json()["usage"]
        told = (await merit.post(body(), path="/v1/explain")).json()["meritOrder"][0]
        assert told["expectedCachedInputTokens"] > 2500
        assert told["cacheMarks"] == ["instructions"]
        second = (await merit.post(body("And how?"))).json()["usage"]
        line = json.loads(merit.log_text().splitlines()[-1])
    assert first["prompt_tokens_details"] | second["prompt_tokens_details"] == {
        "cached_tokens": 3500,
        "cache_write_tokens": 0,
    }
    assert first["cost"] > 4 * second["cost"]
    assert line["expected_cached_input_tokens"] > 2500
    assert cache.marks == [1, 1]
    system = json.loads(vendor.bodies[0])["system"]
    if protocol == "Bedrock":
        assert system == [{"text": SYSTEM}, {"cachePoint": {"type": "default"}}]
    else:
        assert system == [{"type": "text", "text": SYSTEM, "cache_control": MARK}]


@pytest.mark.parametrize("protocol", ["Anthropic", "Bedrock"])
@pytest.mark.parametrize(
    ("extra", "more", "request_of"),
    [
        ("cacheMarks: Never", DEAR, body()),
        ("", ', cachedInput: "1", cacheWrite: "1.25"', body()),
        ("", DEAR, body(system="short")),
    ],
)
@pytest.mark.asyncio(loop_scope="session")
async def test_where_no_marks_are_set(protocol: str, extra: str, more: str, request_of: dict[str, Any]) -> None:
    async with cached(protocol, extra=extra, more=more) as (merit, cache, _):
        for _ in range(2):
            assert (await merit.post(request_of)).status_code == 200
        told = (await merit.post(request_of, path="/v1/explain")).json()["meritOrder"][0]
    assert (cache.marks, told["cacheMarks"]) == ([0, 0], [])


@pytest.mark.asyncio(loop_scope="session")
async def test_a_clients_own_marks_stand_alone() -> None:
    part = {"type": "text", "text": SYSTEM, "cache_control": MARK}
    asked = body()
    asked["messages"][0]["content"] = [part, {"type": "text", "text": "Today is Wednesday."}]
    async with cached("Anthropic") as (merit, cache, vendor):
        await merit.post(asked)
        told = (await merit.post(asked, path="/v1/explain")).json()["meritOrder"][0]
    assert (cache.marks, told["cacheMarks"]) == ([1], [])
    assert json.loads(vendor.bodies[0])["system"][1] == {"type": "text", "text": "Today is Wednesday."}


@pytest.mark.asyncio(loop_scope="session")
async def test_a_request_that_is_marked_as_a_whole_is_left_alone() -> None:
    asked = {
        "model": "chat",
        "max_tokens": 9,
        "system": SYSTEM,
        "messages": body()["messages"][1:],
        "cache_control": MARK,
    }
    async with cached("Anthropic") as (merit, cache, vendor):
        assert (await merit.post(asked, path="/v1/messages")).status_code == 200
    assert cache.marks == [1]
    assert json.loads(vendor.bodies[0])["system"] == SYSTEM


@pytest.mark.parametrize(
    "form", ['{"role":"%s","content":"x"}', '{ "role" : "%s" }', '{"content":[{"role":"user"}],"role":"%s"}']
)
@pytest.mark.parametrize("role", ["system", "developer", "user"])
def test_instructions_are_known_by_their_role_wherever_it_stands(form: str, role: str) -> None:
    assert _instructs((form % role).encode()) is (role != "user")


@pytest.mark.asyncio(loop_scope="session")
async def test_never_more_than_four_marks() -> None:
    asked = body("Why is that so? " * 1500, tools=[TOOL])
    async with cached("Bedrock") as (merit, cache, vendor):
        await merit.post(asked)
    assert cache.marks == [3]
    sent = json.loads(vendor.bodies[0])
    assert "cachePoint" in sent["toolConfig"]["tools"][-1]
    assert "cachePoint" in sent["system"][-1]
    assert "cachePoint" in sent["messages"][-1]["content"][-1]


@pytest.mark.asyncio(loop_scope="session")
async def test_a_client_of_anthropics_gets_marks_too() -> None:
    asked = {
        "model": "chat",
        "max_tokens": 20,
        "system": SYSTEM,
        "tools": [{"name": "look", "description": "d" * 6000, "input_schema": {"type": "object"}}],
        "messages": [{"role": "user", "content": "Why is that so? " * 1500}],
    }
    async with cached("Anthropic") as (merit, cache, vendor):
        for _ in range(2):
            answer = await merit.post(asked, path="/v1/messages")
            assert answer.status_code == 200
    assert cache.marks == [3, 2], "by the model's own count the tools alone are too short"
    sent = json.loads(vendor.bodies[0])
    assert sent["system"] == [{"type": "text", "text": SYSTEM, "cache_control": MARK}]
    assert sent["tools"][0]["cache_control"] == MARK
    assert sent["messages"][0]["content"] == [
        {"type": "text", "text": asked["messages"][0]["content"], "cache_control": MARK}  # type: ignore[index]
    ]
    assert answer.json()["usage"]["cache_read_input_tokens"] == 3500
