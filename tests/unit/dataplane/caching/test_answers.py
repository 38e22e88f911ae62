"""The cache as clients see it: who gets which answer again, who shares one that is under way, what it costs them."""

import asyncio
import json
from decimal import Decimal
from typing import Any

import httpx
import pytest

from merit_dataplane.fake_provider.behaviour import Behaviour
from tests.support.gateway import Running, eventually, gateway, over, says, scripted, streams
from tests.support.resources import (
    CONSUMER,
    CONSUMER_KEY,
    candidate,
    consumer,
    prices,
    provider,
    route,
    route_of,
)
from tests.unit.dataplane.conftest import Vendors

pytestmark = pytest.mark.asyncio(loop_scope="session")

HELLO = [{"role": "user", "content": "Hello there, how are you today?"}]
BODY: dict[str, Any] = {"model": "chat", "messages": HELLO}
OTHER_KEY = "another-consumer-key-0002"
WEATHER = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}


def cached(vendors: Vendors, *more: str, exact: str = "ttl: 60s") -> tuple[str, ...]:
    chat = route("cheap", "middle", "dear", extra=f"cache: {{exact: {{{exact}}}}}")
    return (*vendors.resources(chat), *more)


def how(answer: httpx.Response) -> str:
    return answer.headers["x-merit-cache"]


def usage_in(body: bytes) -> dict[str, Any]:
    usage: dict[str, Any] = json.loads(body, parse_float=Decimal)["usage"]
    return usage


def chunks(stream: bytes) -> list[Any]:
    return [json.loads(line[5:]) for line in stream.splitlines() if line.startswith(b"data:") and b"[DONE]" not in line]


def text(stream: bytes) -> str:
    return "".join(c["choices"][0]["delta"].get("content") or "" for c in chunks(stream) if c["choices"])


def lines(merit: Running) -> list[dict[str, Any]]:
    return [json.loads(line) for line in merit.log_text().splitlines()]


async def test_the_second_identical_request_is_a_hit_and_costs_nothing(vendors: Vendors) -> None:
    async with gateway(*cached(vendors)) as merit:
        first, second = await merit.post(BODY), await merit.post(BODY)
        metrics, logged = await merit.metrics(), lines(merit)
    assert [how(a) for a in (first, second)] == ["miss", "hit"]
    assert vendors.cheap.stats.requests == 1
    for name in ("x-merit-provider", "x-merit-model", "x-merit-route", "x-merit-tier", "content-type"):
        assert first.headers.get_list(name) == second.headers.get_list(name)
    assert (second.headers["x-merit-cost"], second.headers["age"]) == ("0", "0")
    assert usage_in(second.content)["cost"] == 0
    kept, told = usage_in(first.content), usage_in(second.content)
    assert {k: v for k, v in kept.items() if "cost" not in k} == {k: v for k, v in told.items() if "cost" not in k}
    assert first.json()["choices"] == second.json()["choices"]
    assert 'merit_cache_requests_total{result="hit",route="default/chat"} 1.0' in metrics
    assert 'merit_cache_requests_total{result="miss",route="default/chat"} 1.0' in metrics
    assert [(line["cache"], line["status"]) for line in logged] == [("miss", 200), ("hit", 200)]
    assert logged[1]["saved"] == logged[0]["cost"]


@pytest.mark.parametrize("wants_usage", [False, True])
@pytest.mark.parametrize("streamed_first", [False, True])
async def test_a_stream_and_a_whole_answer_share_an_entry(
    vendors: Vendors, streamed_first: bool, wants_usage: bool
) -> None:
    streamed = {**BODY, "stream": True, "stream_options": {"include_usage": wants_usage}}
    async with gateway(*cached(vendors)) as merit:
        first, second = await merit.post(streamed if streamed_first else BODY), await merit.post(BODY)
        third = await merit.post(streamed)
        parsed = await merit.client().chat.completions.create(**BODY)
    assert [how(a) for a in (first, second, third)] == ["miss", "hit", "hit"]
    assert vendors.cheap.stats.requests == 1
    said = second.json()["choices"][0]["message"]["content"]
    assert said == text(third.content) == parsed.choices[0].message.content
    assert said == (text(first.content) if streamed_first else first.json()["choices"][0]["message"]["content"])
    assert third.headers["content-type"].startswith("text/event-stream")
    assert third.content.endswith(b"data: [DONE]\n\n")
    assert [chunk["usage"]["cost"] for chunk in chunks(third.content) if chunk.get("usage")] == [0] * wants_usage


