"""How a client steers a request, and what a route lets it."""

import json
from typing import Any

import pytest

from merit_dataplane.dispatch.bid import Standing
from merit_dataplane.dispatch.merit_order import explain, merit_order
from merit_dataplane.fake_provider.behaviour import Behaviour
from merit_dataplane.live import Live
from merit_dataplane.snapshots.tables import Builder, RoutePlan
from merit_dataplane.wire.errors import RequestError
from merit_dataplane.wire.openai_request import Call, Operation, parse
from tests.support.gateway import gateway, over, says
from tests.support.resources import CONSUMER, candidate, compiled, prices, provider, route, route_of
from tests.unit.dataplane.conftest import Vendors

NOW, WALL = 1000.0, 1_790_000_000.0
URL = "http://127.0.0.1:9/v1"
CHAT: dict[str, Any] = {"model": "chat", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 10}


def chat(**fields: Any) -> Call:
    return parse(Operation.CHAT, json.dumps({**CHAT, **fields}).encode())


def plan(*documents: str) -> RoutePlan:
    result = compiled(CONSUMER, *documents)
    return Builder(result.version, result.snapshot, result.credentials, Live()).build().routes["default/chat"]


def abc(route_extra: str = "", **price_fields: str) -> RoutePlan:
    """Candidates a, b, c in order of price: 1, 2 and 3 USD per million tokens."""
    documents = [provider(n, URL) for n in "abc"]
    documents += [prices(n, str(usd), str(usd), **price_fields) for usd, n in enumerate("abc", 1)]
    return plan(*documents, route("a", "b", "c", extra=route_extra))


def order(plan: RoutePlan, call: Call) -> str:
    return "".join(bid.target.model[0] for bid in merit_order(plan.tiers[0], call, NOW, WALL))


def reasons(plan: RoutePlan, call: Call) -> dict[str, str]:
    return {b.target.model[0]: b.reason for b in explain(plan.tiers[0], call, NOW, WALL) if b.reason}


# ---- which candidates, and in which order


@pytest.mark.parametrize(
    ("wish", "expected"),
    [
        ({}, "abc"),
        ({"order": ["c", "b"]}, "cba"),
        ({"order": ["C", "default/b", "nobody"]}, "cba"),
        ({"order": ["b"], "allow_fallbacks": False}, "b"),
        ({"only": ["c", "b"]}, "bc"),
        ({"only": ["c", "b"], "order": ["c"]}, "cb"),
        ({"ignore": ["a"]}, "bc"),
        ({"only": ["a", "b"], "ignore": ["a"]}, "b"),
        ({"allow_fallbacks": False}, "a"),
        ({"ignore": ["a"], "allow_fallbacks": False}, "b"),
        ({"sort": "price"}, "abc"),
        ({"sort": {"by": "price", "partition": "model"}}, "abc"),
        ({"require_parameters": True, "data_collection": "allow"}, "abc"),
        ({"max_price": {"prompt": 2}}, "ab"),
        ({"max_price": {"prompt": "1.999999", "completion": 5}}, "a"),
        ({"max_price": {"completion": 1.0}}, "a"),
        ({"max_price": {"request": 0, "image": 0.01}}, "abc"),
        ({"order": ["c"], "max_price": {"prompt": 2}}, "ab"),
        ({"only": ["nobody"]}, ""),
    ],
)  # fmt: skip
def test_provider_wishes(wish: dict[str, Any], expected: str) -> None:
    assert order(abc(), chat(provider=wish)) == expected


def test_every_candidate_that_is_left_out_has_its_reason() -> None:
    wish = {"only": ["a", "b"], "ignore": ["a"], "max_price": {"prompt": 1}}
    assert reasons(abc(), chat(provider=wish)) == {
        "a": "in provider.ignore",
        "b": "input at 2 is above provider.max_price of 1",
        "c": "not in provider.only",
    }
    assert reasons(abc(), chat(provider={"allow_fallbacks": False}))["b"] == "provider.allow_fallbacks is false"


