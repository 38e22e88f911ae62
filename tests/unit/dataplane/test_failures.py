"""What a client sees when vendors fail, and when it fails itself."""

import asyncio
import contextlib
import json
import re
import socket
import time
from email.utils import formatdate
from typing import Any

import aiohttp
import httpx
import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam

from merit_dataplane.fake_provider.behaviour import Behaviour
from merit_dataplane.fake_provider.server import FakeProvider
from tests.support.gateway import Running, Script, eventually, free_port, gateway, over, says, streams
from tests.support.resources import CONSUMER, CONSUMER_KEY, PROVIDER_KEY, prices, provider, route
from tests.unit.dataplane.conftest import Vendors

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.slow]

HELLO: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Hello"}]
CHAT = {"model": "chat", "messages": HELLO}
GOOD = b'{"choices":[{"message":{"content":"good"}}],"usage":{"prompt_tokens":1,"completion_tokens":1}}'
CHUNK = b'data: {"choices":[{"index":0,"delta":{"content":"x"}}]}\n\n'
DONE = b"data: [DONE]\n\n"
QUICK = "timeouts: {connect: 1s, firstByte: 300ms, idle: 300ms, total: 10s}"


def outcomes(merit: Running) -> dict[str, str]:
    """Provider to the outcome of its last attempt."""
    return {provider.split("/")[1]: outcome for provider, _, _, outcome in merit.parts.ledger.attempts}


# ---- failover before the first byte

FAULTS: list[tuple[Behaviour, str]] = [
    (Behaviour(status=500), "status_500"),
    (Behaviour(status=502), "status_502"),
    (Behaviour(status=503), "status_503"),
    (Behaviour(status=529), "status_529"),
    (Behaviour(status=408), "status_408"),
    (Behaviour(status=429, retry_after="7"), "status_429"),
    (Behaviour(status=401), "status_401"),
    (Behaviour(status=403), "status_403"),
    (Behaviour(status=404), "status_404"),
    (Behaviour(fault="reset"), "connection_lost"),
    (Behaviour(fault="hang"), "first_byte_timeout"),
    (Behaviour(status=402), "status_402"),
    (Behaviour(fault="malformed"), "malformed_answer"),
]


TRANSIENT = ("status_500", "connection_lost")
"""What the same endpoint is asked once more after."""


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("behaviour", "outcome"), FAULTS, ids=[outcome for _, outcome in FAULTS])
async def test_the_next_candidate_takes_over(
    vendors: Vendors, behaviour: Behaviour, outcome: str, stream: bool
) -> None:
    vendors.cheap.behaviour = behaviour
    async with gateway(*vendors.resources(extra=QUICK)) as merit:
        answer = await merit.post({**CHAT, "stream": stream})
        assert answer.status_code == 200
        assert answer.headers["x-merit-provider"] == "middle"
        tries = 2 if outcome in TRANSIENT else 1
        assert answer.headers["x-merit-attempts"] == str(tries + 1)
        await eventually(lambda: merit.parts.ledger.in_flight == 0, "still in flight")
        assert outcomes(merit) == {"cheap": outcome, "middle": "answered"}
        line = json.loads(merit.log_text())
        assert line["failures"] == [f"default/cheap/e0: {outcome}"] * tries
        assert line["provider"] == "default/middle"
    await eventually(lambda: vendors.cheap.stats.in_flight == 0, "the failed attempt was not given up")


@pytest.mark.parametrize("fault", ["half_body"])
async def test_half_an_answer_is_none(vendors: Vendors, fault: str) -> None:
    vendors.cheap.behaviour = Behaviour(fault=fault)
    async with gateway(*vendors.resources(extra=QUICK)) as merit:
        answer = await merit.post(CHAT)
        assert (answer.status_code, answer.headers["x-merit-provider"]) == (200, "middle")


async def test_a_refused_connection(vendors: Vendors) -> None:
    documents = [
        provider("gone", f"http://127.0.0.1:{free_port()}/v1"), prices("gone", "0.01", "0.01"),
        *vendors.resources(route("gone", "cheap")),
    ]  # fmt: skip
    async with gateway(*documents) as merit:
        answer = await merit.post(CHAT)
        assert (answer.status_code, answer.headers["x-merit-attempts"]) == (200, "2")
        assert outcomes(merit)["gone"] == "connect_error"


