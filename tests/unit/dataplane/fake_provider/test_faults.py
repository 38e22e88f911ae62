"""Each fault, as a client sees it."""

import asyncio
import errno
import json
import os
import time
from typing import Any

import aiohttp
import httpx
import pytest

from merit_dataplane.fake_provider.behaviour import Behaviour
from merit_dataplane.fake_provider.server import FakeProvider
from tests.support.gateway import eventually
from tests.unit.dataplane.fake_provider.conftest import KEY, Desk

pytestmark = pytest.mark.slow

CHAT: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "Hello"}]}
STREAM = {**CHAT, "stream": True}
URL = "/v1/chat/completions"


async def received(desk: Desk, body: dict[str, Any], seconds: float = 5) -> tuple[int | None, bytes, Exception | None]:
    """Status, what came of the body, and how it ended."""
    status, data = None, b""
    headers = {"authorization": f"Bearer {KEY}"}
    async with aiohttp.ClientSession(headers=headers) as session:
        try:
            async with (
                asyncio.timeout(seconds),
                session.post(f"{desk.provider.url}/chat/completions", json=body) as answer,
            ):
                status = answer.status
                async for piece in answer.content.iter_any():
                    data += piece
        except (aiohttp.ClientError, OSError) as error:  # TimeoutError is an OSError
            return status, data, error
    return status, data, None


@pytest.mark.parametrize("body", [CHAT, STREAM], ids=["plain", "stream"])
async def test_hang_sends_no_head_until_the_client_gives_up(desk: Desk, body: dict[str, Any]) -> None:
    desk.provider.behaviour = Behaviour(fault="hang")
    status, data, error = await received(desk, body, 0.1)
    assert (status, data, type(error)) == (None, b"", TimeoutError)
    await eventually(lambda: desk.provider.stats.in_flight == 0, "still in flight")
    assert desk.provider.stats.client_disconnects == 1
    assert desk.provider.stats.by_status == {}


@pytest.mark.parametrize("body", [CHAT, STREAM], ids=["plain", "stream"])
async def test_reset_comes_before_the_head(desk: Desk, body: dict[str, Any]) -> None:
    desk.provider.behaviour = Behaviour(fault="reset")
    status, data, error = await received(desk, body)
    assert (status, data) == (None, b"")
    assert os.strerror(errno.ECONNRESET) in str(error)  # a reset, and no orderly end
    await eventually(lambda: desk.provider.stats.in_flight == 0, "still in flight")
    assert desk.provider.stats.client_disconnects == 0


async def test_malformed_is_cut_json_and_for_a_stream_no_stream(desk: Desk) -> None:
    desk.provider.behaviour = Behaviour(fault="malformed")
    for body in (CHAT, STREAM):
        made = await desk.http.post(URL, json=body)
        assert (made.status_code, made.headers["content-type"]) == (200, "application/json")
        with pytest.raises(json.JSONDecodeError):
            made.json()
    assert desk.provider.stats.by_status == {"200": 2}


