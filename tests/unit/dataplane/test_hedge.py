"""Hedges in virtual time: when a second attempt begins, who wins, what is paid, and what forbids one.

The whole request path runs, from a request's bytes to its line in the usage log; behind the port of the HTTP client
stand simulated vendors, whose bills are the oracle.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from merit_crds.usage_line import UsageLine
from merit_dataplane.caching.exact import ExactStore
from merit_dataplane.limits.decisions import Decisions
from merit_dataplane.limits.fleet import Fleet
from merit_dataplane.live import Live
from merit_dataplane.observability.ledger import Ledger
from merit_dataplane.observability.usage_log import StreamSink, UsageLog
from merit_dataplane.overload.bodies import Bodies
from merit_dataplane.overload.turns import Turns
from merit_dataplane.request_path import RequestPath
from merit_dataplane.snapshots.holder import SnapshotHolder
from merit_dataplane.snapshots.tables import Target
from merit_dataplane.stages.admission import Admission
from merit_dataplane.stages.places import Places
from merit_dataplane.stages.responses import Responses
from merit_dataplane.stems.library import Library
from merit_dataplane.wire.openai_request import Operation
from tests.support.resources import CONSUMER, CONSUMER_KEY, candidate, compiled, consumer, prices, provider, route_of
from tests.support.simulated_vendors import SimulatedVendors, Turn
from tests.support.virtual_time import in_virtual_time

ASKED = b"Hello, how are you?"
INPUT = 13
"""Tokens of the request below, as Merit estimates them and the vendors count."""
HEDGING = "hedging: {}"
USUAL = 1.0
"""Seconds: p95 of candidate `a`, about (buckets are 15 % apart)."""


class Lines(UsageLog):
    """Lines are kept as they are."""

    def __init__(self) -> None:
        super().__init__(StreamSink(None))  # type: ignore[arg-type] # nothing is ever written
        self.lines: list[UsageLine] = []

    def write(self, line: UsageLine) -> None:
        self.lines.append(line)


@dataclass
class Answer:
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    seconds: float = 0.0
    """Until the first byte of the body."""


@dataclass
class World:
    """A gateway and its vendors."""

    vendors: SimulatedVendors
    path: RequestPath
    ledger: Ledger
    log: Lines
    targets: dict[str, Target]

    def know(self, name: str, seconds: float = USUAL, *, times: int = 40) -> None:
        """Candidate `name` usually took so long."""
        now = asyncio.get_running_loop().time()
        for _ in range(times):
            self.targets[name].learned.total.observe(seconds, now)
            self.targets[name].learned.first_token.observe(seconds, now)

    async def ask(
        self, *, stream: bool = False, leaves_after: float = 0.0, operation: Operation = Operation.CHAT, **fields: Any
    ) -> Answer:
        body: dict[str, Any] = {"model": "chat", "messages": [{"role": "user", "content": ASKED.decode()}], **fields}
        if operation is not Operation.CHAT:
            body = {"model": "chat", **fields}
        if stream:
            body |= {"stream": True, "stream_options": {"include_usage": True}}
        loop = asyncio.get_running_loop()
        answer, started, sent = Answer(), loop.time(), False

        async def receive() -> dict[str, Any]:
            nonlocal sent
            if not sent:
                sent = True
                return {"type": "http.request", "body": json.dumps(body).encode()}
            if leaves_after:
                await asyncio.sleep(leaves_after)
                return {"type": "http.disconnect"}
            await loop.create_future()
            raise AssertionError("never")

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                answer.status = message["status"]
                answer.headers = {name.decode(): value.decode() for name, value in message["headers"]}
                answer.seconds = loop.time() - started
            else:
                answer.body += message.get("body", b"")

        scope = {"headers": [(b"authorization", f"Bearer {CONSUMER_KEY}".encode())]}
        await self.path.serve(scope, receive, send, operation)
        return answer

    @property
    def hedges(self) -> dict[str, int]:
        return {str(outcome): count for (_, outcome), count in self.ledger.hedges.items()}


def hedged(
    work: Callable[[World], Awaitable[None]],
    /,
    *,
    extra: str = HEDGING,
    who: str = CONSUMER,
    tier: str = "",
    provider_extra: str = "",
    price_extra: str = "",
    price_of_b: str = "1.5",
    commitment: str = "",
    capabilities: str = "Streaming, Tools, Embeddings, ImageGeneration",
    **turns: list[Turn],
) -> None:
    """Runs `work` in virtual time in front of the vendors named; `a` is the cheapest, `b` costs half as much again."""

    async def run() -> None:
        ledger, holder = Ledger(), SnapshotHolder(Live())
        vendors = SimulatedVendors(turns, INPUT)
        names = [name for name in turns if len(name) == 1]
        priced = {"a": "1", "b": price_of_b, "c": "3"}
        documents = [who]
        for name in names:
            urls = [f"http://{host}/v1" for host in turns if host[0] == name]
            documents += [
                provider(name, *urls, extra=provider_extra),
                prices(name, priced[name], priced[name], capabilities=capabilities, extra=price_extra),
            ]
        tiers = f"[{{name: all, candidates: [{', '.join(candidate(n) for n in names)}]{tier}}}]"
        documents = [document.replace("  models:\n", f"{commitment}  models:\n") for document in documents]
        made = compiled(*documents, route_of(tiers, extra=extra))
        await holder.apply(made.version, made.snapshot, made.credentials)
        decisions, log = Decisions(Fleet(), ledger, None), Lines()
        path = RequestPath(
            holder=holder,
            client=vendors,
            ledger=ledger,
            log=log,
            cache=ExactStore(1),
            max_body_bytes=10_000,
            admission=Admission(decisions, ledger),
            responses=Responses(),
            stems=Library(1 << 20, None),
            places=Places(decisions),
            turns=Turns(ledger),
            bodies=Bodies(1 << 20, ledger),
        )
        assert holder.tables is not None
        targets = {t.provider.key[-1]: t for t in holder.tables.routes["default/chat"].tiers[0].targets}
        world = World(vendors, path, ledger, log, targets)
        await work(world)
        decisions.close()
        assert vendors.open == 0, "a vendor is still at work"
        assert ledger.in_flight == 0
        for target in targets.values():
            account = target.provider.account
            assert account.in_flight == 0
            assert account.usage is None or account.usage.in_flight == 0
            assert all(commitment.pending == 0 for commitment in target.commitments)

    in_virtual_time(run())


def balance(world: World) -> None:
    """To the token: what was booked, lost attempts included, is what the vendors have on their bills."""
    booked: dict[str, list[int]] = {}
    for line in world.log.lines:
        parts = [(lost.model, lost.input_tokens, lost.output_tokens) for lost in line.lost]
        if line.cost:
            parts.append((line.model, line.input_tokens, line.output_tokens))
        for model, put_in, out in parts:
            sums = booked.setdefault(model, [0, 0])
            sums[0] += put_in
            sums[1] += out
    billed: dict[str, list[int]] = {}
    for bill in world.vendors.served:
        sums = billed.setdefault(bill.model, [0, 0])
        sums[0] += bill.input
        sums[1] += bill.output
    assert booked == billed
    priced = {"a-model": Decimal(1), "b-model": Decimal("1.5"), "c-model": Decimal(3)}
    cost = sum((Decimal(line.cost or 0) + Decimal(line.lost_cost or 0) for line in world.log.lines), Decimal(0))
    assert cost == sum(priced[m] * sum(tokens) / 10**6 for m, tokens in billed.items())
    counted = {m: [0, 0] for m in booked}
    for labels, series in world.ledger.series.items():
        if labels[3] in counted:
            counted[labels[3]][0] += series.uncached_input_tokens
            counted[labels[3]][1] += series.output_tokens
    assert counted == booked


def slow(seconds: float = 30.0, fault: str = "") -> Turn:
    return Turn(seconds, fault)


# ---- the race


@pytest.mark.parametrize("stream", [False, True])
def test_the_second_begins_after_the_usual_time_and_wins(stream: bool) -> None:
    async def work(world: World) -> None:
        world.know("a")
        answer = await world.ask(stream=stream)
        assert (answer.status, answer.headers["x-merit-provider"]) == (200, "b")
        assert (answer.headers["x-merit-attempts"], answer.headers["x-merit-hedge"]) == ("2", "won")
        (_, first), (began, second) = world.vendors.asked
        assert (first, second) == ("a", "b")
        assert USUAL <= began - world.vendors.asked[0][0] <= USUAL * 1.16
        assert answer.seconds == pytest.approx(began - world.vendors.asked[0][0] + 0.1)
        (line,) = world.log.lines
        assert (line.hedge, line.failures) == ("won", ["default/a/e0: outpaced"])
        assert [(lost.provider, lost.outcome, lost.estimated) for lost in line.lost] == [
            ("default/a", "outpaced", True)
        ]
        lost = world.vendors.served[0]
        assert (lost.model, lost.output, lost.cut_off) == ("a-model", 0, True)
        assert world.hedges == {"won": 1}
        balance(world)

    hedged(work, a=[slow()], b=[Turn()])


@pytest.mark.parametrize("stream", [False, True])
def test_the_first_may_still_win_and_the_second_is_cut_off(stream: bool) -> None:
    async def work(world: World) -> None:
        world.know("a")
        answer = await world.ask(stream=stream)
        assert answer.headers["x-merit-provider"] == "a"
        assert answer.headers["x-merit-hedge"] == "lost"
        assert world.vendors.served[1].cut_off
        assert world.log.lines[0].failures == ["default/b/e0: outpaced"]
        balance(world)

    hedged(work, a=[Turn(1.3)], b=[slow()])


def test_an_answer_in_the_usual_time_is_not_hedged() -> None:
    async def work(world: World) -> None:
        world.know("a")
        answer = await world.ask()
        assert "x-merit-hedge" not in answer.headers
        assert (answer.headers["x-merit-attempts"], world.hedges) == ("1", {})

    hedged(work, a=[Turn(0.9)], b=[Turn()])


def test_what_the_client_is_told_it_cost_has_the_lost_attempt_in_it() -> None:
    """Of a whole answer, and of streams, one of which comes at once with all that it has."""

    async def work(world: World) -> None:
        world.know("a")
        for fields, between in (({}, 0.05), ({"stream": True}, 0.05), ({"stream": True}, 0.0)):
            world.vendors.turns["b"] = [Turn(0.1, between=between)]
            answer = await world.ask(**fields, usage={"include": True})  # type: ignore[arg-type]
            line = world.log.lines[-1]
            paid = Decimal(line.cost) + Decimal(line.lost_cost)
            if fields:
                told = next(
                    json.loads(piece[6:])["usage"]["cost"]
                    for piece in answer.body.decode().split("\n\n")
                    if '"cost"' in piece
                )
            else:
                told = json.loads(answer.body)["usage"]["cost"]
                assert Decimal(answer.headers["x-merit-cost"]) == paid
            assert Decimal(str(told)) == paid == Decimal(INPUT + (INPUT + 8) * 1.5) / 10**6
        balance(world)

    hedged(work, extra='hedging: {maxSharePercent: "100"}', a=[slow()], b=[Turn()])


def test_when_the_second_fails_the_first_is_waited_for() -> None:
    async def work(world: World) -> None:
        world.know("a")
        answer = await world.ask()
        assert (answer.status, answer.headers["x-merit-provider"]) == (200, "a")
        assert answer.headers["x-merit-hedge"] == "lost"
        assert world.log.lines[0].failures == ["default/b/e0: status_503"]
        balance(world)

    hedged(work, a=[Turn(3.0)], b=[Turn(0.1, "503")])


def test_when_the_first_fails_the_second_is_waited_for() -> None:
    async def work(world: World) -> None:
        world.know("a")
        answer = await world.ask()
        assert (answer.headers["x-merit-provider"], answer.headers["x-merit-hedge"]) == ("b", "won")
        assert world.log.lines[0].failures == ["default/a/e0: status_503"]
        balance(world)

    hedged(work, a=[Turn(1.5, "503")], b=[Turn(3.0)])


def test_when_both_fail_the_way_goes_on() -> None:
    async def work(world: World) -> None:
        world.know("a")
        answer = await world.ask()
        assert (answer.headers["x-merit-provider"], answer.headers["x-merit-attempts"]) == ("c", "3")
        assert (world.log.lines[0].hedge, world.hedges) == ("failed", {"failed": 1})
        balance(world)

    hedged(work, a=[Turn(2, "503")], b=[Turn(2, "503")], c=[Turn()])


def test_two_that_are_to_be_asked_once_more_are_both() -> None:
    async def work(world: World) -> None:
        world.know("a")
        answer = await world.ask()
        assert answer.status == 200
        assert answer.headers["x-merit-provider"] == "a"
        balance(world)

    hedged(work, a=[Turn(2, "500"), Turn()], b=[Turn(2, "500"), Turn(0.1, "503")])


def test_the_clients_own_mistake_is_told_by_the_first_at_once_by_the_second_only_if_nobody_answers() -> None:
    async def work(world: World) -> None:
        world.know("a")
        answer = await world.ask()
        assert (answer.status, answer.headers["x-merit-provider"]) == (200, "a")
        answer = await world.ask()
        assert (answer.status, answer.headers["x-merit-provider"]) == (400, "a")
        answer = await world.ask()
        assert (answer.status, answer.headers["x-merit-provider"]) == (400, "b")
        balance(world)

    refuses = Turn(0.1, "400")
    hedged(
        work,
        extra='hedging: {maxSharePercent: "100"}',
        a=[Turn(2), Turn(1.5, "400"), Turn(1.5, "503"), Turn(0)],
        b=[refuses, slow(), refuses],
    )


def test_a_client_that_leaves_ends_both() -> None:
    async def work(world: World) -> None:
        world.know("a")
        await world.ask(leaves_after=5)
        (line,) = world.log.lines
        assert (line.status, line.attempts) == (499, 2)
        assert [bill.cut_off for bill in world.vendors.served] == [True, True]
        assert world.targets["a"].endpoints[0].circuit.open_until == 0

    hedged(work, a=[slow()], b=[slow()])


def test_both_end_when_the_requests_time_is_up() -> None:
    async def work(world: World) -> None:
        world.know("a")
        answer = await world.ask()
        assert answer.status == 504
        assert answer.seconds == pytest.approx(5)
        assert world.log.lines[0].failures == ["default/a/e0: total_timeout", "default/b/e0: total_timeout"]
        balance(world)

    hedged(work, extra="timeouts: {total: 5s}\n  hedging: {}", a=[slow()], b=[slow()])


def test_another_region_of_the_same_candidate_is_the_next_in_the_order() -> None:
    async def work(world: World) -> None:
        world.know("a")
        answer = await world.ask()
        assert (answer.headers["x-merit-provider"], world.vendors.asked[1][1]) == ("a", "a2")
        assert world.log.lines[0].endpoint == "e1"
        balance(world)

    hedged(work, a=[slow()], a2=[Turn()], b=[Turn()])


def test_being_slower_is_no_failure_however_often() -> None:
    async def work(world: World) -> None:
        world.know("a")
        for _ in range(12):
            await world.ask()
            await asyncio.sleep(30)
        circuit = world.targets["a"].endpoints[0].circuit
        assert circuit.open_until == 0
        assert world.hedges == {"won": 12}

    hedged(work, extra='hedging: {maxSharePercent: "100"}', a=[slow()], b=[Turn()])


DEAL = """  commitments:
    - name: deal
      starts: "2026-01-01T00:00:00Z"
      period: {calendar: Month, timeZone: UTC}
      volume: {tokens: 1000000000}
      fee: {amount: "8000"}
      overage: {percentOff: "0"}