def test_a_price_per_call_and_a_context_tier_count_against_max_price() -> None:
    tier = "contextTiers: [{above: 100, applies: Excess, prices: {input: '9'}}]"
    both = abc(extra=tier, more_prices=', request: "0.01"')
    assert order(both, chat(provider={"max_price": {"request": 0.009}})) == ""
    assert order(both, chat(provider={"max_price": {"prompt": 3}})) == "abc"
    long = [{"role": "user", "content": "word " * 400}]
    assert order(both, chat(messages=long, provider={"max_price": {"prompt": 3}})) == ""
    assert order(both, chat(messages=long, provider={"max_price": {"prompt": 9}})) == "abc"


PICTURE = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
SOUND = {"type": "input_audio", "input_audio": {"data": "aGk=", "format": "wav"}}


def with_part(part: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"role": "user", "content": [part]}]


@pytest.mark.parametrize(
    ("asked", "ceilings", "route_has", "left"),
    [
        # 4 USD per million tokens, 1,000 tokens an image: 0.004 an image
        ({"messages": with_part(PICTURE)}, {"image": "0.004"}, 'imageInput: "4"', True),
        ({"messages": with_part(PICTURE)}, {"image": "0.003999"}, 'imageInput: "3.999999"', False),
        ({"messages": with_part(PICTURE)}, {"audio": 0}, 'audioInput: "0"', True),
        ({"messages": with_part(SOUND)}, {"audio": 9}, 'audioInput: "9"', True),
        ({"messages": with_part(SOUND)}, {"audio": 8.999999}, 'audioInput: "8.999999"', False),
        ({}, {"image": 0, "audio": 0}, 'imageInput: "0", audioInput: "0"', True),
        ({}, {"completion": 3}, 'output: "3"', True),
        ({"modalities": ["text", "audio"]}, {"completion": 19}, 'output: "19"', False),
        ({"modalities": ["text", "image"]}, {"completion": 19}, 'output: "19"', True),
        ({"modalities": ["text", "image", "audio"]}, {"completion": 20}, 'output: "20"', True),
    ],
)
def test_ceilings_of_what_is_no_text_bind_the_requests_that_use_it(
    asked: dict[str, Any], ceilings: dict[str, Any], route_has: str, left: bool
) -> None:
    special = ', imageInput: "4", audioInput: "9", audioOutput: "20", imageOutput: "12"'
    listed = {"more_prices": special, "capabilities": "Images, Audio"}
    expected = "abc" if left else ""
    assert order(abc(**listed), chat(**asked, provider={"max_price": ceilings})) == expected
    assert order(abc(f"maxPrice: {{{route_has}}}", **listed), chat(**asked)) == expected


def test_a_context_tier_of_pictures_counts_against_their_ceiling() -> None:
    tier = "contextTiers: [{above: 1500, applies: Excess, prices: {imageInput: '9'}}]"
    listed = abc(extra=tier, more_prices=', imageInput: "4"', capabilities="Images")
    two = [{"role": "user", "content": [PICTURE, PICTURE]}]
    assert order(listed, chat(messages=with_part(PICTURE), provider={"max_price": {"image": 0.004}})) == "abc"
    assert order(listed, chat(messages=two, provider={"max_price": {"image": 0.004}})) == ""
    assert reasons(listed, chat(messages=two, provider={"max_price": {"image": 0.004}}))["a"] == (
        "imageInput at 9 is above provider.max_price of 4"
    )


def test_the_length_is_that_which_the_model_counts() -> None:
    tier = "contextTiers: [{above: 100, applies: Whole, prices: {input: '9'}}]"
    three = abc('maxPrice: {input: "3"}', extra=tier)
    call = chat(messages=[{"role": "user", "content": "x" * 240}])
    assert call.input_tokens < 100
    assert order(three, call) == "abc"
    for _ in range(500):
        three.tiers[0].targets[0].learned.expected_input.observe(call.input_tokens, call.input_tokens * 2)
    assert "a" not in order(three, call)


def learn(plan: RoutePlan, name: str, *, seconds: float, tokens: int = 100) -> None:
    learned = next(t for t in plan.tiers[0].targets if t.model[0] == name).learned
    for _ in range(30):
        learned.total.observe(seconds, NOW)
        learned.wrote(tokens, seconds, NOW)