ODD: list[tuple[str, Script, str]] = [
    ("an empty stream", streams(), "connection_lost"),
    ("a redirect", says(b"", status="302 Found", extra="location: http://169.254.169.254/\r\n"), "status_302"),
    ("no HTTP", says(b"", status="banana"), "connection_lost"),
    ("HTML", says(b"<html></html>", kind="text/html"), "malformed_answer"),
    ("deep JSON", says(b'{"a":' + b"[" * 100_000), "malformed_answer"),
]


@pytest.mark.parametrize(("what", "script", "outcome"), ODD, ids=[what for what, _, _ in ODD])
async def test_odd_answers(what: str, script: Script, outcome: str) -> None:
    stream = what == "an empty stream"
    good = streams(CHUNK, DONE) if stream else says(GOOD)
    async with over(script, good) as merit:
        answer = await merit.post({**CHAT, "stream": stream})
        assert (answer.status_code, answer.headers["x-merit-provider"]) == (200, "b")
        assert outcomes(merit) == {"a": outcome, "b": "answered"}


FILTERED = b'{"error":{"message":"The prompt was filtered.","param":"prompt","code":"content_filter","status":400}}'


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("path", "asked"),
    [
        ("/v1/chat/completions", {"messages": HELLO}),
        ("/v1/responses", {"input": "Hello"}),
        ("/v1/messages", {"messages": HELLO, "max_tokens": 9}),
    ],
)
async def test_an_error_sent_with_200_is_the_clients_with_its_words(
    path: str, asked: dict[str, Any], stream: bool
) -> None:
    """As Azure answers where its filter has caught the prompt (recorded by openllmetry, April 2024)."""
    async with over(says(FILTERED), says(GOOD)) as merit:
        answer = await merit.post({"model": "chat", "stream": stream, **asked}, path=path)
        assert answer.status_code == 400
        assert "The prompt was filtered." in answer.text
        await eventually(lambda: merit.parts.ledger.in_flight == 0, "still in flight")
        assert outcomes(merit) == {"a": "answered"}


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        ({"message": "Provider returned error", "code": 503}, "status_503"),
        ({"message": "Rate limited upstream", "code": 429}, "status_429"),
        ({"message": "?"}, "status_502"),
    ],
)
async def test_an_error_sent_with_200_moves_on_where_another_can_answer(error: dict[str, Any], outcome: str) -> None:
    async with over(says(json.dumps({"error": error}).encode()), says(GOOD)) as merit:
        answer = await merit.post(CHAT)
        assert (answer.status_code, answer.headers["x-merit-provider"]) == (200, "b")
        assert outcomes(merit)["a"] == outcome


async def test_a_body_that_is_longer_than_its_length_spoils_no_later_answer() -> None:
    liar = says(GOOD, extra="x: y\r\n")

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await liar(reader, writer)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil")

    async with over(script, says(GOOD)) as merit:
        for _ in range(3):
            answer = await merit.post(CHAT)
            assert answer.json()["choices"][0]["message"]["content"] == "good"


async def test_a_metadata_address_is_never_called(vendors: Vendors) -> None:
    for host in ("169.254.169.254", "[::ffff:169.254.169.254]"):
        documents = [
            provider("evil", f"http://{host}/v1"), prices("evil", "0.01", "0.01"),
            *vendors.resources(route("evil", "cheap")),
        ]  # fmt: skip
        async with gateway(*documents) as merit:
            assert (await merit.post(CHAT)).headers["x-merit-provider"] == "cheap"
            assert outcomes(merit)["evil"] == "refused_address"


async def test_client_fields_that_name_another_host_change_nothing(vendors: Vendors) -> None:
    async with gateway(*vendors.resources()) as merit:
        evil = "http://127.0.0.1:9/"
        answer = await merit.post({**CHAT, "api_base": evil, "base_url": evil}, x_forwarded_host="evil", host="evil")
        assert answer.status_code == 200
    assert vendors.cheap.stats.requests == 1


