"""A stream that breaks off after its first token: who goes on, what the client gets, and what it costs."""

import json
from decimal import Decimal
from typing import Any

import httpx
import pytest

from merit_dataplane.fake_provider.behaviour import Behaviour
from merit_dataplane.fake_provider.server import FakeProvider
from tests.support.gateway import Running, eventually, gateway, over, streams
from tests.support.resources import CONSUMER, prices, provider, route
from tests.unit.dataplane.conftest import Vendors

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.slow]

STREAM = {"model": "chat", "messages": [{"role": "user", "content": "Hello"}], "stream": True}
QUICK = "timeouts: {connect: 1s, firstByte: 2s, firstToken: 2s, idle: 300ms, total: 10s}"
PREFIX = "Streaming, Tools, JsonSchema, AssistantPrefix"
BREAKS = [
    ("reset_at_chunk", "stream_connection_lost"),
    ("eof_at_chunk", "stream_truncated"),
    ("hang_at_chunk", "stream_idle_timeout"),
    ("malformed_at_chunk", "stream_malformed"),
]


def resources(
    cheap: FakeProvider,
    dear: FakeProvider,
    *,
    mid_stream: str = "Continue",
    capabilities: str = PREFIX,
    extra: str = QUICK,
    more: str = "",
) -> tuple[str, ...]:
    """Two candidates; `capabilities` and `more` are of the dear one."""
    return (
        provider("cheap", cheap.url, extra=QUICK),
        provider("dear", dear.url, extra=extra + more),
        prices("cheap", "1", "2", capabilities="Streaming, Tools, JsonSchema"),
        prices("dear", "10", "20", capabilities=capabilities),
        route("cheap", "dear", extra=f"retry: {{midStream: {mid_stream}}}"),
        CONSUMER,
    )


def events(answer: httpx.Response) -> list[dict[str, Any]]:
    pieces = answer.text.replace("\r\n", "\n").split("\n\n")
    return [json.loads(piece[6:]) for piece in pieces if piece.startswith("data: {")]


def text(answer: httpx.Response) -> str:
    return "".join(
        (choice["delta"].get("content") or "") for event in events(answer) for choice in event.get("choices", ())
    )


def ends_well(answer: httpx.Response) -> bool:
    reasons = [c["finish_reason"] for event in events(answer) for c in event.get("choices", ()) if c["finish_reason"]]
    return reasons == ["stop"] and answer.text.endswith("data: [DONE]\n\n") and '"error"' not in answer.text


async def whole(merit: Running) -> str:
    """What the vendors answer when nothing is wrong."""
    return text(await merit.post(STREAM))


async def line(merit: Running) -> dict[str, Any]:
    await eventually(lambda: merit.parts.ledger.in_flight == 0, "still in flight")
    found: dict[str, Any] = json.loads(merit.log_text().splitlines()[-1])
    return found


@pytest.mark.parametrize(("fault", "outcome"), BREAKS, ids=[fault for fault, _ in BREAKS])
async def test_the_next_candidate_goes_on_by_assistant_prefix(vendors: Vendors, fault: str, outcome: str) -> None:
    async with gateway(*resources(vendors.cheap, vendors.dear)) as merit:
        expected = await whole(merit)
        vendors.cheap.behaviour = Behaviour(fault=fault, chunk=4, chunk_interval=0.005)
        answer = await merit.post(STREAM | {"stream_options": {"include_usage": True}})
        assert text(answer) == expected
        assert ends_well(answer)
        assert len({event["id"] for event in events(answer)}) == 1
        assert vendors.dear.stats.last_request["body"]["messages"][-1] == {
            "role": "assistant",
            "content": expected[: len(vendors.dear.stats.last_request["body"]["messages"][-1]["content"])],
        }
        seam = next(event["merit"] for event in events(answer) if "merit" in event)
        assert seam == {"mid_stream": "prefix", "provider": "default/dear", "model": "dear-model"}
        booked = await line(merit)
        assert (booked["status"], booked["mid_stream"], booked["provider"]) == (200, "prefix", "default/dear")
        assert booked["failures"] == [f"default/cheap/e0: {outcome}"]
        (lost,) = booked["lost"]
        assert (lost["provider"], lost["outcome"], lost["estimated"]) == ("default/cheap", outcome, True)
        assert lost["output_tokens"] >= 3
        assert Decimal(lost["cost"]) == Decimal(booked["lost_cost"]) > 0
        total = Decimal(booked["cost"]) + Decimal(booked["lost_cost"])
        assert Decimal(str(events(answer)[-1]["usage"]["cost"])) == total
        assert f'merit_lost_cost_usd_total{{model="cheap-model",outcome="{outcome}"' in await merit.metrics()
        assert 'merit_streams_continued_total{how="prefix",route="default/chat"} 1.0' in await merit.metrics()