def test_sorted_by_what_was_measured_the_unknown_last() -> None:
    three = abc()
    learn(three, "a", seconds=4, tokens=800)
    learn(three, "b", seconds=1, tokens=100)
    assert order(three, chat(provider={"sort": "latency"})) == "bac"
    assert order(three, chat(provider={"sort": "throughput"})) == "abc"
    learn(three, "c", seconds=1, tokens=900)
    assert order(three, chat(provider={"sort": "throughput"})) == "cab"


@pytest.mark.parametrize(
    ("wish", "expected"),
    [
        ({"preferred_max_latency": 2}, "bca"),
        ({"preferred_max_latency": {"p90": 2, "p50": 9}}, "bca"),
        ({"preferred_max_latency": {"p90": 5}}, "abc"),
        ({"preferred_min_throughput": 150}, "acb"),
        ({"preferred_min_throughput": {"p90": 50}}, "abc"),
        ({"preferred_max_latency": 0.5}, "cab"),
        ({"preferred_max_latency": 2, "only": ["a"]}, "a"),
    ],
)
def test_preferences_put_back_and_never_leave_out(wish: dict[str, Any], expected: str) -> None:
    three = abc()
    learn(three, "a", seconds=4, tokens=800)
    learn(three, "b", seconds=1, tokens=100)
    assert order(three, chat(provider=wish)) == expected


def test_objectives_come_before_the_clients_order() -> None:
    who = ", ".join([candidate("a", accuracy="0.9"), candidate("b", accuracy="0.5"), candidate("c", accuracy="0.9")])
    tiers = f'[{{name: all, candidates: [{who}], objectives: {{accuracy: "0.8"}}}}]'
    three = plan(*(provider(n, URL) for n in "abc"), *(prices(n, "1", "1") for n in "abc"), route_of(tiers))
    assert order(three, chat(provider={"order": ["b", "c"]})) == "cab"


# ---- what is refused


@pytest.mark.parametrize(
    ("fields", "param", "words"),
    [
        ({"provider": "openai"}, "provider", "\"openai\": Expected `object | null`, got `str`. Please send an object"),
        ({"provider": {"order": "openai"}}, "provider.order", "send a list of Provider names"),
        ({"provider": {"only": [1]}}, "provider.only[0]", '"openai"'),
        ({"provider": {"order": ["a"] * 65}}, "provider.order", "length <= 64"),
        ({"provider": {"allow_fallbacks": "no"}}, "provider.allow_fallbacks", '"no"'),
        ({"provider": {"sort": "cheap"}}, "provider.sort", 'send "price", "throughput" or "latency"'),
        ({"provider": {"sort": {"by": "price", "partition": "none"}}}, "provider.sort.partition", '"none"'),
        ({"provider": {"max_price": {"prompt": "much"}}}, "provider.max_price.prompt", '"much"'),
        ({"provider": {"max_price": {"prompt": -1}}}, "provider.max_price.prompt", "from 0 to 1000000000"),
        ({"provider": {"max_price": {"image": "NaN"}}}, "provider.max_price.image", "NaN"),
        ({"provider": {"max_price": {"prompt": "1e999999"}}}, "provider.max_price.prompt", "1E+999999"),
        ({"provider": {"max_price": {"promt": 1}}}, "provider.max_price.promt", "unknown field"),
        ({"provider": {"preferred_max_latency": {"p95": 1}}}, "provider.preferred_max_latency.p95", "unknown field"),
        ({"provider": {"preferred_min_throughput": 0}}, "provider.preferred_min_throughput", "a number above 0"),
        ({"provider": {"zdr": True}}, "provider.zdr", "leave it out"),
        ({"provider": {"data_collection": "deny"}}, "provider.data_collection", "leave it out"),
        ({"models": "chat"}, "models", "send a list of at most 16 model names"),
        ({"models": ["chat", None]}, "models[1]", "Expected `str`, got `null`"),
        ({"models": ["m"] * 17}, "models", "at most 16"),
    ],
)  # fmt: skip
def test_what_cant_be_heeded_is_refused_by_field_value_and_fix(fields: dict[str, Any], param: str, words: str) -> None:
    with pytest.raises(RequestError) as raised:
        chat(**fields)
    assert (raised.value.status, raised.value.code, raised.value.param) == (400, "invalid_steering", param)
    assert words in str(raised.value)
    assert len(str(raised.value)) < 500