@pytest.mark.parametrize("as_date", [False, True])
async def test_a_rate_limit_cools_the_account_down_for_as_long_as_it_asked(vendors: Vendors, as_date: bool) -> None:
    retry_after = formatdate(time.time() + 8, usegmt=True) if as_date else "7"
    vendors.cheap.behaviour = Behaviour(status=429, retry_after=retry_after)
    async with gateway(*vendors.resources()) as merit:
        for attempts in ("2", "1", "1"):
            answer = await merit.post(CHAT)
            assert (answer.headers["x-merit-provider"], answer.headers["x-merit-attempts"]) == ("middle", attempts)
        assert merit.parts.holder.tables is not None
        account = merit.parts.holder.live.account("default/cheap")
        assert 5.5 < account.cooling_until - asyncio.get_running_loop().time() < 8.1
    assert vendors.cheap.stats.requests == 1


@pytest.mark.parametrize("status", [401, 403, 429])
async def test_what_the_account_can_not_do_its_other_endpoints_can_not_either(vendors: Vendors, status: int) -> None:
    vendors.cheap.behaviour = Behaviour(status=status)
    url = vendors.cheap.url
    documents = [
        provider("regions", url, url + "/", url + "//", url.replace("v1", "v1///")), prices("regions", "0.01", "0.01"),
        *vendors.resources(route("regions", "middle")),
    ]  # fmt: skip
    async with gateway(*documents) as merit:
        answer = await merit.post(CHAT)
        assert (answer.headers["x-merit-provider"], answer.headers["x-merit-attempts"]) == ("middle", "2")


async def test_another_region_of_the_same_provider_is_tried_first(vendors: Vendors) -> None:
    documents = [
        provider("regions", f"http://127.0.0.1:{free_port()}/v1", vendors.cheap.url), prices("regions", "0.01", "0.01"),
        *vendors.resources(route("regions", "middle")),
    ]  # fmt: skip
    async with gateway(*documents) as merit:
        answer = await merit.post(CHAT)
        assert (answer.headers["x-merit-provider"], answer.headers["x-merit-attempts"]) == ("regions", "2")


async def test_an_open_circuit_saves_the_attempt(vendors: Vendors) -> None:
    vendors.cheap.behaviour = Behaviour(status=503)
    async with gateway(*vendors.resources()) as merit:
        answers = [await merit.post(CHAT) for _ in range(8)]
        assert [a.headers["x-merit-attempts"] for a in answers] == ["2"] * 5 + ["1"] * 3
        assert {a.status_code for a in answers} == {200}
    assert vendors.cheap.stats.requests == 5


async def test_own_limits_are_never_exceeded(vendors: Vendors) -> None:
    vendors.cheap.behaviour = Behaviour(latency=0.1)
    documents = vendors.resources(route("cheap"), extra="limits: {concurrentRequests: 2}")
    async with gateway(*documents) as merit:
        answers = await asyncio.gather(*(merit.post(CHAT) for _ in range(5)))
        assert sorted(a.status_code for a in answers) == [200, 200, 429, 429, 429]
        refused = next(a for a in answers if a.status_code == 429)
        assert refused.headers["retry-after"] == "1"
        assert "own_limit" in refused.json()["error"]["message"]
    assert vendors.cheap.stats.requests == 2


async def test_over_its_own_limit_the_next_candidate_is_taken(vendors: Vendors) -> None:
    vendors.cheap.behaviour = Behaviour(latency=0.1)
    async with gateway(*vendors.resources(extra="limits: {concurrentRequests: 2}")) as merit:
        answers = await asyncio.gather(*(merit.post(CHAT) for _ in range(5)))
        assert {a.status_code for a in answers} == {200}
    assert vendors.cheap.stats.requests == 2


# ---- all failed


@pytest.mark.parametrize(
    ("behaviour", "status", "error", "attempts"),
    [
        (Behaviour(status=500), 502, openai.InternalServerError, "6"),
        (Behaviour(fault="reset"), 502, openai.InternalServerError, "6"),
        (Behaviour(fault="hang"), 504, openai.InternalServerError, "3"),
        (Behaviour(status=401), 502, openai.InternalServerError, "3"),
        (Behaviour(status=429, retry_after="6.2"), 429, openai.RateLimitError, "3"),
    ],
    ids=["500", "reset", "hang", "401", "429"],
)
async def test_when_all_fail_the_client_is_told_why(
    vendors: Vendors, behaviour: Behaviour, status: int, error: type[openai.APIStatusError], attempts: str
) -> None:
    for vendor in vendors.all:
        vendor.behaviour = behaviour
    async with gateway(*vendors.resources(extra=QUICK)) as merit:
        with pytest.raises(error) as raised:
            await merit.client().chat.completions.create(model="chat", messages=HELLO)
        response = raised.value.response
        assert response.status_code == status
        assert response.headers["x-merit-attempts"] == attempts
        message = response.json()["error"]["message"]
        assert all(f"default/{name}/e0: " in message for name in ("cheap", "middle", "dear"))
        if status == 429:
            assert response.headers["retry-after"] == "7"


