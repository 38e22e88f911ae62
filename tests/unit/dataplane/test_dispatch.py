"""Tier and merit order of a request. Pure: the clock is an argument."""

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from merit_dataplane.dispatch.bid import Standing
from merit_dataplane.dispatch.merit_order import explain, merit_order
from merit_dataplane.dispatch.refusal import nobody_left
from merit_dataplane.dispatch.tiers import classify
from merit_dataplane.live import Live
from merit_dataplane.snapshots.tables import Builder, Headers, RoutePlan, Target
from merit_dataplane.wire.openai_request import Call, Operation, parse
from tests.support.resources import CONSUMER, candidate, compiled, prices, provider, route, route_of

URL = "http://127.0.0.1:9/v1"
NOW = 1000.0
WALL = 1_790_000_000.0


def chat(text: str = "hi", **fields: Any) -> Call:
    return parse(
        Operation.CHAT,
        json.dumps({"model": "chat", "messages": [{"role": "user", "content": text}], **fields}).encode(),
    )


def plan(*documents: str) -> RoutePlan:
    result = compiled(CONSUMER, *documents)
    tables = Builder(result.version, result.snapshot, result.credentials, Live()).build()
    return tables.routes["default/chat"]


def of(names: dict[str, tuple[str, str]], *, tiers: str = "", **price_fields: str) -> RoutePlan:
    """A route over these providers, with their input and output prices."""
    documents = [provider(name, URL) for name in names]
    documents += [prices(name, *usd, **price_fields) for name, usd in names.items()]
    return plan(*documents, route_of(tiers) if tiers else route(*names))


def order(route_plan: RoutePlan, call: Call, now: float = NOW) -> list[str]:
    return [bid.target.labels[2].split("/")[1] for bid in merit_order(route_plan.tiers[0], call, now, WALL)]


def target(route_plan: RoutePlan, name: str) -> Target:
    return next(t for t in route_plan.tiers[0].targets if t.labels[2] == f"default/{name}")


# ---- tiers


TIERS = """
    - name: long
      when: [{inputTokens: {atLeast: 1000}}]
      candidates: [{provider: {name: a}, model: a-model}]
    - name: middling
      when: [{inputTokens: {atLeast: 100, below: 200}}]
      candidates: [{provider: {name: a}, model: a-model}]
    - name: tools
      when: [{uses: [Tools]}]
      candidates: [{provider: {name: a}, model: a-model}]
    - name: urgent-german
      when: [{headers: [{name: X-Priority, value: high}], lastMessage: "(?i)dringend|sofort"}]
      candidates: [{provider: {name: a}, model: a-model}]
    - name: legal
      when: [{lastMessage: "(?i)lawyer"}, {headers: [{name: X-Topic, value: legal}]}]
      candidates: [{provider: {name: a}, model: a-model}]
    - name: rest
      candidates: [{provider: {name: a}, model: a-model}]
"""


@pytest.fixture(scope="module")
def tiered() -> RoutePlan:
    return of({"a": ("1", "1")}, tiers=TIERS)


@pytest.mark.parametrize(
    ("call", "headers", "tier"),
    [
        (chat(), (), "rest"),
        (chat("x" * 4000), (), "long"),
        (chat("x" * 3960), (), "rest"),
        (chat("x" * 500), (), "middling"),
        (chat("x" * 800), (), "rest"),
        (chat(tools=[{"type": "function"}]), (), "tools"),
        (chat("Sofort!"), ((b"x-priority", b"high"),), "urgent-german"),
        (chat("Sofort!"), (), "rest"),
        (chat("Sofort!"), ((b"x-priority", b"low"),), "rest"),
        (chat("later"), ((b"x-priority", b"high"),), "rest"),
        (chat("my LAWYER says"), (), "legal"),
        (chat(), ((b"x-topic", b"legal"),), "legal"),
        (chat("x" * 4000, tools=[{"type": "function"}]), (), "long"),
    ],
)
def test_the_first_tier_whose_condition_holds_is_taken(
    tiered: RoutePlan, call: Call, headers: Headers, tier: str
) -> None:
    assert classify(tiered, call, headers).name == tier


def test_only_the_last_user_message_is_looked_at(tiered: RoutePlan) -> None:
    messages = [{"role": "user", "content": "lawyer"}, {"role": "user", "content": "bye"}]
    assert classify(tiered, chat(messages=messages), ()).name == "rest"


# ---- order


def test_cheapest_first() -> None:
    assert order(of({"a": ("3", "3"), "b": ("1", "1"), "c": ("2", "2")}), chat()) == ["b", "c", "a"]