async def test_tool_calls_are_kept_and_streamed_again(vendors: Vendors) -> None:
    asked = {**BODY, "tools": [WEATHER]}
    async with gateway(*cached(vendors)) as merit:
        first = await merit.post({**asked, "stream": True})
        whole = await merit.post(asked)
        again = await merit.post({**asked, "stream": True})
    assert [how(a) for a in (first, whole, again)] == ["miss", "hit", "hit"]
    call = whole.json()["choices"][0]["message"]["tool_calls"][0]
    assert call["function"]["name"] == "weather"
    json.loads(call["function"]["arguments"])
    assert [c for c in chunks(again.content) if c["choices"][0]["delta"].get("tool_calls")]


@pytest.mark.parametrize("stream", [False, True])
async def test_identical_requests_at_once_are_one_call(vendors: Vendors, stream: bool) -> None:
    vendors.cheap.behaviour = Behaviour(latency=0.4, chunk_interval=0.002)
    async with gateway(*cached(vendors)) as merit:
        answers = await asyncio.gather(*(merit.post({**BODY, "stream": stream}) for _ in range(200)))
        logged = lines(merit)
    assert vendors.cheap.stats.requests == 1
    assert {a.status_code for a in answers} == {200}
    assert sorted(how(a) for a in answers) == ["coalesced"] * 199 + ["miss"]
    said = {text(a.content) if stream else a.json()["choices"][0]["message"]["content"] for a in answers}
    assert len(said) == 1
    assert len({a.headers["x-merit-request-id"] for a in answers}) == 200
    assert sum(Decimal(line.get("cost") or 0) for line in logged) > 0
    assert [line["cache"] for line in logged if line.get("cost")] == ["miss"]
    assert len({line["saved"] for line in logged if line["cache"] == "coalesced"}) == 1


async def test_streams_and_whole_answers_at_once_are_one_call_and_each_is_told_its_own_cost(vendors: Vendors) -> None:
    vendors.cheap.behaviour = Behaviour(latency=0.3)
    usage = {"stream": True, "stream_options": {"include_usage": True}}
    asked = [{**BODY, **usage}, {**BODY, **usage}, {**BODY, "stream": True}, BODY]
    async with gateway(*cached(vendors)) as merit:
        first = asyncio.create_task(merit.post(asked[0]))
        await eventually(lambda: vendors.cheap.stats.in_flight == 1, "the first is not asked for")
        others = await asyncio.gather(*(merit.post(body) for body in asked[1:]))
        answers = [await first, *others]
    assert vendors.cheap.stats.requests == 1
    assert [how(a) for a in answers] == ["miss", "coalesced", "coalesced", "coalesced"]
    costs = [[c["usage"]["cost"] for c in chunks(a.content) if c.get("usage")] for a in answers[:3]]
    assert costs[0][0] > 0
    assert costs[1:] == [[0], []]
    assert usage_in(answers[3].content)["cost"] == 0


async def test_who_asked_first_may_leave(vendors: Vendors) -> None:
    vendors.cheap.behaviour = Behaviour(latency=0.3)
    async with gateway(*cached(vendors)) as merit:
        first = asyncio.create_task(merit.post(BODY))
        await eventually(lambda: vendors.cheap.stats.in_flight == 1, "the first is not asked for")
        second = asyncio.create_task(merit.post(BODY))
        await asyncio.sleep(0.1)
        first.cancel()
        answer = await second
        assert (answer.status_code, how(answer)) == (200, "coalesced")
        await eventually(lambda: len(lines(merit)) == 2, "a line is missing")
        assert sorted(line["cache"] for line in lines(merit)) == ["coalesced", "miss"]
        assert all(line["status"] == 200 for line in lines(merit)), "the answer was paid for, and served"
    assert vendors.cheap.stats.requests == 1


async def test_when_all_have_left_the_call_ends(vendors: Vendors) -> None:
    vendors.cheap.behaviour = Behaviour(fault="hang")
    async with gateway(*cached(vendors)) as merit:
        tasks = [asyncio.create_task(merit.post(BODY)) for _ in range(3)]
        await eventually(lambda: vendors.cheap.stats.in_flight == 1, "nobody is asked")
        await asyncio.sleep(0.1)
        for task in tasks:
            task.cancel()
        await eventually(lambda: vendors.cheap.stats.client_disconnects == 1, "the provider still writes")
        vendors.cheap.behaviour = Behaviour()
        assert how(await merit.post(BODY)) == "miss"
        await eventually(lambda: any(line["status"] == 499 for line in lines(merit)), "nobody says so")


