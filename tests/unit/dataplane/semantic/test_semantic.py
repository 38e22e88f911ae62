"""The semantic layer as clients see it: who gets an answer to a question in other words, and what it costs."""

import asyncio
import json
from typing import Any

import httpx
import pytest

from tests.support.embedder import OTHER_KEY, body, direction, embedder, resources
from tests.support.gateway import Running, eventually, gateway, says, streams
from tests.support.resources import CONSUMER_KEY, candidate, prices, provider, route_of

pytestmark = pytest.mark.asyncio(loop_scope="session")

ASKED, REWORDED, FURTHER = "How do I activate my card?", "Can you activate a card for me?", "activate the card please"
UNLIKE = "Where is the nearest branch?"


def how(answer: httpx.Response) -> str:
    assert answer.status_code == 200, answer.text
    return answer.headers["x-merit-cache"]


def lines(merit: Running) -> list[dict[str, Any]]:
    return [json.loads(line) for line in merit.log_text().splitlines()]


async def told(merit: Running, *asked: str | dict[str, Any], **more: Any) -> list[str]:
    """What the cache did, for one request after the other."""
    bodies = [body(one) if isinstance(one, str) else one for one in asked]
    return [how(await merit.post(one, **more)) for one in bodies]


async def test_a_question_in_other_words_gets_the_answer_and_costs_its_embedding() -> None:
    async with embedder() as at, gateway(*resources(at)) as merit:
        first, second = await merit.post(body(ASKED)), await merit.post(body(REWORDED))
        metrics, logged = await merit.metrics(), lines(merit)
    assert [how(a) for a in (first, second)] == ["miss", "semantic"]
    assert 0.9 <= float(second.headers["x-merit-similarity"]) < 1
    assert "x-merit-similarity" not in first.headers
    assert first.json()["choices"] == second.json()["choices"]
    assert second.headers["x-merit-cost"] == "0"
    for name in ("x-merit-provider", "x-merit-model", "x-merit-route", "x-merit-tier", "content-type"):
        assert first.headers.get_list(name) == second.headers.get_list(name)
    assert len(at.questions) == 1
    assert at.texts == [ASKED, REWORDED]
    assert [(line["route"], line.get("cache", "")) for line in logged] == [
        ("default/embeddings", ""),
        ("default/chat", "miss"),
        ("default/embeddings", ""),
        ("default/chat", "semantic"),
    ]
    assert {line["consumer"] for line in logged} == {"default/tests"}
    assert logged[0]["cost"] == "0.000005"
    assert logged[3]["saved"] == logged[1]["cost"]
    assert logged[3]["similarity"] == float(second.headers["x-merit-similarity"])
    for expected in (
        'merit_cache_requests_total{result="semantic",route="default/chat"} 1.0',
        'merit_cache_requests_total{result="miss",route="default/chat"} 1.0',
        'merit_cache_saved_tokens_total{layer="semantic",route="default/chat",saved="not_sent"} 100.0',
        'merit_semantic_lookups_total{result="alike",route="default/chat"} 1.0',
        'merit_semantic_lookups_total{result="none",route="default/chat"} 1.0',
    ):
        assert expected in metrics


@pytest.mark.parametrize("stream", [(False, True), (True, False), (True, True)])
async def test_streams_and_whole_answers_are_one(stream: tuple[bool, bool]) -> None:
    async with embedder() as at, gateway(*resources(at)) as merit:
        first, second = [
            await merit.post(body(text, stream=streams))
            for text, streams in zip((ASKED, REWORDED), stream, strict=True)
        ]
    assert [how(a) for a in (first, second)] == ["miss", "semantic"]
    assert second.headers["content-type"].startswith("text/event-stream") == stream[1]
    assert "call-1" in second.text


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Can I activate 2 cards?", "Can I activate 3 cards?"),
        ("Can I activate my card?", "Can't I activate my card?"),
        ("Can I activate it for $5?", "Can I activate it for €5?"),
        ("Can I activate it on Monday?", "Can I activate it on Friday?"),
        ("Can I activate it at Barclays?", "Can I activate it at Lloyds?"),
        ("Do I activate USD before EUR?", "Do I activate EUR before USD?"),
    ],
)
async def test_what_matters_has_to_be_in_both(one: str, other: str) -> None:
    async with embedder() as at, gateway(*resources(at)) as merit:
        at.embeds = lambda _: direction("the same")
        assert await told(merit, one, other) == ["miss", "miss"]
        assert await told(merit, other.replace("activate", "really activate")) == ["semantic"], "it isn't all words"


