"""Which attempt follows which failure, over sockets; and what of it the retry budget, time and price ceilings allow."""

import asyncio
import json
import time

import pytest

from merit_dataplane.fake_provider.behaviour import Behaviour
from merit_dataplane.wire.openai_errors import context_is_too_long, error_message
from tests.support.cassettes import cassettes
from tests.support.gateway import Script, eventually, gateway, over, says, streams
from tests.support.resources import CONSUMER, prices, provider, route
from tests.support.shared import SHARED_DATA
from tests.unit.dataplane.conftest import Vendors

CHAT = {"model": "chat", "messages": [{"role": "user", "content": "Hello"}]}
STREAM = CHAT | {"stream": True}
CHUNK = b'data: {"id":"x","choices":[{"index":0,"delta":{"content":"x"}}]}\n\n'
END = b'data: {"id":"x","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
GOOD = b'{"choices":[{"message":{"content":"good"}}],"usage":{"prompt_tokens":1,"completion_tokens":1}}'
slow = pytest.mark.slow
sockets = pytest.mark.asyncio(loop_scope="session")


def first(*scripts: Script) -> Script:
    """One script after the other, the last one for ever."""
    left = list(scripts)

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await (left.pop(0) if len(left) > 1 else left[0])(reader, writer)

    return script


def refuses(code: str, *, words: str = "no") -> Script:
    return says(json.dumps({"error": {"message": words, "code": code}}).encode(), status="400 Bad Request")


TOO_LONG = refuses("context_length_exceeded")


# ---- once more, here


@slow
@sockets
async def test_a_short_pause_is_waited_for_once(vendors: Vendors) -> None:
    vendors.cheap.behaviour = Behaviour(status=429, retry_after="1", times=1)
    async with gateway(*vendors.resources()) as merit:
        started = time.monotonic()
        answer = await merit.post(CHAT)
        assert (answer.headers["x-merit-provider"], answer.headers["x-merit-attempts"]) == ("cheap", "2")
        assert time.monotonic() - started >= 1


@slow
@sockets
@pytest.mark.parametrize(("pause", "longest"), [("3", "2s"), ("1", "0s"), ("", "2s")])
async def test_a_long_or_unnamed_pause_is_not(vendors: Vendors, pause: str, longest: str) -> None:
    vendors.cheap.behaviour = Behaviour(status=429, retry_after=pause, times=1)
    chat = route("cheap", "middle", extra=f"retry: {{longestWait: {longest}}}")
    async with gateway(*vendors.resources(chat)) as merit:
        answer = await merit.post(CHAT)
        assert (answer.headers["x-merit-provider"], answer.headers["x-merit-attempts"]) == ("middle", "2")


@slow
@sockets
@pytest.mark.parametrize("behaviour", [Behaviour(status=500, times=1), Behaviour(fault="reset", times=1)])
async def test_what_is_transient_is_tried_once_more_on_the_same_endpoint(
    vendors: Vendors, behaviour: Behaviour
) -> None:
    vendors.cheap.behaviour = behaviour
    async with gateway(*vendors.resources()) as merit:
        answer = await merit.post(CHAT)
        assert (answer.headers["x-merit-provider"], answer.headers["x-merit-attempts"]) == ("cheap", "2")


@slow
@sockets
async def test_an_only_candidate_that_recovers_is_waited_for(vendors: Vendors) -> None:
    vendors.cheap.behaviour = Behaviour(status=503, times=3)
    async with gateway(*vendors.resources(route("cheap"))) as merit:
        answer = await merit.post(CHAT)
        assert (answer.status_code, answer.headers["x-merit-attempts"]) == (200, "4")


@slow
@sockets
async def test_without_a_budget_nobody_is_asked_twice_beyond_the_floor(vendors: Vendors) -> None:
    vendors.cheap.behaviour = Behaviour(status=503)
    chat = route("cheap", extra='retry: {budgetPercent: "0"}')
    async with gateway(*vendors.resources(chat)) as merit:
        answers = await asyncio.gather(*(merit.post(CHAT) for _ in range(20)))
    assert {a.status_code for a in answers} == {502}
    assert vendors.cheap.stats.requests == 20 + 10


# ---- somebody else