def test_null_is_no_steering_and_nothing_of_it_goes_to_a_provider() -> None:
    assert chat(models=None, provider=None).steering is None
    assert chat().steering is None
    sent = json.loads(chat(models=["x"], provider={"only": ["a"]}, top_k=3).body_for(chat().fields["model"]))
    assert sent == {**CHAT, "top_k": 3}


@pytest.mark.parametrize("body", [b'{"provider": {"max_price": {"prompt": 1e400}}}', b'{"models": ["\xff"]}'])
def test_json_that_cant_be_read(body: bytes) -> None:
    with pytest.raises(RequestError) as raised:
        parse(Operation.CHAT, b'{"model": "chat", "messages": [{}], ' + body[1:])
    assert raised.value.status == 400


# ---- over HTTP


def two_routes(vendors: Vendors, *, extra: str = "") -> tuple[str, ...]:
    return (*vendors.resources(route("cheap", extra=extra)), route("middle", "dear", model="backup", name="backup"))


@pytest.mark.asyncio(loop_scope="session")
async def test_models_are_tried_in_turn_and_the_first_without_an_error_answers(vendors: Vendors) -> None:
    vendors.cheap.behaviour = Behaviour(status=503)
    async with gateway(*two_routes(vendors)) as merit:
        answer = await merit.post({**CHAT, "models": ["backup"]})
        assert (answer.status_code, answer.headers["x-merit-route"]) == (200, "backup")
        assert answer.headers["x-merit-provider"] == "middle"
        assert answer.headers["x-merit-attempts"] == "2"
        line = json.loads(merit.log_text())
        assert (line["route"], line["failures"][-1]) == ("default/backup", "chat: all_failed")
        assert (await merit.post(CHAT)).status_code == 502
        without = {name: value for name, value in CHAT.items() if name != "model"}
        answer = await merit.post({**without, "models": ["backup", "chat"]})
        assert (answer.status_code, answer.headers["x-merit-route"]) == (200, "backup")


@pytest.mark.asyncio(loop_scope="session")
async def test_a_providers_refusal_and_what_no_candidate_can_do_move_on_too() -> None:
    async with over(
        says(b'{"error": {"message": "filtered"}}', status="400 Bad Request"), says(b'{"choices": []}')
    ) as merit:
        documents = [CONSUMER, route("a"), route("b", model="b", name="b")]
        assert merit.compiled is not None
        urls = [merit.compiled.snapshot.providers[f"default/{n}"].endpoints[0].url for n in "ab"]
        documents += [provider(n, url) for n, url in zip("ab", urls, strict=True)]
        await merit.apply(*documents, prices("a", "1", "1", extra="maxOutputTokens: 20"), prices("b", "2", "2"))
        assert (await merit.post(CHAT)).status_code == 400
        answer = await merit.post({**CHAT, "models": ["b"]})
        assert (answer.status_code, answer.headers["x-merit-provider"]) == (200, "b")
        answer = await merit.post({**CHAT, "max_tokens": 21, "models": ["b"]})
        assert (answer.status_code, answer.headers["x-merit-attempts"]) == (200, "1")
        answer = await merit.post({**CHAT, "models": ["chat"]})
        assert (answer.status_code, answer.json()["error"]["message"]) == (400, "filtered")


@pytest.mark.asyncio(loop_scope="session")
async def test_an_answer_of_another_model_is_not_kept_for_this_one(vendors: Vendors) -> None:
    async with gateway(*two_routes(vendors, extra="cache: {exact: {ttl: 1m}}")) as merit:
        vendors.cheap.behaviour = Behaviour(status=500)
        request = {**CHAT, "models": ["backup"]}
        assert (await merit.post(request)).headers["x-merit-provider"] == "middle"
        vendors.cheap.behaviour = Behaviour()
        assert (await merit.post(request)).headers["x-merit-provider"] == "cheap"
        assert (await merit.post(request)).headers["x-merit-cache"] == "hit"