async def test_attempts_and_the_total_time_bound_the_way_down(vendors: Vendors) -> None:
    for vendor in vendors.all:
        vendor.behaviour = Behaviour(fault="hang")
    chat = route("cheap", "middle", "dear", extra="{}")
    for extra, attempts, status in (("retry: {attempts: 2}", "2", 504), ("timeouts: {total: 450ms}", "2", 504)):
        chat = route("cheap", "middle", "dear", extra=extra)
        async with gateway(*vendors.resources(chat, extra=QUICK)) as merit:
            answer = await merit.post(CHAT)
            assert (answer.status_code, answer.headers["x-merit-attempts"]) == (status, attempts)


async def test_a_route_narrows_the_time_limits(vendors: Vendors) -> None:
    vendors.cheap.behaviour = Behaviour(fault="hang")
    chat = route("cheap", "middle", extra="timeouts: {firstByte: 50ms}")
    async with gateway(*vendors.resources(chat)) as merit:
        started = time.perf_counter()
        assert (await merit.post(CHAT)).headers["x-merit-provider"] == "middle"
        assert time.perf_counter() - started < 5


# ---- in mid-stream


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        ("hang_at_chunk", "stream_idle_timeout"),
        ("reset_at_chunk", "stream_connection_lost"),
        ("eof_at_chunk", "stream_truncated"),
    ],
)
async def test_a_broken_stream_is_an_error_and_never_looks_complete(vendors: Vendors, fault: str, outcome: str) -> None:
    vendors.cheap.behaviour = Behaviour(fault=fault, chunk=3)
    async with gateway(*vendors.resources(extra=QUICK)) as merit:
        stream = await merit.client().chat.completions.create(model="chat", messages=HELLO, stream=True)
        chunks = []
        with pytest.raises(openai.APIError, match="incomplete"):  # noqa: PT012 # the stream is the statement
            async for chunk in stream:
                chunks.append(chunk)  # noqa: PERF401 # what came before the error counts too
        assert len(chunks) == 3
        raw = await merit.post({**CHAT, "stream": True})
        assert b"[DONE]" not in raw.content
        last = raw.content.strip().split(b"\n\n")[-1]
        assert json.loads(last.removeprefix(b"data: "))["error"]["code"] == "stream_interrupted"
        await eventually(lambda: merit.parts.ledger.in_flight == 0, "still in flight")
        assert any(key[3] == outcome for key in merit.parts.ledger.attempts)
        line = json.loads(merit.log_text().splitlines()[0])
        assert (line["status"], line["error"], line["estimated"]) == (502, outcome, True)
        assert line["output_tokens"] == 2  # the first event says no more than who speaks
    assert vendors.middle.stats.requests == 0


async def test_a_stream_cut_inside_an_event_gives_the_client_whole_events_only() -> None:
    async with over(streams(CHUNK, CHUNK[:20])) as merit:
        raw = await merit.post({**CHAT, "stream": True})
        events = raw.content.strip().split(b"\n\n")
        assert [bool(json.loads(e.removeprefix(b"data: "))) for e in events] == [True, True]
        assert b"stream_interrupted" in events[-1]


async def test_the_providers_own_error_event_is_handed_on_once_and_counted() -> None:
    error = b'data: {"error":{"message":"overloaded","type":"server_error"}}\n\n'
    for rest in ((), (DONE,)):
        async with over(streams(CHUNK, error, *rest, seconds_between=0.05)) as merit:
            stream = await merit.client().chat.completions.create(model="chat", messages=HELLO, stream=True)
            with pytest.raises(openai.APIError, match="overloaded"):
                async for _ in stream:
                    pass
            raw = await merit.post({**CHAT, "stream": True})
            assert raw.content.count(b'"error"') == 1
            await eventually(lambda: merit.parts.ledger.in_flight == 0, "still in flight")
            assert json.loads(merit.log_text().splitlines()[-1])["error"] == "stream_error"