async def test_a_client_that_reads_slowly_holds_up_nobody(vendors: Vendors) -> None:
    vendors.cheap.behaviour = Behaviour(latency=0.1, chunk_interval=0.005)
    async with gateway(*cached(vendors)) as merit, merit.http.stream(
        "POST", f"{merit.url}/v1/chat/completions", json={**BODY, "stream": True},
        headers={"authorization": f"Bearer {CONSUMER_KEY}"},
    ) as slow:  # fmt: skip
        quick = await merit.post({**BODY, "stream": True})
        assert text(quick.content)
        assert text(await slow.aread()) == text(quick.content)
    assert vendors.cheap.stats.requests == 1


async def test_errors_are_told_to_all_who_wait_and_kept_for_nobody(vendors: Vendors) -> None:
    vendors.cheap.behaviour = Behaviour(status=400, latency=0.2)
    async with gateway(*cached(vendors)) as merit:
        answers = await asyncio.gather(*(merit.post({**BODY, "stream": stream}) for stream in (False, True, False)))
        assert {a.status_code for a in answers} == {400}
        assert all(a.json()["error"] for a in answers)
        assert vendors.cheap.stats.requests == 1
        vendors.cheap.behaviour = Behaviour()
        assert how(await merit.post(BODY)) == "miss"


@pytest.mark.parametrize("fault", ["eof_at_chunk", "reset_at_chunk", "malformed_at_chunk"])
async def test_a_stream_that_broke_off_is_not_kept(vendors: Vendors, fault: str) -> None:
    for vendor in vendors.all:
        vendor.behaviour = Behaviour(fault=fault, chunk=3)
    async with gateway(*cached(vendors)) as merit:
        await merit.post({**BODY, "stream": True})
        for vendor in vendors.all:
            vendor.behaviour = Behaviour()
        assert how(await merit.post(BODY)) == "miss"


async def test_what_a_vendors_filter_cut_off_is_not_kept() -> None:
    body = {
        "choices": [{"index": 0, "message": {"role": "assistant", "content": ""}, "finish_reason": "content_filter"}]
    }
    async with over(says(json.dumps(body).encode()), route_extra="cache: {exact: {ttl: 60s}}") as merit:
        assert [how(await merit.post(BODY)) for _ in range(2)] == ["miss", "miss"]


async def test_a_stream_with_what_no_whole_answer_could_say_is_not_kept() -> None:
    def event(delta: str, finish: str = "null") -> bytes:
        return f'data: {{"choices":[{{"index":0,"delta":{delta},"finish_reason":{finish}}}]}}\n\n'.encode()

    script = streams(event('{"content":"a","hologram":"b"}'), event("{}", '"stop"'), b"data: [DONE]\n\n")
    async with over(script, route_extra="cache: {exact: {ttl: 60s}}") as merit:
        answers = [await merit.post({**BODY, "stream": True}) for _ in range(2)]
    assert [how(a) for a in answers] == ["miss", "miss"]
    assert all(b"hologram" in a.content for a in answers)


@pytest.mark.parametrize(
    "choice",
    [{}, {"index": 0, "message": None}, {"index": 0, "message": {"tool_calls": True}}, {"message": {}}],
    ids=str,
)
async def test_an_answer_of_which_no_stream_can_be_made_is_not_kept(choice: dict[str, Any]) -> None:
    body = {"choices": [{**choice, "finish_reason": "stop"}]}
    async with over(says(json.dumps(body).encode()), route_extra="cache: {exact: {ttl: 60s}}") as merit:
        assert [how(await merit.post(BODY)) for _ in range(2)] == ["miss", "miss"]


async def test_an_answer_expires(vendors: Vendors) -> None:
    async with gateway(*cached(vendors, exact="ttl: 30ms")) as merit:
        await merit.post(BODY)
        await asyncio.sleep(0.04)
        assert how(await merit.post(BODY)) == "miss"


async def test_a_stale_answer_is_served_while_one_call_fetches_it_anew(vendors: Vendors) -> None:
    async with gateway(*cached(vendors, exact="ttl: 50ms, staleWhileRevalidate: 1h")) as merit:
        await merit.post(BODY)
        await asyncio.sleep(0.06)
        vendors.cheap.behaviour = Behaviour(latency=1.0)
        assert [how(await merit.post(BODY)) for _ in range(5)] == ["stale"] * 5
        await eventually(lambda: len(lines(merit)) == 7, "it is not fetched anew")
        assert vendors.cheap.stats.requests == 2
        refreshed = [line for line in lines(merit) if line["cache"] == "refresh"]
        assert len(refreshed) == 1
        assert refreshed[0]["status"] == 200
        assert len({line["request"] for line in lines(merit)}) == 7