@pytest.mark.parametrize(
    ("style", "field"),
    [
        ("PrefixField", ("messages", -1, "prefix")),
        ("ContinueFinalMessage", ("continue_final_message",)),
    ],
)
async def test_how_the_beginning_is_given_is_the_providers(
    vendors: Vendors, style: str, field: tuple[Any, ...]
) -> None:
    async with gateway(*resources(vendors.cheap, vendors.dear, more=f"\n  assistantPrefix: {style}")) as merit:
        expected = await whole(merit)
        vendors.cheap.behaviour = Behaviour(fault="reset_at_chunk", chunk=4, chunk_interval=0.005)
        answer = await merit.post(STREAM | {"max_tokens": 100, "reasoning_effort": "low"})
        assert text(answer) == expected
        asked: Any = vendors.dear.stats.last_request["body"]
        assert asked["max_tokens"] < 100
        assert "reasoning_effort" not in asked
        for name in field:
            asked = asked[name]
        assert asked is True


async def test_without_a_candidate_that_takes_a_prefix_the_answer_is_an_error(vendors: Vendors) -> None:
    async with gateway(*resources(vendors.cheap, vendors.dear, capabilities="Streaming")) as merit:
        vendors.cheap.behaviour = Behaviour(fault="reset_at_chunk", chunk=4, chunk_interval=0.005)
        answer = await merit.post(STREAM)
        assert events(answer)[-1]["error"]["code"] == "stream_interrupted"
        assert "[DONE]" not in answer.text
        assert vendors.dear.stats.requests == 0
        booked = await line(merit)
        assert (booked["status"], booked["error"]) == (502, "stream_connection_lost")
        assert "lost" not in booked
        assert booked["estimated"]


async def test_a_restart_leaves_out_what_the_client_has(vendors: Vendors) -> None:
    documents = resources(vendors.cheap, vendors.dear, capabilities="Streaming", mid_stream="Restart")
    async with gateway(*documents) as merit:
        expected = await whole(merit)
        vendors.cheap.behaviour = Behaviour(fault="reset_at_chunk", chunk=5, chunk_interval=0.005)
        answer = await merit.post(STREAM)
        assert text(answer) == expected
        assert ends_well(answer)
        assert vendors.dear.stats.last_request["body"]["messages"] == STREAM["messages"]
        assert next(event["merit"]["mid_stream"] for event in events(answer) if "merit" in event) == "restart"
        assert (await line(merit))["mid_stream"] == "restart"


async def test_a_fallback_that_rejects_the_beginning_is_asked_anew_and_its_error_never_seen(vendors: Vendors) -> None:
    async with gateway(*resources(vendors.cheap, vendors.dear, mid_stream="Restart")) as merit:
        expected = await whole(merit)
        vendors.cheap.behaviour = Behaviour(fault="reset_at_chunk", chunk=5, chunk_interval=0.005)
        vendors.dear.behaviour = Behaviour(rejects_prefix=True)
        answer = await merit.post(STREAM)
        assert text(answer) == expected
        assert ends_well(answer)
        assert "prefill" not in answer.text
        assert (await line(merit))["failures"][-1] == "default/dear/e0: status_400"


@pytest.mark.parametrize("mid_stream", ["Continue", "Fail"])
async def test_where_no_restart_is_allowed_that_is_a_clean_error(vendors: Vendors, mid_stream: str) -> None:
    async with gateway(*resources(vendors.cheap, vendors.dear, mid_stream=mid_stream)) as merit:
        vendors.cheap.behaviour = Behaviour(fault="reset_at_chunk", chunk=5, chunk_interval=0.005)
        vendors.dear.behaviour = Behaviour(rejects_prefix=True)
        answer = await merit.post(STREAM)
        assert "prefill" not in answer.text
        assert events(answer)[-1]["error"]["code"] == "stream_interrupted"
        assert vendors.dear.stats.requests == (0 if mid_stream == "Fail" else 1)