"""


@pytest.mark.parametrize(("a", "b"), [
    (Turn(30), Turn()), (Turn(1.3), Turn(30)), (Turn(2, "503"), Turn(3)), (Turn(3), Turn(0.1, "503")),
    (Turn(1.5, between=0.0), Turn(0.5, between=0.0)), (Turn(30), Turn(between=0.0)), (Turn(2, "503"), Turn(2, "503")),
])  # fmt: skip
@pytest.mark.parametrize("stream", [False, True])
def test_commitments_are_drawn_from_by_what_was_served(a: Turn, b: Turn, stream: bool) -> None:
    async def work(world: World) -> None:
        world.know("a")
        await world.ask(stream=stream)
        drawn = {f"{name}-model": target.commitments[0].drawn / 10**6 for name, target in world.targets.items()}
        billed = dict.fromkeys(drawn, 0)
        for bill in world.vendors.served:
            billed[bill.model] += bill.input + bill.output
        assert drawn == billed
        assert world.hedges

    hedged(work, extra="hedging: {}\n  retry: {attempts: 2}", commitment=DEAL, a=[a], b=[b])


# ---- what is usual


def test_without_enough_requests_nothing_is_usual() -> None:
    async def work(world: World) -> None:
        world.know("a", times=19)
        answer = await world.ask()
        assert (answer.headers["x-merit-provider"], answer.headers["x-merit-attempts"]) == ("a", "1")
        assert world.hedges == {}

    hedged(work, a=[Turn(9)], b=[Turn()])


def test_what_was_usual_stays_known_through_a_quiet_hour() -> None:
    async def work(world: World) -> None:
        world.know("a")
        await asyncio.sleep(3600)
        assert (await world.ask()).headers["x-merit-hedge"] == "won"

    hedged(work, a=[slow()], b=[Turn()])


def test_the_usual_time_does_not_shrink_since_slow_ones_are_cut_off() -> None:
    """4 % of the answers take 10 s; they are given up after the p95, time after time."""

    async def work(world: World) -> None:
        learned = world.targets["a"].learned.total
        for _ in range(700):
            await world.ask()
        p95 = learned.quantile(95, asyncio.get_running_loop().time())
        assert p95 is not None
        assert 0.9 < p95 < 1.4, "neither the time of quick ones, nor that of slow ones"

    pattern = [*(Turn(0.3 + 0.03 * (i * 7 % 24)) for i in range(24)), Turn(10)] * 30
    hedged(work, a=pattern, b=[Turn(0.05)])


def test_a_hedge_that_wins_says_nothing_of_what_is_usual_for_its_candidate() -> None:
    async def work(world: World) -> None:
        world.know("a")
        await world.ask()
        assert world.targets["b"].learned.total.observed_at == 0
        assert world.targets["a"].learned.total.observed_at > 1000

    hedged(work, a=[slow()], b=[Turn()])


# ---- what forbids one


def refused(why: str, **world: Any) -> None:
    fields = world.pop("fields", {})
    know_b = world.pop("know_b", 0.0)

    async def work(made: World) -> None:
        made.know("a")
        if know_b:
            made.know("b", know_b)
        answer = await made.ask(**fields)
        assert answer.headers["x-merit-provider"] == "a"
        assert "x-merit-hedge" not in answer.headers
        assert made.hedges == ({why: 1} if why else {})
        assert [host for _, host in made.vendors.asked] == ["a"]

    hedged(work, **{"a": [Turn(4)], "b": [Turn()], **world})


def test_a_second_candidate_that_is_too_dear() -> None:
    refused("too_dear", price_of_b="2.01")
    refused("too_dear", extra='hedging: {maxExtraCostPercent: "149"}')


def test_nobody_else() -> None:
    async def work(world: World) -> None:
        world.know("a")
        assert (await world.ask()).headers["x-merit-attempts"] == "1"
        assert world.hedges == {"no_candidate": 1}

    hedged(work, a=[Turn(4)])


def test_a_second_candidate_above_the_routes_price_ceiling() -> None:
    refused("no_candidate", extra='maxPrice: {input: "1.4"}\n  hedging: {}')


def test_a_second_candidate_that_misses_an_objective() -> None:
    async def work(world: World) -> None:
        world.know("a")
        world.know("b", 100)
        await world.ask()
        assert world.hedges == {"no_candidate": 1}

    hedged(work, tier=", objectives: {latency: {total: 50s}}", a=[Turn(4)], b=[Turn()])


def test_too_little_time_is_left() -> None:
    refused("no_time", extra="timeouts: {total: 6s}\n  hedging: {}", know_b=10.0)


def test_a_provider_at_its_own_limit() -> None:
    async def work(world: World) -> None:
        world.know("a")
        usage = world.targets["b"].provider.account.usage
        assert usage is not None
        taken = usage.enter(0, 0, asyncio.get_running_loop().time(), 0.0)
        assert (await world.ask()).headers["x-merit-provider"] == "a"
        assert sum(world.hedges.values()) == 1
        assert world.hedges.keys() <= {"own_limit", "no_candidate"}
        taken.refused(asyncio.get_running_loop().time())

    hedged(work, provider_extra="limits: {concurrentRequests: 1}", a=[Turn(4)], b=[Turn()])


def test_places_at_providers_are_taken_and_given_back() -> None:
    async def work(world: World) -> None:
        world.know("a")
        for _ in range(5):
            await world.ask()
        assert world.hedges == {"won": 5}
        balance(world)

    limits = "limits: {concurrentRequests: 1, requestsPerMinute: 5}"
    hedged(work, extra='hedging: {maxSharePercent: "100"}', provider_extra=limits, a=[slow()], b=[Turn()])


def test_a_consumers_budget_has_no_room() -> None:
    poor = consumer("tests", CONSUMER_KEY, extra=', budgets: [{period: Day, amount: "0.0004"}]')
    rich = consumer("tests", CONSUMER_KEY, extra=', budgets: [{period: Day, amount: "0.1"}]')
    keys = CONSUMER.split("---")[2]
    refused("consumer_limit", who=f"{poor}---{keys}")

    async def work(world: World) -> None:
        world.know("a")
        assert (await world.ask()).headers["x-merit-hedge"] == "won"
        assert world.ledger.in_flight == 0
        balance(world)

    hedged(work, who=f"{rich}---{keys}", a=[slow()], b=[Turn()])


def test_a_consumers_tokens_have_no_room() -> None:
    poor = consumer("tests", CONSUMER_KEY, extra=", limits: {tokensPerMinute: 400}")
    refused("consumer_limit", who=f"{poor}---{CONSUMER.split('---')[2]}")


def test_attempts_are_used_up() -> None:
    async def work(world: World) -> None:
        world.know("b")
        answer = await world.ask()
        assert (answer.headers["x-merit-provider"], answer.headers["x-merit-attempts"]) == ("b", "2")

    hedged(work, extra="retry: {attempts: 2}\n  hedging: {}", a=[Turn(0, "503")], b=[Turn(9)], c=[Turn()])


@pytest.mark.parametrize(("extra", "why"), [
    ('hedging: {maxSharePercent: "5"}', "share"),
    ('retry: {budgetPercent: "0"}\n  hedging: {maxSharePercent: "100"}', "retry_budget"),
])  # fmt: skip
def test_hedges_are_a_share_of_the_requests_and_of_the_retries(extra: str, why: str) -> None:
    async def work(world: World) -> None:
        world.know("a")
        await asyncio.gather(*(world.ask() for _ in range(100)))
        most = 1 + 5 if why == "share" else 10
        assert world.hedges == {"won": most, why: 100 - most}
        balance(world)

    hedged(work, extra=extra, a=[Turn(4)], b=[Turn()])


def test_a_picture_is_paid_for_whole_so_it_is_asked_for_once() -> None:
    refused("", fields={"operation": Operation.IMAGES, "prompt": "a cat"})


def test_who_asks_at_the_tariff_for_those_who_can_wait_waits() -> None:
    refused("", fields={"service_tier": "flex"}, price_extra='serviceTiers: [{name: flex, percentOff: "0"}]')


def test_embeddings_are_hedged() -> None:
    async def work(world: World) -> None:
        world.know("a")
        answer = await world.ask(operation=Operation.EMBEDDINGS, input="x")
        assert answer.headers["x-merit-hedge"] == "won"

    hedged(work, a=[slow()], b=[Turn()])


def test_a_probe_is_not_hedged() -> None:
    async def work(world: World) -> None:
        circuit = world.targets["a"].endpoints[0].circuit
        world.know("a")
        for _ in range(5):
            circuit.failed(asyncio.get_running_loop().time())
        await asyncio.sleep(6)
        answer = await world.ask()
        assert (answer.headers["x-merit-provider"], circuit.open_until) == ("a", 0)
        assert "x-merit-hedge" not in answer.headers

    hedged(work, a=[Turn(2.5)], b=[Turn()])


def test_without_hedging_nothing_is_hedged() -> None:
    async def work(world: World) -> None:
        world.know("a")
        answer = await world.ask()
        assert (answer.headers["x-merit-attempts"], world.hedges) == ("1", {})

    hedged(work, extra="", a=[Turn(9)], b=[Turn()])


# ---- late whole answers, on every route


def late(work: Callable[[World], Awaitable[None]], **world: Any) -> None:
    """Without hedging; nobody knows how long `a` takes. `firstToken` is 10 s, 256 tokens are expected: 12.56 s."""
    hedged(work, **{"extra": "", **world})


LATE = 10 + 256 * 0.01


@pytest.mark.parametrize("fault", ["", "hang"])
def test_a_whole_answer_of_an_unknown_model_that_is_late_gets_a_second(fault: str) -> None:
    async def work(world: World) -> None:
        answer = await world.ask()
        assert (answer.status, answer.headers["x-merit-provider"], answer.headers["x-merit-hedge"]) == (200, "b", "won")
        assert answer.seconds == pytest.approx(LATE + 0.1, abs=0.01)
        (line,) = world.log.lines
        assert line.failures == ["default/a/e0: outpaced"]
        assert world.vendors.served[0].cut_off
        assert world.targets["a"].endpoints[0].circuit.open_until == 0
        balance(world)

    late(work, a=[Turn(50, fault)], b=[Turn()])


def test_one_that_is_slow_and_comes_is_never_cut_off_for_a_slower_one() -> None:
    async def work(world: World) -> None:
        answer = await world.ask()
        assert (answer.headers["x-merit-provider"], answer.headers["x-merit-hedge"]) == ("a", "lost")
        assert answer.seconds == pytest.approx(20)
        assert world.log.lines[0].failures == ["default/b/e0: outpaced"]
        balance(world)

    late(work, a=[Turn(20)], b=[Turn(30)])


def test_what_usually_takes_long_is_not_late() -> None:
    async def work(world: World) -> None:
        world.know("a", 6.0)
        answer = await world.ask()
        assert answer.headers["x-merit-attempts"] == "1"
        assert answer.seconds == pytest.approx(20)
        world.know("a", 1.0, times=4000)
        await asyncio.sleep(5)
        assert (await world.ask()).seconds == pytest.approx(10.1, abs=0.01)

    late(work, a=[Turn(20), Turn(50)], b=[Turn()])


def test_when_the_first_fails_after_that_the_second_is_waited_for() -> None:
    async def work(world: World) -> None:
        answer = await world.ask()
        assert (answer.headers["x-merit-provider"], answer.headers["x-merit-hedge"]) == ("b", "won")
        assert answer.seconds == pytest.approx(LATE + 9, abs=0.01)
        assert world.log.lines[0].failures == ["default/a/e0: status_503"]
        balance(world)

    late(work, a=[Turn(15, "503")], b=[Turn(9)])


def test_when_the_second_fails_the_first_is_waited_for_and_when_both_do_the_way_goes_on() -> None:
    async def work(world: World) -> None:
        assert (await world.ask()).headers["x-merit-provider"] == "a"
        answer = await world.ask()
        assert (answer.headers["x-merit-provider"], world.log.lines[-1].hedge) == ("c", "failed")
        balance(world)

    late(work, a=[Turn(20), Turn(20, "503")], b=[Turn(1, "503"), Turn(10, "503")], c=[Turn()], price_of_b="1.5")


def test_both_answer_in_the_same_moment() -> None:
    async def work(world: World) -> None:
        for seconds in (LATE + 1, LATE + 1 + 1e-9, LATE + 1 - 1e-9):
            world.vendors.turns["a"] = [Turn(seconds)]
            assert (await world.ask()).status == 200
            await asyncio.sleep(30)
        balance(world)
        assert sum(world.hedges.values()) == 3

    late(work, a=[Turn()], b=[Turn(1.0)])


@pytest.mark.parametrize("leaves", [LATE - 1, LATE + 2])
def test_a_client_that_leaves_a_late_answer_ends_all(leaves: float) -> None:
    async def work(world: World) -> None:
        await world.ask(leaves_after=leaves)
        assert world.log.lines[0].status == 499
        assert all(bill.cut_off for bill in world.vendors.served)

    late(work, a=[slow()], b=[slow()])


def test_the_requests_time_ends_both_of_a_late_answer() -> None:
    async def work(world: World) -> None:
        answer = await world.ask()
        assert answer.status == 504
        assert answer.seconds == pytest.approx(14, abs=0.01)
        balance(world)

    late(work, extra="timeouts: {total: 14s}", a=[slow()], b=[slow()])


def test_a_late_answer_is_no_reason_for_a_surprise() -> None:
    """Too dear, no attempt left, a picture, a tariff for who can wait, above the route's ceiling."""
    cases: list[tuple[dict[str, Any], dict[str, Any]]] = [
        ({"price_of_b": "2.01"}, {}),
        ({"extra": "retry: {attempts: 1}"}, {}),
        ({}, {"operation": Operation.IMAGES, "prompt": "a cat"}),
        ({"price_extra": 'serviceTiers: [{name: flex, percentOff: "0"}]'}, {"service_tier": "flex"}),
        ({"extra": 'maxPrice: {input: "1.4"}'}, {}),
    ]
    for world, fields in cases:

        async def work(made: World, fields: dict[str, Any] = fields) -> None:
            answer = await made.ask(**fields)
            assert (answer.headers["x-merit-provider"], answer.headers["x-merit-attempts"]) == ("a", "1")

        late(work, **{"a": [Turn(25)], "b": [Turn()], **world})