@slow
@sockets
@pytest.mark.parametrize("stream", [False, True])
async def test_a_context_that_is_too_long_goes_to_a_larger_window(stream: bool) -> None:
    good = streams(CHUNK, END) if stream else says(GOOD)
    async with over(TOO_LONG, says(b"", status="500 no"), good) as merit:
        documents = [
            CONSUMER,
            *(provider(n, merit_url(merit, n)) for n in "abc"),
            prices("a", "1", "1", extra="contextWindow: 8000"),
            prices("b", "2", "2", extra="contextWindow: 4000"),
            prices("c", "3", "3", extra="contextWindow: 128000"),
            route("a", "b", "c"),
        ]
        await merit.apply(*documents)
        answer = await merit.post(CHAT | {"stream": stream})
        assert (answer.status_code, answer.headers["x-merit-provider"]) == (200, "c")
        assert answer.headers["x-merit-attempts"] == "2"


def merit_url(merit: object, name: str) -> str:
    """Where a scripted vendor listens."""
    snapshot = merit.compiled.snapshot  # type: ignore[attr-defined]
    url: str = snapshot.providers[f"default/{name}"].endpoints[0].url
    return url


@slow
@sockets
async def test_where_no_window_is_larger_the_client_gets_the_providers_answer() -> None:
    async with over(TOO_LONG) as merit:
        answer = await merit.post(CHAT)
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "context_length_exceeded")
        assert answer.headers["x-merit-attempts"] == "1"
        assert answer.headers["x-merit-provider"] == "a"


@slow
@sockets
async def test_a_content_filter_is_handed_on_as_it_is_and_nobody_else_asked() -> None:
    async with over(refuses("content_policy_violation", words="not that"), says(GOOD)) as merit:
        answer = await merit.post(CHAT)
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "content_policy_violation")
        assert answer.json()["error"]["message"] == "not that"
        assert answer.headers["x-merit-attempts"] == "1"


@slow
@sockets
@pytest.mark.parametrize("status", [401, 402, 404])
async def test_a_wrong_key_or_model_is_not_tried_each_time(vendors: Vendors, status: int) -> None:
    vendors.cheap.behaviour = Behaviour(status=status)
    async with gateway(*vendors.resources()) as merit:
        tries = [(await merit.post(CHAT)).headers["x-merit-attempts"] for _ in range(4)]
    assert tries == ["2", "1", "1", "1"]
    assert vendors.cheap.stats.requests == 1


# ---- time


@slow
@sockets
async def test_a_first_token_limit_moves_on() -> None:
    async with over(
        streams(b": wait\n\n", CHUNK, seconds_between=3), streams(CHUNK, END), extra="timeouts: {firstToken: 200ms}"
    ) as merit:
        answer = await merit.post(STREAM)
        assert answer.headers["x-merit-provider"] == "b"
        await eventually(lambda: merit.parts.ledger.in_flight == 0, "still in flight")
        line = json.loads(merit.log_text())
        assert line["failures"] == ["default/a/e0: first_token_timeout"]
        assert line["lost"][0]["estimated"], "it was at work: that may cost"


@slow
@sockets
async def test_the_last_candidate_may_take_longer_for_its_first_token() -> None:
    async with over(
        streams(b": wait\n\n", CHUNK, END, seconds_between=0.5), extra="timeouts: {firstToken: 200ms}"
    ) as merit:
        answer = await merit.post(STREAM)
        assert (answer.status_code, answer.headers["x-merit-attempts"]) == (200, "1")


@slow
@sockets
async def test_a_healthy_stream_outlasts_the_total_limit() -> None:
    async with over(streams(*[CHUNK] * 12, END, seconds_between=0.1), route_extra="timeouts: {total: 500ms}") as merit:
        answer = await merit.post(STREAM)
        assert answer.text.count("content") == 12
        assert answer.text.endswith("data: [DONE]\n\n")


@slow
@sockets
async def test_signs_of_life_without_a_token_are_not_enough_for_ever() -> None:
    async with over(
        streams(CHUNK, *[b": ping\n\n"] * 40, END, seconds_between=0.1), extra="timeouts: {idle: 200ms}"
    ) as merit:
        answer = await merit.post(STREAM)
        assert "stream_interrupted" in answer.text
        assert 3 < answer.text.count(": ping") < 20