@pytest.mark.asyncio(loop_scope="session")
async def test_steering_over_http(vendors: Vendors) -> None:
    async with gateway(*vendors.resources()) as merit:
        answer = await merit.post({**CHAT, "provider": {"order": ["dear"]}})
        assert answer.headers["x-merit-provider"] == "dear"
        for suffix in ("floor", "nitro"):
            answer = await merit.post({**CHAT, "model": f"chat:{suffix}"})
            assert (answer.status_code, answer.headers["x-merit-provider"]) == (200, "cheap")
        answer = await merit.post({**CHAT, "model": "chat:other"})
        assert (answer.status_code, answer.json()["error"]["param"]) == (404, "model")
        answer = await merit.post({**CHAT, "models": ["gone"]})
        assert (answer.status_code, answer.json()["error"]["param"]) == (404, "models")
        answer = await merit.post({**CHAT, "provider": {"only": ["cheap"], "max_price": {"prompt": 0.05}}})
        error = answer.json()["error"]
        assert (answer.status_code, error["code"], error["param"]) == (400, "no_candidate_left", "provider")
        assert "default/cheap cheap-model: input at 0.1 is above provider.max_price of 0.05" in error["message"]


@pytest.mark.asyncio(loop_scope="session")
@pytest.mark.parametrize(
    ("fields", "param"),
    [({"provider": {}}, "provider"), ({"models": ["chat"]}, "provider"), ({"model": "chat:floor"}, "model")],
)
async def test_a_route_may_refuse_to_be_steered(vendors: Vendors, fields: dict[str, Any], param: str) -> None:
    async with gateway(*two_routes(vendors, extra="steering: Refused")) as merit:
        error = (answer := await merit.post({**CHAT, **fields})).json()["error"]
        assert (answer.status_code, error["code"], error["param"]) == (400, "steering_refused", param)
        assert (await merit.post(CHAT)).status_code == 200
        answer = await merit.post({**CHAT, "model": "backup", "models": ["chat"]})
        assert answer.json()["error"]["code"] == "steering_refused"


@pytest.mark.asyncio(loop_scope="session")
async def test_required_parameters_leave_out_the_protocol_that_would_drop_them(vendors: Vendors) -> None:
    listed = [prices("claude", "0.01", "0.01"), prices("dear", "2.5", "10")]
    documents = [provider("claude", URL, protocol="Anthropic"), provider("dear", vendors.dear.url), *listed]
    async with gateway(*documents, route("claude", "dear"), CONSUMER) as merit:
        asked = {**CHAT, "seed": 7, "provider": {"require_parameters": True}}
        answer = await merit.post(asked)
        assert (answer.status_code, answer.headers["x-merit-provider"]) == (200, "dear")
        assert answer.headers["x-merit-attempts"] == "1"
        explained = (await merit.post(asked, path="/v1/explain")).json()["meritOrder"]
        assert [(bid["provider"], bid["standing"]) for bid in explained][1] == ("default/claude", "excluded")
        assert "its protocol leaves out seed" in explained[1]["reason"]
        satisfied: list[dict[str, Any]] = [
            {"seed": None},
            {"provider": {"require_parameters": False}},
            {"provider": {}},
        ]
        for changed in satisfied:
            first = (await merit.post({**asked, **changed}, path="/v1/explain")).json()["meritOrder"][0]
            assert first["provider"] == "default/claude"
        only = {"require_parameters": True, "only": ["claude"]}
        error = (await merit.post({**asked, "provider": only})).json()["error"]
        assert error["code"] == "no_candidate_left"
        assert "claude-model: its protocol leaves out seed" in error["message"]


# ---- what a route insists on


