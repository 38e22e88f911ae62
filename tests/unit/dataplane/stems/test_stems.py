"""Stems through a whole gateway: learned from answers, given to a model, joined to what it writes, and given up."""

import contextlib
import json
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import httpx
import pytest

from tests.support.desk import Desk, desk
from tests.support.gateway import Running, eventually, gateway
from tests.support.resources import CONSUMER, consumer, prices, provider, route

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.slow]

PIN = "How do I change my PIN?"
ANSWERS = {
    "pin": "To change your PIN, open the app, choose Cards and tap Change PIN. It works at once.",
    "card": "Your new card will arrive within a week. You can follow it in the app under Cards.",
}
OTHER = "Sorry, that is something that only our staff can help you with."
STEM = ANSWERS["pin"].rsplit(" ", 1)[0]
STEMS = 'stems: {threshold: "0.5"}'
OTHER_KEY = "another-consumer-key-0002"
TAKES, PLAIN = "Streaming, AssistantPrefix, Tools, JsonSchema, JsonObject, Logprobs", "Streaming"


def says(question: str) -> str:
    found = next((answer for word, answer in ANSWERS.items() if word in question.lower()), OTHER)
    return OTHER if "not" in question or "7" in question else found


@contextlib.asynccontextmanager
async def merit_at(
    *desks: Desk, takes: tuple[str, ...] = (TAKES,), cache: str = STEMS, extra: str = ""
) -> AsyncIterator[Running]:
    """Candidates `a`, `b`, … in order of price."""
    documents = [CONSUMER, consumer("other", OTHER_KEY)]
    names = "abc"[: len(desks)]
    for place, (name, at, capabilities) in enumerate(zip(names, desks, takes, strict=True), 1):
        documents.append(provider(name, at.url, extra=extra))
        documents.append(prices(name, str(place), str(10 * place), capabilities=capabilities))
    async with gateway(*documents, route(*names, extra=f"cache: {{{cache}}}")) as merit:
        merit.parts.path.stems.chance = lambda: 0.99  # nobody is held out
        yield merit


def body(text: str = PIN, **more: Any) -> dict[str, Any]:
    return {"model": "chat", "messages": [{"role": "user", "content": text}]} | more


def text(answer: httpx.Response) -> str:
    if not answer.text.startswith("data:"):
        return str(answer.json()["choices"][0]["message"]["content"])
    return "".join(
        choice["delta"].get("content") or "" for event in events(answer) for choice in event.get("choices", ())
    )


def events(answer: httpx.Response) -> list[dict[str, Any]]:
    return [json.loads(piece[6:]) for piece in answer.text.split("\n\n") if piece.startswith("data: {")]


def how(answer: httpx.Response) -> str:
    return str(answer.headers.get("x-merit-cache", ""))


async def taught(merit: Running, question: str = PIN, *, times: int = 9, **more: Any) -> None:
    """One that is only remembered, three that begin alike, and as many that agree as open the gate."""
    for _ in range(times):
        assert (await merit.post(body(question, **more))).status_code == 200


async def line(merit: Running) -> dict[str, Any]:
    await eventually(lambda: merit.parts.ledger.in_flight == 0, "still in flight")
    found: dict[str, Any] = json.loads(merit.log_text().splitlines()[-1])
    return found


async def test_a_question_that_comes_again_is_answered_by_stem() -> None:
    async with desk(says) as vendor, merit_at(vendor) as merit:
        first = await merit.post(body())
        assert how(first) == ""
        await taught(merit, times=8)
        answer = await merit.post(body("hello, how do i change my pin"))
        assert how(answer) == "stem"
        assert text(answer) == ANSWERS["pin"]
        assert vendor.last["messages"][1:] == [{"role": "assistant", "content": STEM}]
        told = answer.json()
        assert told["usage"]["completion_tokens"] == 1  # what the provider wrote, and charges for
        tokens = told["merit"]["stem"]["tokens"]
        assert 14 <= tokens <= 18
        booked = await line(merit)
        assert (booked["cache"], booked["stem_tokens"], booked["output_tokens"]) == ("stem", tokens, 1)
        price = Decimal(booked["cost"])
        assert Decimal(str(told["usage"]["cost"])) == price
        assert Decimal(booked["saved"]) == tokens * (Decimal(10) - Decimal(1)) / 10**6
        metrics = await merit.metrics()
        assert (
            f'merit_cache_saved_tokens_total{{layer="stems",route="default/chat",saved="not_generated"}} {tokens}.0'
            in metrics
        )
        assert f'merit_stem_tokens_sent_total{{route="default/chat"}} {tokens}.0' in metrics
        assert 'merit_stem_requests_total{result="used",route="default/chat"}' in metrics
        assert 'merit_stems{route="default/chat",state="open"} 1.0' in metrics
        assert 'merit_stem_agreement{route="default/chat"} 0.' in metrics