async def test_all_else_has_to_be_equal() -> None:
    system = {"role": "system", "content": "Be brief."}
    changed: list[dict[str, Any]] = [
        body(REWORDED, temperature=0.5),
        body(REWORDED, max_tokens=7),
        {"model": "chat", "messages": [system, {"role": "user", "content": REWORDED}]},
        {"model": "chat", "messages": [{"role": "user", "content": [{"type": "text", "text": REWORDED}]}]},
        body(REWORDED, cache={"namespace": "other"}),
    ]
    async with embedder() as at, gateway(*resources(at)) as merit:
        assert await told(merit, ASKED, *changed) == ["miss"] * 6
        assert await told(merit, REWORDED) == ["semantic"]


@pytest.mark.parametrize(
    "more",
    [
        pytest.param({"tools": [{"type": "function", "function": {"name": "f"}}]}, id="tools"),
        pytest.param({"n": 2}, id="choices"),
        pytest.param({"seed": 1}, id="seed"),
        pytest.param({"models": ["chat"]}, id="steering"),
        pytest.param({"cache": {"ttl": 5}}, id="ttl"),
        pytest.param({"messages": [{"role": "user", "content": "word " * 201}]}, id="long"),
        pytest.param({"messages": [{"role": "user", "content": " "}]}, id="empty"),
        pytest.param(
            {"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]}, id="begun"
        ),
    ],
)
async def test_others_take_no_part(more: dict[str, Any]) -> None:
    async with embedder() as at, gateway(*resources(at)) as merit:
        await merit.post(body(ASKED) | more)
    assert at.texts == []


async def test_nothing_of_it_runs_unless_the_route_asks() -> None:
    async with embedder() as at, gateway(*resources(at, semantic="")) as merit:
        assert await told(merit, ASKED, REWORDED) == ["miss", "miss"]
        assert "merit_semantic" not in await merit.metrics()
    assert at.texts == []


async def test_another_consumers_answer_is_nobodys_but_where_the_route_shares() -> None:
    async with embedder() as at:
        async with gateway(*resources(at)) as merit:
            assert await told(merit, ASKED) == ["miss"]
            assert await told(merit, REWORDED, key=OTHER_KEY) == ["miss"]
        async with gateway(*resources(at, exact="ttl: 60s, scope: Route")) as merit:
            assert await told(merit, ASKED) == ["miss"]
            assert await told(merit, REWORDED, key=OTHER_KEY) == ["semantic"]


async def test_another_tier_is_another_answer() -> None:
    both = f"{{name: hard, when: [{{lastMessage: please}}], candidates: [{candidate('v')}]}}"
    tiers = f"[{both}, {{name: all, candidates: [{candidate('v')}]}}]"
    async with embedder() as at, gateway(*resources(at, tiers=tiers)) as merit:
        assert await told(merit, ASKED, FURTHER, REWORDED) == ["miss", "miss", "semantic"]


async def test_what_a_client_says_of_the_cache_holds() -> None:
    async with embedder() as at, gateway(*resources(at)) as merit:
        assert await told(merit, ASKED, cache_control="no-store") == ["bypass"]
        assert at.texts == []
        assert await told(merit, ASKED) == ["miss"]
        assert await told(merit, REWORDED, cache_control="no-store") == ["bypass"]
        assert await told(merit, REWORDED, cache_control="no-cache") == ["miss"]
        assert await told(merit, FURTHER, cache_control="max-age=0") == ["miss"]
        alone = await merit.post(body("activate my new card"), cache_control="only-if-cached")
        assert alone.status_code == 504
        assert at.texts == [ASKED, FURTHER]


@pytest.mark.parametrize("scope", ["route/default/chat", "consumer/default/tests", "tag/faq"])
async def test_what_was_purged_is_not_found(scope: str) -> None:
    kind, _, name = scope.partition("/")
    async with embedder() as at, gateway(*resources(at)) as merit:
        assert await told(merit, ASKED, x_merit_cache_tags="faq") == ["miss"]
        purged = await merit.http.post(
            f"{merit.admin_url}/cache/purge",
            json={f"{kind}s": [name]},
            headers={"authorization": "Bearer push-token-canary-0123456789"},
        )
        assert purged.status_code == 200, purged.text
        assert await told(merit, REWORDED, FURTHER) == ["miss", "semantic"]


async def test_an_answer_whose_time_is_over_is_none() -> None:
    async with embedder() as at, gateway(*resources(at, exact="ttl: 300ms, staleWhileRevalidate: 1h")) as merit:
        assert await told(merit, ASKED) == ["miss"]
        await asyncio.sleep(0.31)
        assert await told(merit, REWORDED) == ["miss"], "only what is fresh"
        assert await told(merit, ASKED) == ["stale"]
        await eventually(lambda: len(at.questions) == 3 and merit.parts.ledger.in_flight == 0, "it is fetched anew")
        assert len(at.texts) == 3, "what is fetched anew is found again"


async def test_the_same_question_is_a_hit_and_nobody_embeds_it() -> None:
    async with embedder() as at, gateway(*resources(at)) as merit:
        assert await told(merit, ASKED, ASKED) == ["miss", "hit"]
    assert at.texts == [ASKED]


async def test_identical_questions_at_once_are_one_embedding() -> None:
    async with embedder() as at, gateway(*resources(at)) as merit:
        await told(merit, ASKED)
        at.takes = 0.15
        answers = await asyncio.gather(*(merit.post(body(REWORDED, stream=place % 2 == 1)) for place in range(20)))
        assert {how(a) for a in answers} == {"semantic"}
        assert all("call-1" in a.text and "x-merit-similarity" in a.headers for a in answers)
    assert at.texts == [ASKED, REWORDED]


async def test_an_answer_to_another_question_is_not_passed_on() -> None:
    places = {ASKED: (1.0, 0.0), REWORDED: (0.95, 0.31), FURTHER: (0.8, 0.6)}
    async with embedder() as at, gateway(*resources(at)) as merit:
        at.embeds = lambda text: list(places[text])
        assert await told(merit, ASKED, REWORDED, FURTHER) == ["miss", "semantic", "miss"]
        assert await told(merit, REWORDED) == ["semantic"], "nor has it become this question's own"
        assert len(at.questions) == 2


async def test_the_nearest_is_found_and_never_one_below_the_threshold() -> None:
    places = {ASKED: (1.0, 0.0), FURTHER: (0.0, 1.0), REWORDED: (0.3, 1.0), UNLIKE: (0.6, 0.6)}
    async with embedder() as at, gateway(*resources(at)) as merit:
        at.embeds = lambda text: list(places[text])
        assert await told(merit, ASKED, FURTHER) == ["miss", "miss"]
        answer = await merit.post(body(REWORDED))
        assert how(answer) == "semantic"
        assert "call-2" in answer.text
        assert await told(merit, UNLIKE) == ["miss"]


async def test_the_embeddings_routes_own_cache_spares_an_embedding() -> None:
    cached = "cache: {exact: {ttl: 60s}}"
    async with embedder() as at, gateway(*resources(at, embeddings=cached)) as merit:
        assert await told(merit, ASKED, REWORDED, REWORDED) == ["miss", "semantic", "semantic"]
        hits = [line for line in lines(merit) if line["route"] == "default/embeddings" and line["cache"] == "hit"]
    assert at.texts == [ASKED, REWORDED]
    assert len(hits) == 1


async def test_vectors_of_two_models_are_never_compared() -> None:
    async with embedder() as at, embedder() as dear:
        tiers = f"[{{name: all, candidates: [{candidate('e')}, {candidate('f')}]}}]"
        documents = [document for document in resources(at) if "name: embeddings," not in document]
        documents += [provider("f", dear.url), prices("f", "5", "0", capabilities="Embeddings")]
        documents.append(route_of(tiers, model="embeds", name="embeddings"))
        async with gateway(*documents) as merit:
            assert await told(merit, ASKED) == ["miss"]
            at.instead = says(b"{}", status="503 Unavailable")
            assert await told(merit, REWORDED) == ["miss"]
            assert await told(merit, FURTHER) == ["semantic"]
        assert dear.texts == [REWORDED, FURTHER]


GARBAGE = {
    "failure": says(b'{"error": {"message": "no"}}', status="500 Broken"),
    "refusal": says(b'{"error": {"message": "no"}}', status="400 Bad Request"),
    "page": says(b"<html>", kind="text/html"),
    "nothing": says(b'{"data": []}'),
    "two": says(b'{"data": [{"embedding": [1]}, {"embedding": [1]}]}'),
    "words": says(b'{"data": [{"embedding": "AAAA"}]}'),
    "zero": says(b'{"data": [{"embedding": [0.0, 0.0]}]}'),
    "empty": says(b'{"data": [{"embedding": []}]}'),
    "huge": says(b'{"data": [{"embedding": [1e308, 1e308]}]}'),
    "many": says(b'{"data": [{"embedding": [' + b"1," * 9000 + b"1]}]}"),
    "late": streams(b'{"data": ', ends=False),
}


@pytest.mark.parametrize("script", GARBAGE.values(), ids=GARBAGE)
async def test_without_an_embedding_a_request_goes_on(script: Any) -> None:
    quick = 'semantic: {embeddings: embeddings, similarity: "0.9", timeout: 100ms}'
    async with embedder() as at, gateway(*resources(at, semantic=quick)) as merit:
        at.instead = script
        assert await told(merit, ASKED, REWORDED) == ["miss", "miss"]
        assert 'merit_semantic_lookups_total{result="late",route="default/chat"} 2.0' in await merit.metrics()
        at.instead = None
        assert await told(merit, FURTHER, UNLIKE) == ["miss", "miss"]
        assert await told(merit, "activate my new card") == ["semantic"]


async def test_who_is_late_is_a_client_that_hung_up_and_opens_no_circuit() -> None:
    quick = 'semantic: {embeddings: embeddings, similarity: "0.9", timeout: 50ms}'
    async with embedder() as at, gateway(*resources(at, semantic=quick)) as merit:
        at.instead = streams(b"{", ends=False)
        assert await told(merit, ASKED) == ["miss"]
        embeds, chats = lines(merit)
        assert (embeds["route"], embeds["status"]) == ("default/embeddings", 499)
        assert (chats["status"], chats["cache"]) == (200, "miss")
        at.instead = None
        direct = await merit.post({"model": "embeds", "input": "x"}, path="/v1/embeddings")
        assert direct.status_code == 200


async def test_who_is_late_again_and_again_is_left_alone_for_a_while() -> None:
    quick = 'semantic: {embeddings: embeddings, similarity: "0.9", timeout: 50ms}'
    async with embedder() as at, gateway(*resources(at, semantic=quick)) as merit:
        at.instead = streams(b"{", ends=False)
        await told(merit, "one?", "two?", "three?", "what?", "where?")
        assert len(at.texts) == 3
        assert 'merit_semantic_lookups_total{result="resting",route="default/chat"} 2.0' in await merit.metrics()


async def test_an_embedding_takes_of_the_budget_and_is_no_request() -> None:
    limits = ', limits: {requestsPerMinute: 2}, budgets: [{period: Day, amount: "0.01"}]'
    async with embedder() as at, gateway(*resources(at, limits=limits)) as merit:
        assert await told(merit, ASKED, UNLIKE, REWORDED) == ["miss", "miss", "semantic"]
        assert await spent(merit) == pytest.approx(2 * 0.00014 + 3 * 0.000005)


async def test_nobody_embeds_for_who_has_nothing_left() -> None:
    dear = prices("e", "500", "0", capabilities="Embeddings")
    limits = ', budgets: [{period: Day, amount: "0.004"}]'
    async with embedder() as at:
        documents = [d for d in resources(at, limits=limits) if d != prices("e", "0.5", "0", capabilities="Embeddings")]
        async with gateway(*documents, dear) as merit:
            answers = [await merit.post(body(text)) for text in (ASKED, REWORDED)]
            assert [a.status_code for a in answers] == [429, 429]
            assert await spent(merit) == pytest.approx(0.005)
    assert at.texts == [ASKED]


async def spent(merit: Running) -> float:
    (line,) = [line for line in (await merit.metrics()).splitlines() if line.startswith("merit_budget_spent_usd{")]
    return float(line.split()[-1])


async def test_a_score_of_such_an_answer_is_nobodys() -> None:
    async with embedder() as at, gateway(*resources(at)) as merit:
        first, second = await merit.post(body(ASKED)), await merit.post(body(REWORDED))
        scored = [
            (await merit.post({"id": a.headers["x-merit-request-id"], "score": 0}, path="/v1/feedback")).status_code
            for a in (first, second)
        ]
    assert scored[0] == 200
    assert scored[1] >= 400


async def test_a_pod_that_ends_asks_nobody_for_who_still_waits_for_an_embedding() -> None:
    patient = 'semantic: {embeddings: embeddings, similarity: "0.9", timeout: 20s}'
    async with embedder() as at, gateway(*resources(at, semantic=patient)) as merit:
        at.instead = streams(b"{", ends=False)
        waiting = asyncio.create_task(merit.post(body(ASKED)))
        await eventually(lambda: bool(at.texts), "nobody is asked")
        merit.parts.path.drain()
        await merit.parts.path.close()
        await waiting
        assert at.questions == []


@pytest.mark.parametrize("exact", ["ttl: 60s", "ttl: 60s, scope: Route"])
async def test_half_a_character_is_no_question(exact: str) -> None:
    raw = b'{"model": "chat", "messages": [{"role": "user", "content": "How \\ud800 do I?"}]}'
    async with embedder() as at, gateway(*resources(at, exact=exact)) as merit:
        answer = await merit.http.post(
            f"{merit.url}/v1/chat/completions", content=raw, headers={"authorization": f"Bearer {CONSUMER_KEY}"}
        )
        assert answer.status_code in (200, 400), answer.text
    assert at.texts == []