async def test_a_slow_stream_that_keeps_coming_is_not_cut() -> None:
    async with over(streams(*[CHUNK] * 6, DONE, seconds_between=0.08), extra=QUICK) as merit:
        raw = await merit.post({**CHAT, "stream": True})
        assert raw.content == CHUNK * 6 + DONE


async def test_an_endless_event_ends_the_stream() -> None:
    async with over(streams(CHUNK, *[b"x" * 1_000_000] * 20)) as merit:
        raw = await merit.post({**CHAT, "stream": True})
        assert b"stream_interrupted" in raw.content
        assert len(raw.content) < 1000


async def test_circuits_open_for_broken_streams_too(vendors: Vendors) -> None:
    vendors.cheap.behaviour = Behaviour(fault="eof_at_chunk", chunk=3, chunk_interval=0.01)
    async with gateway(*vendors.resources()) as merit:
        who = [(await merit.post({**CHAT, "stream": True})).headers["x-merit-provider"] for _ in range(10)]
    assert who == ["cheap"] * 5 + ["middle"] * 5


# ---- the client goes away


async def gone(merit: Running, body: dict[str, Any], until: str, vendor: FakeProvider) -> float:
    """Hangs up once the vendor has the request (for `stream`: has sent some). Seconds until the vendor notices."""
    host, port = merit.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    data = json.dumps(body).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {CONSUMER_KEY}\r\n"
    writer.write(f"{head}content-length: {len(data)}\r\n\r\n".encode() + data)
    if until == "stream":
        await reader.readuntil(b"data: ")
    else:
        await eventually(lambda: vendor.stats.in_flight > 0, "the vendor was not asked")
    before = vendor.stats.client_disconnects
    writer.close()
    return await eventually(lambda: vendor.stats.client_disconnects > before, "the vendor still works for nobody", 2)


@pytest.mark.parametrize(
    ("behaviour", "stream", "until"),
    [
        (Behaviour(chunk_interval=0.2), True, "stream"),
        (Behaviour(latency=5), True, "asked"),
        (Behaviour(latency=5), False, "asked"),
        (Behaviour(fault="hang_at_chunk", chunk=3), True, "stream"),
    ],
    ids=["mid-stream", "before the first token", "waiting for a whole answer", "stalled stream"],
)
async def test_a_client_that_has_gone_ends_the_upstream_call(
    vendors: Vendors, behaviour: Behaviour, stream: bool, until: str
) -> None:
    vendors.cheap.behaviour = behaviour
    async with gateway(*vendors.resources()) as merit:
        took = [await gone(merit, {**CHAT, "stream": stream}, until, vendors.cheap) for _ in range(5)]
        assert sorted(took)[2] < 0.1
        await eventually(lambda: merit.parts.ledger.in_flight == 0, "still in flight")
        lines = [json.loads(line) for line in merit.log_text().splitlines()]
        assert [line["status"] for line in lines] == [499] * 5
        if until == "stream":
            assert all(line["output_tokens"] > 0 and line["estimated"] for line in lines)
    # a client's leaving says nothing of the vendor
    assert vendors.middle.stats.requests == 0
    assert (
        merit.parts.holder.live.circuits("default/cheap", "e0", vendors.cheap.url)["cheap-model"].unavailable(0) == ""
    )


async def test_a_client_that_leaves_while_sending_its_body(vendors: Vendors) -> None:
    async with gateway(*vendors.resources()) as merit:
        host, port = merit.url.removeprefix("http://").split(":")
        for sent in (b"", b'{"model":'):
            _, writer = await asyncio.open_connection(host, int(port))
            head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {CONSUMER_KEY}\r\n"
            writer.write(f"{head}content-length: 100\r\n\r\n".encode() + sent)
            await eventually(lambda: merit.parts.ledger.in_flight == 1, "the request has not begun")
            writer.close()
            await eventually(lambda: merit.parts.ledger.in_flight == 0, "still in flight")
        statuses = [json.loads(line)["status"] for line in merit.log_text().splitlines()]
    assert statuses == [499, 499]
    assert vendors.cheap.stats.requests == 0