@pytest.mark.parametrize(
    ("applies", "estimate", "expected"), [("Whole", 250, ["flat", "long"]), ("Excess", 250, ["long", "flat"])]
)
def test_a_context_tier_counts_before_the_call(applies: str, estimate: int, expected: list[str]) -> None:
    tier = f'contextTiers: [{{above: 200, applies: {applies}, prices: {{input: "9"}}}}]'
    two = plan(
        *(provider(name, URL) for name in ("flat", "long")),
        prices("flat", "4", "0"), prices("long", "1", "0", extra=tier), route("flat", "long"),
    )  # fmt: skip
    short, long = chat("x" * 400), chat("x" * 4 * estimate)
    assert short.input_tokens < 200 < long.input_tokens < 300
    assert order(two, short) == ["long", "flat"]
    assert order(two, long) == expected


def test_the_ratio_of_input_to_output_decides() -> None:
    two = of({"reader": ("0.10", "9"), "writer": ("1", "1")})
    assert order(two, chat("x" * 400_000, max_tokens=10)) == ["reader", "writer"]
    assert order(two, chat("x", max_tokens=200)) == ["writer", "reader"]


def test_a_price_per_call_counts() -> None:
    flat = provider("flat", URL), prices("flat", "0", "0", more_prices=', request: "0.001"')
    metered = provider("metered", URL), prices("metered", "1", "1")
    both = plan(*flat, *metered, route("flat", "metered"))
    assert order(both, chat()) == ["metered", "flat"]
    assert order(both, chat("x" * 40_000)) == ["flat", "metered"]


def test_equal_prices_have_a_fixed_order() -> None:
    names = ["b", "c", "a"]
    for _ in range(3):
        names = names[1:] + names[:1]
        assert order(of(dict.fromkeys(names, ("1", "1"))), chat()) == ["a", "b", "c"]


def test_choices_multiply_the_expected_output() -> None:
    one = of({"a": ("0", "1")}).tiers[0]
    cost = merit_order(one, chat(max_tokens=100), NOW, WALL)[0].cost
    assert merit_order(one, chat(max_tokens=100, n=3), NOW, WALL)[0].cost == 3 * cost


def test_expected_output_is_bounded_by_the_model_and_by_the_request() -> None:
    short = of({"a": ("0", "1")}, extra="maxOutputTokens: 50").tiers[0]
    assert merit_order(short, chat(), NOW, WALL)[0].cost == 50 * 10**6
    assert merit_order(short, chat(max_tokens=20), NOW, WALL)[0].cost == 20 * 10**6
    assert merit_order(of({"a": ("0", "1")}).tiers[0], chat(), NOW, WALL)[0].cost == 256 * 10**6


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"stream": True}, "lacks Streaming"),
        ({"tools": [{"type": "function"}]}, "lacks Tools"),
        ({"tools": [{"type": "function"}], "stream": True}, "lacks Streaming, Tools"),
        ({"text": "x" * 4000}, "context window of 1000 tokens is too small"),
        ({"max_tokens": 995}, "context window of 1000 tokens is too small"),
    ],
)
def test_a_candidate_that_cant_is_left_out_and_explain_says_why(fields: dict[str, Any], reason: str) -> None:
    one = of({"a": ("1", "1")}, capabilities="Logprobs", extra="contextWindow: 1000").tiers[0]
    call = chat(**fields)
    assert merit_order(one, call, NOW, WALL) == []
    assert [(bid.standing, bid.reason) for bid in explain(one, call, NOW, WALL)] == [(Standing.INCAPABLE, reason)]


def test_a_candidate_that_may_not_write_that_much_is_left_out() -> None:
    documents = [provider(n, URL) for n in "ab"]
    documents += [prices("a", "1", "1", extra="maxOutputTokens: 50"), prices("b", "2", "2"), route("a", "b")]
    two = plan(*documents)
    assert order(two, chat(max_tokens=50)) == ["a", "b"]
    assert order(two, chat(max_tokens=51)) == ["b"]
    assert order(two, chat(max_completion_tokens=51)) == ["b"]
    assert order(two, chat()) == ["a", "b"]
    bids = explain(two.tiers[0], chat(max_tokens=51), NOW, WALL)
    assert [(b.target.model, b.standing, b.reason) for b in bids] == [
        ("b-model", Standing.ADMISSIBLE, ""),
        ("a-model", Standing.INCAPABLE, "writes at most 50 tokens, 51 may be asked for"),
    ]