# ---- whose answer it is


async def test_consumers_never_share_unless_the_route_says_so(vendors: Vendors) -> None:
    for exact, expected in (("ttl: 60s", "miss"), ("ttl: 60s, scope: Route", "hit")):
        async with gateway(*cached(vendors, consumer("other", OTHER_KEY), exact=exact)) as merit:
            await merit.post(BODY)
            assert how(await merit.post(BODY, key=OTHER_KEY)) == expected
            assert how(await merit.post(BODY, key=OTHER_KEY)) == "hit"


async def test_consumers_never_share_a_call_under_way(vendors: Vendors) -> None:
    vendors.cheap.behaviour = Behaviour(latency=0.2)
    async with gateway(*cached(vendors, consumer("other", OTHER_KEY))) as merit:
        answers = await asyncio.gather(merit.post(BODY), merit.post(BODY, key=OTHER_KEY))
    assert [how(a) for a in answers] == ["miss", "miss"]


async def test_another_generation_knows_no_answer_of_before(vendors: Vendors) -> None:
    async with gateway(*cached(vendors)) as merit:
        await merit.post(BODY)
        await merit.apply(*cached(vendors, exact="ttl: 60s, generation: b"))
        assert [how(await merit.post(BODY)) for _ in range(2)] == ["miss", "hit"]
        other = consumer("tests", CONSUMER_KEY, extra=", cache: {generation: c}")
        await merit.apply(*cached(vendors, exact="ttl: 60s, generation: b")[:-1], other, CONSUMER.split("---", 1)[1])
        assert [how(await merit.post(BODY)) for _ in range(2)] == ["miss", "hit"]


async def test_a_header_that_chooses_the_tier_is_part_of_the_question(vendors: Vendors) -> None:
    tiers = (
        f"[{{name: best, when: [{{headers: [{{name: X-Plan, value: gold}}]}}], candidates: [{candidate('dear')}]}},"
        f" {{name: rest, candidates: [{candidate('cheap')}]}}]"
    )
    chat = route_of(tiers, extra="cache: {exact: {ttl: 60s}}")
    async with gateway(*vendors.resources(chat)) as merit:
        answers = [
            await merit.post(BODY),
            await merit.post(BODY, x_plan="gold"),
            await merit.post(BODY, x_other="gold"),
        ]
    assert [how(a) for a in answers] == ["miss", "miss", "hit"]
    assert [a.headers["x-merit-provider"] for a in answers] == ["cheap", "dear", "cheap"]


@pytest.mark.parametrize("raw", [b'"\xff"', b"1e400"])
async def test_a_request_without_canonical_form_is_served_past_the_cache(raw: bytes) -> None:
    async with scripted(says(b'{"choices":[]}')) as url:
        chat = route("a", extra="cache: {exact: {ttl: 60s}}")
        async with gateway(provider("a", url), prices("a", "1", "1"), chat, CONSUMER) as merit:
            body = b'{"model":"chat","messages":[{"role":"user"}],"x":' + raw + b"}"
            headers = {"authorization": f"Bearer {CONSUMER_KEY}"}
            for _ in range(2):
                answer = await merit.http.post(f"{merit.url}/v1/chat/completions", content=body, headers=headers)
                assert (answer.status_code, how(answer)) == (200, "bypass")


# ---- other protocols


@pytest.mark.parametrize("stream", [False, True])
async def test_an_anthropic_client_gets_its_answer_again_in_its_own_words(vendors: Vendors, stream: bool) -> None:
    asked = {**BODY, "max_tokens": 50, "stream": stream}
    async with gateway(*cached(vendors)) as merit:
        answers = [await merit.post(asked, path="/v1/messages") for _ in range(2)]
        assert how(await merit.post(BODY)) == "miss", "the same words of an OpenAI client are another question"
    assert [how(a) for a in answers] == ["miss", "hit"]
    if stream:
        said = ["".join(d["delta"].get("text", "") for d in chunks(a.content) if d["type"] == "content_block_delta")
                for a in answers]  # fmt: skip
        assert chunks(answers[1].content)[-1]["type"] == "message_stop"
    else:
        said = [a.json()["content"][0]["text"] for a in answers]
    assert said[0] == said[1] != ""


