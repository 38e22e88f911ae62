"""Behaviour and statistics over HTTP."""

import asyncio
import hashlib
import json
from typing import Any

import httpx
import pytest

from merit_dataplane.fake_provider.behaviour import FAULTS, Behaviour, InvalidBehaviourError
from tests.support.gateway import eventually
from tests.unit.dataplane.fake_provider.conftest import KEY, Desk

CHAT: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "four and more"}]}  # 3 tokens
URL = "/v1/chat/completions"


async def test_a_part_of_the_behaviour_is_changed_and_the_rest_stays(desk: Desk) -> None:
    await desk.http.put("/_fake/behaviour", json={"latency": 0.001, "retry_after": "3"})
    made = await desk.http.put("/_fake/behaviour", json={"status": 503})
    assert made.status_code == 200
    shown = (await desk.http.get("/_fake/behaviour")).json()
    assert made.json() == shown
    assert (shown["latency"], shown["retry_after"], shown["status"]) == (0.001, "3", 503)
    assert (await desk.http.post(URL, json=CHAT)).status_code == 503
    assert desk.provider.behaviour.status == 503


@pytest.mark.parametrize(
    ("patch", "words"),
    [
        ({"latency": "fast"}, "latency: must be a number of seconds from 0 to 3600 (is 'fast')"),
        ({"latency": -1}, "latency: must be a number of seconds from 0 to 3600 (is -1)"),
        ({"jitter": None}, "jitter: must be a number of seconds from 0 to 3600 (is None)"),
        ({"chunk_interval": True}, "chunk_interval: must be a number"),
        ({"failure_rate": 2}, "failure_rate: must be a number from 0 to 1 (is 2)"),
        ({"status": 302}, "status: must be 200, or an error from 400 to 599 (is 302)"),
        ({"status": 503.0}, "status: must be"),
        ({"retry_after": 7}, "retry_after: must be a header value as a string"),
        ({"retry_after": "7\r\nx: y"}, "retry_after: must be"),
        ({"fault": "explode"}, "fault: must be one of none, hang, reset"),
        ({"fault": []}, "fault: must be one of"),
        ({"chunk": -1}, "chunk: must be the index of an event, 0 or more (is -1)"),
        ({"match_model": 1}, "match_model: must be the name of a model"),
        ({"times": -2}, "times: must be a number of requests, or -1"),
        ({"latenzy": 1}, "latenzy: unknown field (value 1); did you mean latency?"),
        ({"qqq": "x"}, "qqq: unknown field (value 'x'); fields are latency, jitter"),
        ([], "body: must be a JSON object"),
    ],
)
async def test_what_is_wrong_is_said_and_nothing_changes(desk: Desk, patch: object, words: str) -> None:
    made = await desk.http.put("/_fake/behaviour", json=patch)
    assert made.status_code == 400
    assert words in made.json()["error"]
    assert desk.provider.behaviour == Behaviour()


async def test_no_json_is_told(desk: Desk) -> None:
    made = await desk.http.put("/_fake/behaviour", content=b"{latency")
    assert (made.status_code, "body: must be a JSON object" in made.text) == (400, True)


def test_the_same_rules_hold_in_python() -> None:
    with pytest.raises(InvalidBehaviourError, match="latency: must be"):
        Behaviour(latency=float("nan"))
    assert {Behaviour(fault=fault).disturbs for fault in FAULTS} == {False, True}


async def test_paths_and_methods_that_there_are_not(desk: Desk) -> None:
    assert (await desk.http.get("/_fake/other")).status_code == 404
    assert (await desk.http.post("/_fake/behaviour", json={"status": 500})).status_code == 405
    assert (await desk.http.delete("/_fake/behaviour")).status_code == 405
    assert desk.provider.behaviour == Behaviour()


async def test_stats_count_requests_statuses_models_and_tokens(desk: Desk) -> None:
    first = (await desk.http.post(URL, json=CHAT)).json()["usage"]
    await desk.http.post(URL, json={**CHAT, "model": "other", "stream": True})
    await desk.http.post(URL, content=b"no json")
    desk.provider.behaviour = Behaviour(status=429)
    await desk.http.post(URL, json=CHAT)
    stats = (await desk.http.get("/_fake/stats")).json()
    assert stats["requests"] == 4
    assert stats["by_status"] == {"200": 2, "400": 1, "429": 1}
    assert stats["by_model"] == {"m": 2, "other": 1}
    assert (stats["in_flight"], stats["client_disconnects"]) == (0, 0)
    assert stats["prompt_tokens"] == 6
    assert stats["completion_tokens"] > first["completion_tokens"] > 0


async def test_the_last_request_is_shown_without_secrets(desk: Desk) -> None:
    body = {**CHAT, "metadata": {"deep": [1, 2.5, "é"]}}
    await desk.http.post(URL, json=body, headers={"x-trace": "t", "cookie": "secret=1", "x-api-key": "secret"})
    text = (await desk.http.get("/_fake/stats")).text
    last = json.loads(text)["last_request"]
    assert last["body"] == body
    assert last["headers"]["x-trace"] == "t"
    assert last["headers"]["authorization"] == hashlib.sha256(f"Bearer {KEY}".encode()).hexdigest()[:12]
    assert KEY not in text
    assert "secret" not in text


async def test_stats_are_reset_but_not_what_is_in_flight(desk: Desk) -> None:
    desk.provider.behaviour = Behaviour(latency=0.1)
    running = asyncio.create_task(desk.http.post(URL, json=CHAT))
    await eventually(lambda: desk.provider.stats.in_flight == 1, "not asked")
    made = await desk.http.delete("/_fake/stats")
    assert (made.json()["requests"], made.json()["in_flight"]) == (0, 1)
    await running
    assert desk.provider.stats.in_flight == 0


@pytest.mark.parametrize(
    ("behaviour", "stream"),
    [
        (Behaviour(latency=30), False),
        (Behaviour(latency=30), True),
        (Behaviour(chunk_interval=30), True),
        (Behaviour(fault="hang"), False),
        (Behaviour(fault="hang_at_chunk", chunk=1), True),
    ],
)
async def test_a_client_that_leaves_is_noticed_and_counted_once(desk: Desk, behaviour: Behaviour, stream: bool) -> None:
    desk.provider.behaviour = behaviour
    with pytest.raises(httpx.ReadTimeout):
        await desk.http.post(URL, json={**CHAT, "stream": stream}, timeout=httpx.Timeout(5, read=0.05))
    await eventually(lambda: desk.provider.stats.client_disconnects == 1, "the client's end was not noticed")
    await eventually(lambda: desk.provider.stats.in_flight == 0, "still in flight")
    assert (desk.provider.stats.prompt_tokens, desk.provider.stats.completion_tokens) == (0, 0)


async def test_clients_that_leave_after_the_answer_are_none(desk: Desk) -> None:
    async with httpx.AsyncClient(base_url=desk.http.base_url, headers=desk.http.headers) as http:
        for stream in (False, True):
            await http.post(URL, json={**CHAT, "stream": stream})
    await asyncio.sleep(0.02)
    assert desk.provider.stats.client_disconnects == 0


async def test_a_client_that_leaves_inside_its_request_is_not_served(desk: Desk) -> None:
    _, writer = await asyncio.open_connection(desk.http.base_url.host, desk.http.base_url.port)
    writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{")
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    await asyncio.sleep(0.02)
    assert desk.provider.stats.requests == 0