@pytest.mark.parametrize(
    ("fields", "param", "words"),
    [
        ({"max_tokens": 51}, "max_tokens", "max_tokens is 51, and 50 is the most here. Set max_tokens to 50 or less."),
        ({"max_completion_tokens": 9_000, "max_tokens": 1}, "max_completion_tokens", "max_completion_tokens is 9000,"),
        ({"max_completion_tokens": None, "max_tokens": 70}, "max_tokens", "max_tokens is 70, and 50 is the most here"),
        ({"text": "x" * 3840, "max_tokens": 45}, "max_tokens", "and {room} is the most here"),
        ({"text": "x" * 4000}, "messages", "and the largest context window 1000. Send a shorter one."),
        ({"tools": [{"type": "function"}]}, "model", "none has all that it uses (Tools)."),
    ],
)
def test_when_nobody_can_the_field_the_value_and_the_fix_are_named(
    fields: dict[str, Any], param: str, words: str
) -> None:
    limits = "contextWindow: 1000, maxOutputTokens: {}"
    documents = [provider(n, URL) for n in "ab"]
    documents += [
        prices(n, "1", "1", capabilities="Streaming", extra=limits.format(most).replace(", ", "\n      "))
        for n, most in (("a", 50), ("b", 20))
    ]
    tier, call = plan(*documents, route("a", "b")).tiers[0], chat(**fields)
    assert merit_order(tier, call, NOW, WALL) == []
    refusal = nobody_left(tier, call, explain(tier, call, NOW, WALL))
    assert (refusal.status, refusal.code, refusal.param) == (400, "no_capable_model", param)
    assert words.format(room=1000 - call.input_tokens) in str(refusal)


def test_when_nobody_can_the_input_is_counted_as_the_model_counts_it() -> None:
    tier = of({"a": ("1", "1")}, extra="contextWindow: 1000").tiers[0]
    call = chat("x" * 3000)
    assert merit_order(tier, call, NOW, WALL)
    for _ in range(200):
        tier.targets[0].learned.expected_input.observe(call.input_tokens, call.input_tokens * 2)
    assert merit_order(tier, call, NOW, WALL) == []
    refusal = nobody_left(tier, call, explain(tier, call, NOW, WALL))
    assert refusal.param == "messages"
    assert "tokens, and the largest context window 1000. Send a shorter one." in str(refusal)


def test_a_cooling_account_comes_last_and_recovers() -> None:
    two = of({"a": ("1", "1"), "b": ("2", "2")})
    target(two, "a").provider.account.rate_limited(NOW, 5)
    assert order(two, chat()) == ["b", "a"]
    assert "rate limited for 5.0 s more" in [bid.reason for bid in explain(two.tiers[0], chat(), NOW, WALL)]
    assert order(two, chat(), NOW + 5) == ["a", "b"]


def test_an_open_circuit_comes_last_unless_another_endpoint_is_well() -> None:
    two = plan(
        provider("a", URL, URL + "/2"),
        prices("a", "1", "1"),
        provider("b", URL),
        prices("b", "2", "2"),
        route("a", "b"),
    )
    first, second = target(two, "a").endpoints
    for _ in range(5):
        first.circuit.failed(NOW)
    assert order(two, chat()) == ["a", "b"]
    for _ in range(5):
        second.circuit.failed(NOW)
    assert order(two, chat()) == ["b", "a"]
    reasons = [bid.reason for bid in explain(two.tiers[0], chat(), NOW, WALL)]
    assert any(reason.startswith("circuit open for") for reason in reasons)


GOALS = """[{{name: all, candidates: [{}], objectives: {{{}}}}}]"""


def test_who_misses_the_accuracy_floor_comes_after_all_who_meet_it() -> None:
    who = ", ".join([candidate("a", accuracy="0.5"), candidate("b", accuracy="0.9"), candidate("c")])
    three = of({"a": ("1", "1"), "b": ("9", "9"), "c": ("1", "1")}, tiers=GOALS.format(who, 'accuracy: "0.8"'))
    assert order(three, chat()) == ["b", "a", "c"]
    reasons = {bid.target.labels[2]: bid.reason for bid in explain(three.tiers[0], chat(), NOW, WALL)}
    assert reasons["default/a"] == "accuracy 0.5 is below 0.8"
    assert reasons["default/b"] == ""


def test_when_none_is_accurate_enough_the_most_accurate_is_first() -> None:
    who = ", ".join([candidate("a", accuracy="0.5"), candidate("b", accuracy="0.7"), candidate("c", accuracy="0.6")])
    three = of({"a": ("1", "1"), "b": ("9", "9"), "c": ("5", "5")}, tiers=GOALS.format(who, 'accuracy: "0.8"'))
    assert order(three, chat()) == ["b", "c", "a"]