async def test_a_stream_begins_with_the_stem_and_is_one_answer() -> None:
    async with desk(says) as vendor, merit_at(vendor) as merit:
        await taught(merit, stream=True)
        answer = await merit.post(body(stream=True, stream_options={"include_usage": True}))
        assert how(answer) == "stem"
        assert text(answer) == ANSWERS["pin"]
        first, *others = [event for event in events(answer) if event["choices"]]
        assert first["choices"][0]["delta"] == {"role": "assistant", "content": STEM}
        assert first["merit"]["stem"]["tokens"] > 10
        assert not any("role" in event["choices"][0]["delta"] for event in others)
        assert len({event["id"] for event in events(answer)}) == 1
        assert events(answer)[-1]["usage"]["completion_tokens"] == 1
        assert answer.text.endswith("data: [DONE]\n\n")
        # and one that isn't streamed may have it too
        assert how(await merit.post(body())) == "stem"


@pytest.mark.parametrize(
    "question",
    [
        "How do I change my PIN 7?",
        "How do I not change my PIN?",
        "How do I change my PIN tomorrow?",
        "How do I change Bob's PIN?",
        "How do I change my PIN for 5 dollars?",
        "How do I change my phone?",
        "How do I change my PIN please today",
    ],
)
async def test_another_question_gets_none(question: str) -> None:
    async with desk(says) as vendor, merit_at(vendor) as merit:
        await taught(merit)
        assert how(await merit.post(body())) == "stem"
        answer = await merit.post(body(question))
        assert how(answer) == ""
        assert vendor.last["messages"] == body(question)["messages"]
        assert text(answer) == says(question)