def test_who_is_above_the_routes_max_price_is_never_sent_to() -> None:
    assert order(abc('maxPrice: {input: "2"}'), chat()) == "ab"
    assert order(abc('maxPrice: {output: "1.999999"}'), chat(provider={"order": ["c", "b"]})) == "a"
    assert order(abc('maxPrice: {request: "0"}', more_prices=', request: "0.000001"'), chat()) == ""
    bids = explain(abc('maxPrice: {input: "2"}').tiers[0], chat(), NOW, WALL)
    assert (bids[-1].standing, bids[-1].reason) == (Standing.TOO_DEAR, "input at 3 is above the route's maxPrice of 2")


@pytest.mark.asyncio(loop_scope="session")
@pytest.mark.parametrize("who", ["route", "client"])
async def test_no_attempt_crosses_the_ceiling_of_pictures(vendors: Vendors, who: str) -> None:
    pictures = prices("cheap", "0.1", "0.4", more_prices=', imageInput: "4"', capabilities="Images")
    dear = prices("dear", "0.1", "0.4", more_prices=', imageInput: "4.1"', capabilities="Images")
    ceiling = 'maxPrice: {imageInput: "4"}' if who == "route" else ""
    documents = [*vendors.resources(route("cheap", "dear", extra=ceiling))[:3], pictures, dear]
    async with gateway(*documents, route("cheap", "dear", extra=ceiling), CONSUMER) as merit:
        vendors.cheap.behaviour = Behaviour(status=500)
        asked = {**CHAT, "messages": with_part(PICTURE)}
        if who == "client":
            asked["provider"] = {"max_price": {"image": 0.004}}
        assert (await merit.post(asked)).status_code == 502
        assert vendors.cheap.stats.requests > 1  # asked again, since nobody else may be
        assert vendors.dear.stats.requests == 0


@pytest.mark.asyncio(loop_scope="session")
async def test_a_fallback_never_crosses_the_max_price(vendors: Vendors) -> None:
    documents = vendors.resources(route("cheap", "dear", extra='maxPrice: {input: "2"}'))
    async with gateway(*documents) as merit:
        vendors.cheap.behaviour = Behaviour(status=500)
        assert (await merit.post(CHAT)).status_code == 502
        assert vendors.dear.stats.requests == 0
        await merit.apply(*vendors.resources(route("cheap", "dear", extra='maxPrice: {input: "0.05"}')))
        answer = await merit.post(CHAT)
        error = answer.json()["error"]
        assert (answer.status_code, error["code"]) == (503, "max_price_exceeded")
        assert "default/dear dear-model: input at 2.5 is above the route's maxPrice of 0.05" in error["message"]
        assert answer.headers["x-should-retry"] == "false"


def goals(policy: str) -> str:
    who = f"{candidate('cheap', accuracy='0.5')}, {candidate('dear', accuracy='0.7')}"
    return f'[{{name: all, candidates: [{who}], objectives: {{accuracy: "0.8"{policy}}}}}]'


@pytest.mark.asyncio(loop_scope="session")
async def test_when_nobody_meets_the_objectives_the_stated_policy_decides(vendors: Vendors) -> None:
    async with gateway(*vendors.resources(route_of(goals("")))) as merit:
        answer = await merit.post(CHAT)
        assert (answer.status_code, answer.headers["x-merit-provider"]) == (200, "dear")
        assert answer.headers["x-merit-objectives"] == "missed: accuracy 0.7 is below 0.8"
        await merit.apply(*vendors.resources(route_of(goals(", whenMissed: Refuse"))))
        answer = await merit.post(CHAT)
        error = answer.json()["error"]
        assert (answer.status_code, error["code"]) == (503, "objectives_missed")
        assert "default/dear dear-model: accuracy 0.7 is below 0.8" in error["message"]


def test_who_is_unavailable_must_meet_the_objectives_too() -> None:
    who = f"{candidate('a', accuracy='0.9')}, {candidate('b', accuracy='0.5')}"
    tiers = f'[{{name: all, candidates: [{who}], objectives: {{accuracy: "0.8", whenMissed: Refuse}}}}]'
    two = plan(*(provider(n, URL) for n in "ab"), *(prices(n, "1", "1") for n in "ab"), route_of(tiers))
    for target in two.tiers[0].targets:
        target.provider.account.rate_limited(NOW, 5)
    assert order(two, chat()) == "a"