def test_a_slow_candidate_comes_later_once_enough_is_known() -> None:
    who = f"{candidate('a')}, {candidate('b')}"
    ceiling = "latency: {percentile: P90, total: 1s, firstToken: 300ms}"
    two = of({"a": ("1", "1"), "b": ("2", "2")}, tiers=GOALS.format(who, ceiling))
    for _ in range(19):
        target(two, "a").learned.total.observe(2.0, NOW)
    assert order(two, chat()) == ["a", "b"]
    target(two, "a").learned.total.observe(2.0, NOW)
    assert order(two, chat(), NOW + 2) == ["b", "a"]
    assert "p90 latency" in " ".join(bid.reason for bid in explain(two.tiers[0], chat(), NOW + 2, WALL))
    # five minutes without traffic: what was known last counts until exploration knows better
    assert order(two, chat(), NOW + 300) == ["b", "a"]
    for _ in range(20):
        target(two, "a").learned.total.observe(0.5, NOW + 600)
    assert order(two, chat(), NOW + 602) == ["a", "b"]


@pytest.mark.parametrize(("goals", "extra"), [("", 'exploration: {share: "0"}'), (", whenMissed: Refuse", "")])
def test_without_exploration_an_old_latency_is_forgotten(goals: str, extra: str) -> None:
    who = f"{candidate('a')}, {candidate('b')}"
    documents = [provider(n, URL) for n in "ab"] + [prices("a", "1", "1"), prices("b", "2", "2")]
    two = plan(*documents, route_of(GOALS.format(who, "latency: {total: 1s}" + goals), extra=extra))
    for _ in range(20):
        target(two, "a").learned.total.observe(2.0, NOW)
    assert order(two, chat(), NOW + 2)[0] == "b"
    assert order(two, chat(), NOW + 300) == ["a", "b"]


def test_time_to_first_token_binds_streams_only() -> None:
    two = of(
        {"a": ("1", "1"), "b": ("2", "2")},
        tiers=GOALS.format(f"{candidate('a')}, {candidate('b')}", "latency: {firstToken: 300ms}"),
    )
    for _ in range(50):
        target(two, "a").learned.first_token.observe(0.9, NOW)
    assert order(two, chat()) == ["a", "b"]
    assert order(two, chat(stream=True)) == ["b", "a"]


def test_explain_lists_everyone_in_the_order_of_the_classes() -> None:
    who = ", ".join([candidate("a"), candidate("b", accuracy="0.9"), candidate("c", accuracy="0.9"), candidate("d")])
    documents = [provider(n, URL) for n in "abcd"] + [prices(n, "1", "1") for n in "abc"]
    four = plan(*documents, prices("d", "0", "0", capabilities="Tools"), route_of(GOALS.format(who, 'accuracy: "0.8"')))
    target(four, "c").provider.account.rate_limited(NOW, 5)
    bids = explain(four.tiers[0], chat(stream=True), NOW, WALL)
    assert [(b.target.labels[2][-1], b.standing) for b in bids] == [
        ("b", Standing.ADMISSIBLE),
        ("a", Standing.MISSES_OBJECTIVE),
        ("c", Standing.UNAVAILABLE),
        ("d", Standing.INCAPABLE),
    ]
    assert [bool(b.reason) for b in bids] == [False, True, True, True]


price = st.decimals(min_value=0, max_value=1000, places=6).map(lambda d: f"{d.normalize():f}")


@given(
    prices_of=st.lists(st.tuples(price, price), min_size=1, max_size=6),
    text=st.integers(0, 5000),
    limit=st.integers(1, 5000),
    data=st.data(),
)
def test_the_order_is_that_of_the_exact_cost_whatever_the_order_of_the_input(
    prices_of: list[tuple[str, str]], text: int, limit: int, data: st.DataObject
) -> None:
    names = {f"p{i}": pair for i, pair in enumerate(prices_of)}
    call = chat("x" * text, max_tokens=limit)
    output = min(limit, 256)

    def exact(name: str) -> Decimal:
        input_usd, output_usd = (Decimal(usd) for usd in names[name])
        return (call.input_tokens * input_usd + output * output_usd) / 1_000_000

    expected = sorted(names, key=lambda name: (exact(name), name))
    shuffled = data.draw(st.permutations(list(names)))
    route_plan = of({name: names[name] for name in shuffled})
    assert order(route_plan, call) == expected
    bids = merit_order(route_plan.tiers[0], call, NOW, WALL)
    assert [Decimal(bid.cost) / 10**12 for bid in bids] == [exact(name) for name in expected]


@pytest.mark.parametrize(
    "text", ["Счёт пришёл дважды. ", "الفاتورة مكررة. ", "बिल दो बार आया। ", "请求被重复计费了。", "plain words, "]
)
def test_escaped_letters_count_as_the_letters_that_they_are(text: str) -> None:
    def estimated(*, escaped: bool) -> int:
        body = {"model": "chat", "messages": [{"role": "user", "content": text * 200}]}
        return parse(Operation.CHAT, json.dumps(body, ensure_ascii=escaped).encode()).input_tokens

    assert estimated(escaped=True) == pytest.approx(estimated(escaped=False), rel=0.05)