@pytest.mark.parametrize("body", [CHAT, STREAM], ids=["plain", "stream"])
async def test_half_body_sends_less_than_it_says(desk: Desk, body: dict[str, Any]) -> None:
    whole = (await desk.http.post(URL, json=body)).content
    desk.provider.behaviour = Behaviour(fault="half_body")
    status, data, error = await received(desk, body)
    assert (status, data) == (200, whole[: len(whole) // 2])
    assert isinstance(error, aiohttp.ClientPayloadError)
    with pytest.raises(httpx.RemoteProtocolError):
        await desk.http.post(URL, json=body)


@pytest.mark.parametrize("chunk", [0, 1, 3])
@pytest.mark.parametrize("fault", ["hang_at_chunk", "reset_at_chunk", "eof_at_chunk"])
async def test_a_stream_stops_before_the_event(desk: Desk, fault: str, chunk: int) -> None:
    whole = (await desk.http.post(URL, json=STREAM)).content.split(b"\n\n")
    desk.provider.behaviour = Behaviour(fault=fault, chunk=chunk)
    status, data, error = await received(desk, STREAM, 0.15 if fault == "hang_at_chunk" else 5)
    assert status == 200
    assert data.split(b"\n\n")[:-1] == whole[:chunk]
    if fault == "eof_at_chunk":
        assert error is None
    elif fault == "reset_at_chunk":
        assert os.strerror(errno.ECONNRESET) in str(error)
    else:
        assert isinstance(error, TimeoutError)
    await eventually(lambda: desk.provider.stats.in_flight == 0, "still in flight")
    assert desk.provider.stats.client_disconnects == (fault == "hang_at_chunk")


async def test_malformed_at_chunk_is_one_bad_event_and_then_the_rest(desk: Desk) -> None:
    whole = (await desk.http.post(URL, json=STREAM)).content.split(b"\n\n")
    desk.provider.behaviour = Behaviour(fault="malformed_at_chunk", chunk=2)
    events = (await desk.http.post(URL, json=STREAM)).content.split(b"\n\n")
    assert events[:2] + events[3:] == whole
    with pytest.raises(json.JSONDecodeError):
        json.loads(events[2].removeprefix(b"data: "))


async def test_a_chunk_past_the_end_is_before_the_end_marker(desk: Desk) -> None:
    whole = (await desk.http.post(URL, json=STREAM)).content
    desk.provider.behaviour = Behaviour(fault="eof_at_chunk", chunk=10_000)
    assert (await desk.http.post(URL, json=STREAM)).content + b"data: [DONE]\n\n" == whole


async def test_faults_in_mid_stream_leave_other_answers_alone(desk: Desk) -> None:
    desk.provider.behaviour = Behaviour(fault="reset_at_chunk", chunk=0)
    assert (await desk.http.post(URL, json=CHAT)).status_code == 200


@pytest.mark.parametrize(
    ("status", "kind", "code"),
    [
        (400, "invalid_request_error", None),
        (401, "invalid_request_error", "invalid_api_key"),
        (404, "invalid_request_error", "model_not_found"),
        (422, "invalid_request_error", None),
        (429, "requests", "rate_limit_exceeded"),
        (500, "server_error", None),
        (529, "server_error", None),
    ],
)
async def test_a_status_with_a_body_that_fits(desk: Desk, status: int, kind: str, code: str | None) -> None:
    desk.provider.behaviour = Behaviour(status=status, retry_after="7")
    for body in (CHAT, STREAM):
        made = await desk.http.post(URL, json=body)
        assert (made.status_code, made.headers["retry-after"]) == (status, "7")
        error = made.json()["error"]
        assert (error["type"], error["code"], error["param"]) == (kind, code, None)
    assert desk.provider.stats.by_status == {str(status): 2}


async def test_a_fault_for_one_model_and_some_requests(desk: Desk) -> None:
    desk.provider.behaviour = Behaviour(status=503, match_model="sick", times=2)
    statuses = [
        (await desk.http.post(URL, json={**CHAT, "model": model})).status_code
        for model in ("well", "sick", "well", "sick", "sick")
    ]
    assert statuses == [200, 503, 200, 503, 200]
    assert desk.provider.behaviour.times == 0


async def test_the_share_of_failures_is_the_seeds() -> None:
    async def statuses(seed: int) -> list[int]:
        async with (
            FakeProvider(Behaviour(failure_rate=0.3), seed=seed) as provider,
            httpx.AsyncClient(base_url=provider.url) as http,
        ):
            return [(await http.post("/chat/completions", json=CHAT)).status_code for _ in range(40)]

    first, second = await asyncio.gather(statuses(1), statuses(1))
    assert first == second
    assert 4 <= first.count(500) <= 20
    assert set(first) == {200, 500}


async def test_latency_comes_before_the_head_and_intervals_between_events(desk: Desk) -> None:
    desk.provider.behaviour = Behaviour(latency=0.1, chunk_interval=0.01)
    started = time.perf_counter()
    async with desk.http.stream("POST", URL, json=STREAM) as made:
        assert time.perf_counter() - started >= 0.1
        head = time.perf_counter()
        events = (await made.aread()).count(b"\n\n")
    assert time.perf_counter() - head >= 0.01 * (events - 2)


async def test_a_share_of_requests_fails_as_stated_or_is_slow() -> None:
    behaviour = Behaviour(failure_rate=0.5, failure_status=429, retry_after="1", slow_rate=0.5, slow_latency=0.05)
    async with FakeProvider(behaviour, seed=7) as provider, httpx.AsyncClient(timeout=20) as http:
        answers = [await http.post(f"{provider.url}/chat/completions", json=CHAT) for _ in range(40)]
    assert {answer.status_code for answer in answers} == {200, 429}
    assert {answer.headers.get("retry-after") for answer in answers if answer.status_code == 429} == {"1"}
    slow = sum(answer.elapsed.total_seconds() >= 0.05 for answer in answers)
    assert slow >= 8


@pytest.mark.parametrize(("fault", "events"), [("reset_at_chunk", 3), ("eof_at_chunk", 3), ("half_body", 1)])
async def test_what_cut_answers_have_cost_is_counted_apart(desk: Desk, fault: str, events: int) -> None:
    desk.provider.behaviour = Behaviour(fault=fault, chunk=3)
    await received(desk, STREAM)
    await eventually(lambda: desk.provider.stats.in_flight == 0, "still in flight")
    stats = desk.provider.stats
    assert (stats.prompt_tokens, stats.completion_tokens) == (0, 0)
    assert (stats.cut_prompt_tokens, stats.cut_events) == (1, events)