async def test_many_clients_that_leave_leave_nothing_behind(vendors: Vendors) -> None:
    vendors.cheap.behaviour = Behaviour(latency=0.05, chunk_interval=0.01)
    async with gateway(*vendors.resources()) as merit:

        async def impatient(seconds: float) -> None:
            with contextlib.suppress(TimeoutError, httpx.HTTPError):
                async with asyncio.timeout(seconds):
                    await merit.post({**CHAT, "stream": True})

        await asyncio.gather(*(impatient(0.002 * n) for n in range(1, 60)))
        await eventually(lambda: vendors.cheap.stats.in_flight == 0, "the vendor still works for nobody")
        assert (await merit.post(CHAT)).status_code == 200


async def test_a_stuck_client_does_not_hold_others_up(vendors: Vendors) -> None:
    async with gateway(*vendors.resources()) as merit:
        host, port = merit.url.removeprefix("http://").split(":")
        stuck = [socket.create_connection((host, int(port))) for _ in range(20)]
        for connection in stuck:
            connection.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{")
        assert (await merit.post(CHAT)).status_code == 200
        for connection in stuck:
            connection.close()


# ---- refusals


@pytest.mark.parametrize("status", [400, 422])
async def test_the_clients_own_mistake_is_handed_on_as_it_is(vendors: Vendors, status: int) -> None:
    vendors.cheap.behaviour = Behaviour(status=status)
    async with gateway(*vendors.resources()) as merit:
        error = openai.BadRequestError if status == 400 else openai.UnprocessableEntityError
        with pytest.raises(error, match=f"Simulated status {status}") as raised:
            await merit.client().chat.completions.create(model="chat", messages=HELLO)
        assert raised.value.response.headers["x-merit-provider"] == "cheap"
        assert "x-merit-cost" not in raised.value.response.headers
    assert vendors.middle.stats.requests == 0


@pytest.mark.parametrize("kind", ["text/plain; charset=utf-8", "application/problem+json", "t\u00e9xt/pl\u00e0in", ""])
@pytest.mark.parametrize("own", [b"bad", b'{"error": {"message": "bad", "type": "odd"}}'])
async def test_an_odd_content_type_of_an_error_is_no_error_of_ours(own: bytes, kind: str) -> None:
    async with over(says(own, status="400 Bad", kind=kind)) as merit:
        answer = await merit.post(CHAT)
        assert (answer.status_code, answer.json()["error"]["message"]) == (400, "bad")
        as_it_was = answer.content == own
        assert as_it_was is own.startswith(b"{")  # what is no error of OpenAI's is put into one
        odd = as_it_was and kind.isascii() and kind
        assert answer.headers["content-type"] == (kind if odd else "application/json")


BAD_KEYS: list[bytes | None] = [
    None,
    b"",
    b"Bearer",
    b"Bearer ",
    b"Bearer wrong-key",
    CONSUMER_KEY.encode(),
    b"Basic " + CONSUMER_KEY.encode(),
    b"Bearer " + CONSUMER_KEY[:-1].encode(),
    b"Bearer " + CONSUMER_KEY.encode() + b"x",
    b"Bearer " + CONSUMER_KEY.upper().encode(),
    b"Bearer \xff\xfe\x80",
    b"Bearer ' OR 1=1 --",
    b"Bearer " + b"x" * 30_000,
    "Bearer \u2603".encode(),
]


async def raw(merit: Running, line: bytes, headers: bytes) -> tuple[bytes, bytes]:
    """Head and body of the answer to a request that no HTTP library would send."""
    host, port = merit.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(line + b" HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 2\r\n" + headers + b"\r\n{}")
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    await writer.wait_closed()
    return head, body


async def test_without_a_valid_key_nobody_is_let_in(vendors: Vendors) -> None:
    async with gateway(*vendors.resources()) as merit:
        bodies = set()
        for value in BAD_KEYS:
            header = b"" if value is None else b"authorization: " + value + b"\r\n"
            for line in (
                b"POST /v1/chat/completions",
                b"POST /v1/embeddings",
                b"POST /v1/completions",
                b"GET /v1/models",
            ):
                head, body = await raw(merit, line, header)
                assert head.startswith(b"HTTP/1.1 401"), value
                bodies.add(body)
        assert len(bodies) == 1
        with pytest.raises(openai.AuthenticationError, match="Incorrect or missing API key"):
            await merit.client("nobody").chat.completions.create(model="chat", messages=HELLO)
    assert vendors.cheap.stats.requests == 0


async def test_a_second_authorization_header_does_not_count(vendors: Vendors) -> None:
    async with gateway(*vendors.resources()) as merit:
        headers = [("authorization", "Bearer wrong"), ("authorization", f"Bearer {CONSUMER_KEY}")]
        answer = await merit.http.post(f"{merit.url}/v1/chat/completions", json=CHAT, headers=headers)
        assert answer.status_code == 401


async def test_an_unknown_model(vendors: Vendors) -> None:
    async with gateway(*vendors.resources()) as merit:
        with pytest.raises(openai.NotFoundError) as raised:
            await merit.client().chat.completions.create(model="gpt-9", messages=HELLO)
        assert (raised.value.code, raised.value.param) == ("model_not_found", "model")
        long = (await merit.post({**CHAT, "model": "m" * 10_000})).json()["error"]["message"]
        assert len(long) < 400


async def test_what_no_candidate_can_do_is_said(vendors: Vendors) -> None:
    documents = [d for d in vendors.resources(route("cheap")) if "providerRef: {name: cheap}" not in d]
    async with gateway(*documents, prices("cheap", "1", "1", capabilities="Streaming")) as merit:
        with pytest.raises(openai.BadRequestError, match="none has all that it uses \\(Tools\\)"):
            await merit.client().chat.completions.create(
                model="chat", messages=HELLO, tools=[{"type": "function", "function": {"name": "f"}}]
            )


async def test_a_limit_above_what_every_model_may_write(vendors: Vendors) -> None:
    documents = [d for d in vendors.resources(route("cheap")) if "providerRef: {name: cheap}" not in d]
    async with gateway(*documents, prices("cheap", "1", "1", extra="maxOutputTokens: 4096")) as merit:
        with pytest.raises(openai.BadRequestError, match="Set max_tokens to 4096 or less") as raised:
            await merit.client().chat.completions.create(model="chat", messages=HELLO, max_tokens=5000)
        assert (raised.value.code, raised.value.param) == ("no_capable_model", "max_tokens")
        assert vendors.cheap.stats.requests == 0
        assert (await merit.post({**CHAT, "max_tokens": 4096})).status_code == 200


@pytest.mark.parametrize("announced", [True, False])
async def test_a_body_that_is_too_large(vendors: Vendors, announced: bool) -> None:
    body = json.dumps({**CHAT, "x": "y" * 2_000_000}).encode()

    async def pieces() -> Any:
        for start in range(0, len(body), 100_000):
            yield body[start : start + 100_000]

    async with gateway(*vendors.resources()) as merit:
        headers = {"authorization": f"Bearer {CONSUMER_KEY}"}
        content = body if announced else pieces()
        answer = await merit.http.post(f"{merit.url}/v1/chat/completions", content=content, headers=headers)
        assert (answer.status_code, answer.json()["error"]["code"]) == (413, "request_too_large")
    assert vendors.cheap.stats.requests == 0


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "no JSON object"),
        (b"[1]", "Expected `object`"),
        (b'{"model":"chat"}', "Missing required parameter: 'messages'"),
        (b'{"model":"chat","messages":[1],"stream":"x"}', "Invalid type for 'stream'"),
        (b'{"model":"chat","messages":' + b"[" * 200_000, "nested too deeply"),
    ],
)
async def test_a_request_that_makes_no_sense(vendors: Vendors, body: bytes, words: str) -> None:
    async with gateway(*vendors.resources()) as merit:
        headers = {"authorization": f"Bearer {CONSUMER_KEY}"}
        answer = await merit.http.post(f"{merit.url}/v1/chat/completions", content=body, headers=headers)
        assert answer.status_code == 400
        assert answer.json()["error"]["type"] == "invalid_request_error"
        assert words in answer.json()["error"]["message"]