# ---- anything at all

turns = st.builds(
    Turn,
    seconds=st.sampled_from([0.0, 0.5, 1.1, 1.5, 2.0, 4.0, 6.0]),
    fault=st.sampled_from(["", "", "", "500", "503", "429", "400", "reset", "hang"]),
    tokens=st.integers(1, 4),
    between=st.sampled_from([0.0, 0.2]),
)


@settings(max_examples=80, deadline=None)
@given(
    st.booleans(),
    st.lists(turns, min_size=1, max_size=6),
    st.lists(turns, min_size=1, max_size=6),
    st.lists(st.tuples(st.booleans(), st.sampled_from([0.0, 0.6, 2.5])), min_size=1, max_size=5),
)
def test_accounts_balance_whatever_happens(
    hedges: bool, a: list[Turn], b: list[Turn], asked: list[tuple[bool, float]]
) -> None:
    """With hedging after the usual time, and without, when only late answers are hedged: `firstToken` is 1 s."""

    async def work(world: World) -> None:
        if hedges:
            world.know("a")
            world.know("b")
        answers = await asyncio.gather(*(_later(world, stream, pause) for stream, pause in asked))
        assert all(answer.status for answer in answers)
        balance(world)

    first = 8 if hedges else 1
    extra = f"timeouts: {{firstByte: 8s, firstToken: {first}s, idle: 3s, total: 60s}}"
    if hedges:
        extra += '\n  hedging: {maxSharePercent: "100"}'
    hedged(work, extra=extra, a=[*a, Turn()], b=[*b, Turn()])


async def _later(world: World, stream: bool, pause: float) -> Answer:
    await asyncio.sleep(pause)
    return await world.ask(stream=stream)