@slow
@sockets
async def test_the_requests_own_time_is_never_counted_against_a_provider(vendors: Vendors) -> None:
    vendors.cheap.behaviour = Behaviour(latency=5)
    chat = route("cheap", extra="timeouts: {total: 100ms}")
    async with gateway(*vendors.resources(chat)) as merit:
        for _ in range(6):
            assert (await merit.post(CHAT)).status_code == 504
        circuits = merit.parts.holder.live.circuits("default/cheap", "e0", vendors.cheap.url)
        assert circuits["cheap-model"].open_until == 0


# ---- regions, prices


@slow
@sockets
async def test_a_region_that_is_out_takes_out_that_region_alone(vendors: Vendors) -> None:
    vendors.cheap.behaviour = Behaviour(status=503)
    documents = [
        provider("regions", vendors.cheap.url, vendors.middle.url), prices("regions", "0.01", "0.01"),
        *vendors.resources(route("regions", "dear")),
    ]  # fmt: skip
    async with gateway(*documents) as merit:
        answers = [await merit.post(CHAT) for _ in range(8)]
        assert {a.headers["x-merit-provider"] for a in answers} == {"regions"}
        assert [a.headers["x-merit-attempts"] for a in answers] == ["2"] * 5 + ["1"] * 3


@slow
@sockets
async def test_when_all_but_the_dearest_are_down_it_answers_from_the_first_request_on(vendors: Vendors) -> None:
    vendors.cheap.behaviour = Behaviour(status=503)
    names = ["a", "b", "c", "d", "dear"]
    documents = [
        *(provider(n, vendors.cheap.url) + "---" + prices(n, f"0.0{i + 1}", "0.1") for i, n in enumerate(names[:4])),
        *vendors.resources(route(*names)),
    ]
    async with gateway(*documents) as merit:
        answer = await merit.post(CHAT)
        assert (answer.status_code, answer.headers["x-merit-provider"]) == (200, "dear")


@slow
@sockets
async def test_no_attempt_and_no_continuation_crosses_the_price_ceiling(vendors: Vendors) -> None:
    capable = "Streaming, AssistantPrefix"
    documents = [
        *(provider(n, v.url) for n, v in (("cheap", vendors.cheap), ("dear", vendors.dear))),
        prices("cheap", "1", "2", capabilities=capable),
        prices("dear", "10", "20", capabilities=capable),
        route("cheap", "dear", extra='maxPrice: {output: "5"}\n  retry: {midStream: Restart, attempts: 2}'),
        CONSUMER,
    ]
    async with gateway(*documents) as merit:
        for behaviour in (
            Behaviour(status=503),
            Behaviour(status=500),
            Behaviour(fault="reset_at_chunk", chunk=4, chunk_interval=0.005),
        ):
            vendors.cheap.behaviour = behaviour
            await merit.post(STREAM)
    assert vendors.dear.stats.requests == 0


# ---- words


def test_words_of_vendors_for_a_context_that_is_too_long() -> None:
    found = {}
    for folder in sorted((SHARED_DATA / "cassettes" / "dev").glob("*")):
        for path in folder.glob("*handles-context-length-exceeded-errors*.json"):
            recorded = json.loads(path.read_text(encoding="utf-8"))
            if recorded["status"] != 429:
                body = (recorded["response_body"] or "").encode()
                found[folder.name] = context_is_too_long(recorded["status"], body)
    if not found:
        pytest.skip("the recordings are not at hand")
    assert len(found) > 5
    assert all(found.values()), found


def test_other_errors_are_none() -> None:
    known = ["anthropic", "openai", "mistral", "groq", "deepseek", "xai"]
    errors = [c for name in known for c in cassettes(name, "chat.completions") if c.status >= 400]
    for error in errors:
        if "context-length" not in error.name:
            assert not context_is_too_long(error.status, error.body), error.name
    assert not context_is_too_long(500, b'{"error":{"code":"context_length_exceeded"}}')


@pytest.mark.parametrize(
    ("event", "words"),
    [
        (b'data: {"error":{"message":"overloaded"}}\n\n', "overloaded"),
        (b'data: {"error":"overloaded"}\n\n', "overloaded"),
        (b'data: {"error":{"code":5}}\n\n', ""),
        (b"data: {]\n\n", ""),
    ],
)
def test_words_of_an_error_event(event: bytes, words: str) -> None:
    assert error_message(event) == words