async def test_without_a_snapshot_nothing_is_served_yet() -> None:
    async with gateway() as merit:
        answer = await merit.post(CHAT)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert (await merit.http.get(f"{merit.url}/v1/models")).status_code == 503
        assert (await merit.http.get(f"{merit.admin_url}/readyz")).status_code == 503
        assert (await merit.http.get(f"{merit.admin_url}/livez")).status_code == 200
        with pytest.raises(openai.InternalServerError):
            await merit.client().chat.completions.create(model="chat", messages=HELLO)


@pytest.mark.parametrize(
    "path",
    ["/metrics", "/docs", "/redoc", "/openapi.json", "/v1/snapshot", "/v1/snapshot/version", "/readyz", "/livez", "/",
     "/admin", "/push", "/v1/chat/completions/", "/v1/chat/completionsx"],
)  # fmt: skip
async def test_the_data_port_has_nothing_but_the_api(vendors: Vendors, path: str) -> None:
    async with gateway(*vendors.resources()) as merit:
        for method in ("GET", "PUT", "POST", "DELETE"):
            answer = await merit.http.request(
                method, merit.url + path, headers={"authorization": f"Bearer {CONSUMER_KEY}"}, content=b"{}"
            )
            assert answer.status_code == 404, method
            assert answer.json()["error"]["code"] == "unknown_url"