# ---- what a client may say


async def test_no_store_leaves_and_finds_nothing(vendors: Vendors) -> None:
    async with gateway(*cached(vendors)) as merit:
        for said in ({"cache_control": "no-store"}, {"x_openrouter_cache": "false"}):
            assert how(await merit.post(BODY, **said)) == "bypass"
        assert how(await merit.post({**BODY, "cache": {"no-store": True}})) == "bypass"
        assert how(await merit.post(BODY)) == "miss"


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/responses"])
async def test_what_the_body_says_of_the_cache_is_heeded_in_every_protocol(vendors: Vendors, path: str) -> None:
    body = {**BODY, "max_tokens": 50} if path == "/v1/messages" else {"model": "chat", "input": "Hello there"}
    async with gateway(*cached(vendors)) as merit:
        assert how(await merit.post({**body, "cache": {"no-store": True}}, path=path)) == "bypass"
        assert how(await merit.post({**body, "cache": {"namespace": "x"}}, path=path)) == "miss"
        assert [how(await merit.post(body, path=path)) for _ in range(2)] == ["miss", "hit"]
        assert how(await merit.post({**body, "cache": {"no-cache": True}}, path=path)) == "miss"


async def test_no_cache_asks_anew_and_leaves_the_newer_answer(vendors: Vendors) -> None:
    async with gateway(*cached(vendors)) as merit:
        await merit.post(BODY)
        for said in ({"cache_control": "no-cache"}, {"x_openrouter_cache_clear": "true"}):
            assert how(await merit.post(BODY, **said)) == "miss"
        assert how(await merit.post({**BODY, "cache": {"no-cache": True}})) == "miss"
        assert how(await merit.post(BODY)) == "hit"
    assert vendors.cheap.stats.requests == 4
    assert "cache" not in vendors.cheap.stats.last_request


async def test_a_client_says_how_old_an_answer_may_be_and_how_long_its_own_is_kept(vendors: Vendors) -> None:
    async with gateway(*cached(vendors)) as merit:
        await merit.post(BODY)
        assert how(await merit.post(BODY, cache_control="max-age=60")) == "hit"
        assert how(await merit.post(BODY, cache_control="max-age=0")) == "miss"
        await merit.post({**BODY, "cache": {"ttl": 0.05, "no-cache": True}})
        await asyncio.sleep(0.06)
        assert how(await merit.post(BODY)) == "miss"


async def test_a_namespace_keeps_answers_apart(vendors: Vendors) -> None:
    async with gateway(*cached(vendors)) as merit:
        await merit.post(BODY)
        asked = {**BODY, "cache": {"namespace": "experiment"}}
        assert [how(await merit.post(asked)) for _ in range(2)] == ["miss", "hit"]


async def test_only_if_cached_asks_nobody(vendors: Vendors) -> None:
    async with gateway(*cached(vendors)) as merit:
        answer = await merit.post(BODY, cache_control="only-if-cached")
        assert (answer.status_code, answer.json()["error"]["code"]) == (504, "not_cached")
        await merit.post(BODY)
        assert how(await merit.post(BODY, cache_control="only-if-cached")) == "hit"
    assert vendors.cheap.stats.requests == 1


async def test_openrouters_headers_are_answered_in_its_words(vendors: Vendors) -> None:
    async with gateway(*cached(vendors)) as merit:
        first = await merit.post(BODY, x_openrouter_cache="true", x_openrouter_cache_ttl="30")
        second = await merit.post(BODY, x_openrouter_cache="true")
    assert first.headers["x-openrouter-cache-status"] == "MISS"
    assert second.headers["x-openrouter-cache-status"] == "HIT"
    assert 25 <= int(second.headers["x-openrouter-cache-ttl"]) <= 30


async def test_controls_that_make_no_sense_are_refused(vendors: Vendors) -> None:
    async with gateway(*cached(vendors)) as merit:
        answer = await merit.post({**BODY, "cache": {"ttl": -3}})
        assert answer.status_code == 400
        assert answer.json()["error"]["param"] == "cache.ttl"


async def test_where_the_route_has_no_cache_nothing_is_said_of_one(vendors: Vendors) -> None:
    async with gateway(*vendors.resources()) as merit:
        answer = await merit.post({**BODY, "cache": {"ttl": 60}}, cache_control="max-age=60")
    assert answer.status_code == 200
    assert "x-merit-cache" not in answer.headers
    assert "cache" not in vendors.cheap.stats.last_request