@pytest.mark.parametrize(
    "more",
    [
        {"seed": 1},
        {"n": 2},
        {"stop": ["."]},
        {"logprobs": True},
        {"tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]},
        {"response_format": {"type": "json_object"}},
        {"presence_penalty": 0.5},
        {"reasoning_effort": "low"},
        {"temperature": 0.3},
        {"max_tokens": 5},
        {"field_of_tomorrow": True},
        {"messages": [{"role": "system", "content": "Rhyme."}, {"role": "user", "content": PIN}]},
        {"messages": [{"role": "user", "content": PIN}, {"role": "assistant", "content": "To"}]},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": PIN}]}]},
        {"cache": {"no-store": True}},
        {"cache": {"no-cache": True}},
        {"cache": {"ttl": 60}},
        {"cache": {"s-maxage": 60}},
        {"cache": {"namespace": "x"}},
    ],
    ids=str,
)
async def test_a_request_that_asks_for_more_than_words_gets_none(more: dict[str, Any]) -> None:
    async with desk(says) as vendor, merit_at(vendor) as merit:
        await taught(merit)
        assert how(await merit.post(body())) == "stem"
        answer = await merit.post(body() | more)
        assert answer.status_code == 200
        assert how(answer) == ""
        assert vendor.last["messages"] == (body() | more)["messages"]


@pytest.mark.parametrize(
    ("style", "more"), [("PrefixField", {"prefix": True}), ("ContinueFinalMessage", {}), ("LastMessage", {})]
)
async def test_the_beginning_is_said_as_the_provider_wants_it(style: str, more: dict[str, Any]) -> None:
    async with desk(says) as vendor, merit_at(vendor, extra=f"assistantPrefix: {style}") as merit:
        await taught(merit)
        answer = await merit.post(body(max_tokens=60))
        assert (how(answer), text(answer)) == ("stem", ANSWERS["pin"])
        assert vendor.last["messages"][-1] == {"role": "assistant", "content": STEM} | more
        assert vendor.last.get("continue_final_message", False) is (style == "ContinueFinalMessage")
        assert 1 < vendor.last["max_tokens"] < 60


async def test_a_vendor_may_repeat_a_beginning_that_is_a_field() -> None:
    async with desk(says, goes_on=False) as vendor, merit_at(vendor, extra="assistantPrefix: PrefixField") as merit:
        await taught(merit)
        for _ in range(2):
            answer = await merit.post(body())
            assert (how(answer), text(answer)) == ("stem", ANSWERS["pin"])


async def test_clients_of_other_protocols_are_answered_as_ever() -> None:
    async with desk(says) as vendor, merit_at(vendor) as merit:
        await taught(merit)
        asked = {"model": "chat", "max_tokens": 100, "messages": [{"role": "user", "content": PIN}]}
        answer = await merit.post(asked, path="/v1/messages", anthropic_version="2023-06-01")
        assert answer.json()["content"][0]["text"] == ANSWERS["pin"]
        assert [message["role"] for message in vendor.last["messages"]] == ["user"]


async def test_stems_are_a_consumers_own_unless_the_route_shares_them() -> None:
    for scope, expected in (("Consumer", ""), ("Route", "stem")):
        async with desk(says) as vendor, merit_at(vendor, cache=f"{STEMS[:-1]}, scope: {scope}}}") as merit:
            await taught(merit)
            assert how(await merit.post(body(), key=OTHER_KEY)) == expected


async def test_the_held_out_share_is_answered_without_and_closes_the_gate() -> None:
    answers = dict(ANSWERS)
    async with desk(lambda question: answers["pin"]) as vendor, merit_at(vendor) as merit:
        await taught(merit)
        assert how(await merit.post(body())) == "stem"
        merit.parts.path.stems.chance = lambda: 0.0  # everybody is held out
        assert how(await merit.post(body())) == ""
        answers["pin"] = "Since this week a PIN is changed by our staff alone: call us, please."
        for _ in range(30):
            assert text(await merit.post(body())) == answers["pin"]
        merit.parts.path.stems.chance = lambda: 0.99
        answer = await merit.post(body())
        assert text(answer) == answers["pin"]
        assert 'merit_stem_requests_total{result="held_out",route="default/chat"}' in await merit.metrics()


async def test_low_scores_close_the_gate() -> None:
    async with desk(says) as vendor, merit_at(vendor) as merit:
        await taught(merit)
        for _ in range(6):
            answer = await merit.post(body())
            if how(answer) != "stem":
                break
            given = {"id": answer.headers["x-merit-request-id"], "score": 0}
            assert (await merit.post(given, path="/v1/feedback")).status_code == 200
        assert how(answer) == ""
        await taught(merit, times=4)
        assert how(await merit.post(body())) == ""  # it has to be learned anew, and longer


async def test_scores_of_other_answers_say_nothing_of_it() -> None:
    async with desk(says) as vendor, merit_at(vendor) as merit:
        plain = await merit.post(body())
        await taught(merit)
        for _ in range(5):
            given = {"id": plain.headers["x-merit-request-id"], "score": 0}
            assert (await merit.post(given, path="/v1/feedback")).status_code == 200
        assert how(await merit.post(body())) == "stem"


async def test_who_takes_no_beginning_is_sent_none_and_nothing_is_spent() -> None:
    async with desk(says) as vendor, merit_at(vendor, takes=(PLAIN,)) as merit:
        await taught(merit)
        answer = await merit.post(body())
        assert (how(answer), text(answer)) == ("", ANSWERS["pin"])
        assert vendor.last["messages"] == body()["messages"]
        assert 'merit_stem_requests_total{result="unused",route="default/chat"}' in await merit.metrics()


async def test_a_dearer_model_that_writes_only_the_rest_comes_first() -> None:
    async with desk(says) as cheap, desk(says) as dear, merit_at(cheap, dear, takes=(PLAIN, TAKES)) as merit:
        await taught(merit)
        assert len(dear.asked) == 0
        answer = await merit.post(body(max_tokens=20))
        assert answer.headers["x-merit-provider"] == "b"
        assert (how(answer), text(answer)) == ("stem", ANSWERS["pin"])


@pytest.mark.parametrize("stream", [False, True])
async def test_failover_is_unseen(stream: bool) -> None:
    async with desk(says) as first, desk(says) as second, merit_at(first, second, takes=(TAKES, PLAIN)) as merit:
        await taught(merit, stream=stream)
        assert how(await merit.post(body(stream=stream))) == "stem"
        first.fails = 9
        answer = await merit.post(body(stream=stream))
        assert (how(answer), text(answer)) == ("", ANSWERS["pin"])
        assert second.last["messages"] == body()["messages"]


@pytest.mark.parametrize("stream", [False, True])
async def test_a_model_that_refuses_a_beginning_is_asked_for_all(stream: bool) -> None:
    async with desk(says, refuses=True) as vendor, merit_at(vendor) as merit:
        await taught(merit, stream=stream)
        answer = await merit.post(body(stream=stream))
        assert (answer.status_code, how(answer), text(answer)) == (200, "", ANSWERS["pin"])
        assert [len(asked["messages"]) for asked in vendor.asked[-2:]] == [2, 1]
        assert (await line(merit))["failures"] == ["default/a/e0: stem_refused"]
        before = len(vendor.asked)
        await merit.post(body(stream=stream))
        assert len(vendor.asked) == before + 1  # it is not tried again soon
        assert 'merit_stem_requests_total{result="refused",route="default/chat"} 1.0' in await merit.metrics()


@pytest.mark.parametrize("stream", [False, True])
async def test_a_model_that_says_all_of_it_once_more_saves_nothing(stream: bool) -> None:
    async with desk(says, goes_on=False) as vendor, merit_at(vendor) as merit:
        await taught(merit, stream=stream)
        answer = await merit.post(body(stream=stream))
        assert text(answer) == ANSWERS["pin"]
        assert 'merit_stem_requests_total{result="repeated",route="default/chat"} 1.0' in await merit.metrics()
        assert "not_generated" not in await merit.metrics()
        assert "stem_tokens" not in await line(merit)
        await merit.post(body(stream=stream))
        assert len(vendor.last["messages"]) == 1  # it is not tried again soon


async def test_a_stream_by_stem_that_breaks_off_goes_on_elsewhere() -> None:
    async with desk(says) as first, desk(says) as second, merit_at(first, second, takes=(TAKES, TAKES)) as merit:
        await taught(merit)
        first.breaks_after = 1
        ANSWERS["pin"] += " Ask us if it does not."
        try:
            answer = await merit.post(body(stream=True))
        finally:
            ANSWERS["pin"] = ANSWERS["pin"].removesuffix(" Ask us if it does not.")
        assert text(answer) == ANSWERS["pin"] + " Ask us if it does not."
        assert second.last["messages"][-1]["content"].startswith(STEM)
        assert how(answer) == "stem"


async def test_it_is_off_by_default() -> None:
    async with desk(says) as vendor, merit_at(vendor, cache="") as merit:
        await taught(merit)
        assert how(await merit.post(body())) == ""
        assert len(merit.parts.path.stems.library) == 0


async def test_a_purge_ends_stems() -> None:
    async with desk(says) as vendor, merit_at(vendor) as merit:
        await taught(merit)
        assert how(await merit.post(body())) == "stem"
        answer = await merit.http.post(
            f"{merit.admin_url}/cache/purge", json={"routes": ["default/chat"]},
            headers={"authorization": "Bearer push-token-canary-0123456789"},
        )  # fmt: skip
        assert answer.status_code == 200, answer.text
        assert how(await merit.post(body())) == ""


async def test_with_the_exact_cache_in_front_only_misses_are_served_by_stem() -> None:
    async with desk(says) as vendor, merit_at(vendor, cache=f"exact: {{ttl: 60s}}, {STEMS}") as merit:
        await taught(merit, cache={"no-cache": True})
        assert how(await merit.post(body())) == "hit"
        answer = await merit.post(body("how do i change my pin"))
        assert (how(answer), text(answer)) == ("stem", ANSWERS["pin"])
        assert how(await merit.post(body("how do i change my pin"))) == "hit"


async def test_a_whole_answer_is_served_to_a_question_that_is_equal_as_the_route_says() -> None:
    async with desk(says) as vendor:
        async with merit_at(vendor, cache="exact: {ttl: 60s, equalUnder: [Case, Punctuation, Greetings]}") as merit:
            await merit.post(body())
            answer = await merit.post(body("hi! how do I change my pin"))
            assert (how(answer), text(answer)) == ("hit", ANSWERS["pin"])
            for other in ("How do I  change my PIN?", "How do I change my PIN 7?", "How do I not change my PIN?"):
                answer = await merit.post(body(other))
                assert (how(answer), text(answer)) == ("miss", says(other))
            metrics = await merit.metrics()
            for saved, tokens in (("not_sent", 6), ("not_generated", 17)):
                labels = f'{{layer="exact",route="default/chat",saved="{saved}"}}'
                assert f"merit_cache_saved_tokens_total{labels} {tokens}.0" in metrics
        async with merit_at(vendor, cache="exact: {ttl: 60s}") as merit:
            await merit.post(body())
            assert how(await merit.post(body("how do I change my PIN?"))) == "miss"