def chunk(**delta: Any) -> bytes:
    return b"data: " + json.dumps({"id": "x", "choices": [{"index": 0, "delta": delta}]}).encode() + b"\n\n"


END = b'data: {"id":"y","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
RESTART = "retry: {midStream: Restart}"


async def test_a_restart_that_says_something_else_is_never_mixed_in() -> None:
    async with over(
        streams(chunk(content="The answer is "), seconds_between=0.03),
        streams(chunk(content="The answer might be "), chunk(content="42"), END),
        route_extra=RESTART,
    ) as merit:
        answer = await merit.post(STREAM)
        assert text(answer) == "The answer is "
        assert events(answer)[-1]["error"]["code"] == "stream_interrupted"
        booked = await line(merit)
        assert "default/b/e0: stream_diverged" in booked["failures"]
        assert booked["lost"]


async def test_a_tool_call_is_never_continued() -> None:
    half = chunk(tool_calls=[{"index": 0, "id": "c", "function": {"name": "f", "arguments": '{"a'}}])
    async with over(streams(half, seconds_between=0.03), streams(half, END), route_extra=RESTART) as merit:
        answer = await merit.post(STREAM)
        assert [bool(e.get("error")) for e in events(answer)] == [False, True]


async def test_before_anything_of_an_answer_went_out_everybody_may_begin_anew() -> None:
    async with over(
        streams(chunk(reasoning_content="Hm. "), seconds_between=0.03),
        streams(chunk(role="assistant", content=""), chunk(content="Yes."), END),
    ) as merit:
        answer = await merit.post(STREAM)
        assert text(answer) == "Yes."
        assert answer.text.endswith("data: [DONE]\n\n")


async def test_an_error_event_before_the_first_token_is_never_seen() -> None:
    error = b'data: {"error":{"message":"overloaded","type":"server_error"}}\n\n'
    async with over(
        streams(chunk(role="assistant", content=""), error, seconds_between=0.03), streams(chunk(content="Yes."), END)
    ) as merit:
        answer = await merit.post(STREAM)
        assert text(answer) == "Yes."
        assert answer.headers["x-merit-provider"] == "b"
        assert answer.headers["x-merit-attempts"] == "2"
        assert (await line(merit))["failures"] == ["default/a/e0: error_event"]


async def test_pieces_of_a_stream_that_come_together_break_where_they_break() -> None:
    async with over(
        streams(chunk(content="1, ") + chunk(content="2, ") + b"data: {]\n\n" + chunk(content="4, "), END),
        streams(chunk(content="1, 2"), chunk(content=", 3, 4"), END),
        route_extra=RESTART,
    ) as merit:
        answer = await merit.post(STREAM)
        assert text(answer) == "1, 2, 3, 4"
        assert "{]" not in answer.text


@pytest.mark.parametrize("ends", [True, False], ids=["closed", "left open"])
async def test_a_stream_that_said_why_it_ended_is_complete_without_its_end_marker(ends: bool) -> None:
    last = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
    usage = b'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2}}\n\n'
    async with over(streams(chunk(content="Yes."), last, usage, ends=ends)) as merit:
        answer = await merit.post(STREAM | {"stream_options": {"include_usage": True}})
        assert text(answer) == "Yes."
        assert answer.text.endswith("data: [DONE]\n\n")
        assert events(answer)[-1]["usage"]["completion_tokens"] == 2
        booked = await line(merit)
        assert (booked["status"], booked.get("error", ""), booked.get("estimated", False)) == (200, "", False)


async def test_two_breaks_are_two_seams(vendors: Vendors) -> None:
    async with gateway(
        provider("cheap", vendors.cheap.url, extra=QUICK),
        provider("middle", vendors.middle.url, extra=QUICK),
        provider("dear", vendors.dear.url, extra=QUICK),
        prices("cheap", "1", "2", capabilities=PREFIX),
        prices("middle", "3", "6", capabilities=PREFIX),
        prices("dear", "10", "20", capabilities=PREFIX),
        route("cheap", "middle", "dear"),
        CONSUMER,
    ) as merit:
        expected = await whole(merit)
        for vendor in (vendors.cheap, vendors.middle):
            vendor.behaviour = Behaviour(fault="eof_at_chunk", chunk=4, chunk_interval=0.005)
        answer = await merit.post(STREAM)
        assert text(answer) == expected
        assert ends_well(answer)
        assert [lost["provider"] for lost in (await line(merit))["lost"]] == ["default/cheap", "default/middle"]