# ---- what must not grow, what must not leak


async def test_unknown_names_make_no_series(vendors: Vendors) -> None:
    async with gateway(*vendors.resources()) as merit:
        await merit.post({**CHAT, "model": "unknown"})
        await merit.post(CHAT, key="nobody")
        before = len((await merit.metrics()).splitlines())
        async with aiohttp.ClientSession() as session:

            async def post(model: str, key: str) -> None:
                headers = {"authorization": f"Bearer {key}"}
                body = {**CHAT, "model": model}
                async with session.post(f"{merit.url}/v1/chat/completions", json=body, headers=headers):
                    pass

            await asyncio.gather(*(post(f"unknown-{n}", CONSUMER_KEY) for n in range(1000)))
            await asyncio.gather(*(post("chat", f"nobody-{n}") for n in range(50)))
        text = await merit.metrics()
        assert len(text.splitlines()) == before
        assert "unknown-" not in text
        assert re.search(r'merit_requests_total\{code="404",[^}]*\} 1001\.0', text)


async def test_no_key_is_ever_shown(vendors: Vendors, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(0)
    echo = json.dumps({"error": {"message": f"your key {PROVIDER_KEY} is bad", "type": "x"}}).encode()
    shown: list[str] = []
    for script in (says(echo, status="400 Bad"), says(echo, status="401 No"), says(echo, status="500 Oh")):
        async with over(script) as merit:
            for key in (CONSUMER_KEY, "wrong-" + CONSUMER_KEY):
                for stream in (False, True):
                    answer = await merit.post({**CHAT, "stream": stream}, key=key)
                    shown += [answer.text, repr(answer.headers)]
            dump = await merit.http.get(
                f"{merit.admin_url}/v1/snapshot", headers={"authorization": "Bearer push-token-canary-0123456789"}
            )
            assert dump.status_code == 200
            tables = merit.parts.holder.tables
            assert tables is not None
            providers = {t.provider for r in tables.routes.values() for tier in r.tiers for t in tier.targets}
            shown += [
                dump.text, await merit.metrics(), merit.log_text(), repr(tables), repr(providers), repr(merit.compiled),
                repr(merit.parts), repr(list(tables.consumers.values())), repr(tables.routes),
            ]  # fmt: skip
    shown += [record.getMessage() + str(record.exc_text) + repr(record.args) for record in caplog.records]
    for canary in (PROVIDER_KEY, CONSUMER_KEY, "push-token-canary"):
        assert not [text for text in shown if canary in text]
    assert any("your key *** is bad" in text for text in shown)


async def test_a_restarted_vendor_is_called_again_without_a_failed_request() -> None:
    port = free_port()
    documents = [provider("a", f"http://127.0.0.1:{port}/v1"), prices("a", "1", "1"), route("a"), CONSUMER]
    async with gateway(*documents) as merit:
        for _ in range(2):
            async with FakeProvider(name="a", port=port):
                assert (await merit.post(CHAT)).status_code == 200
