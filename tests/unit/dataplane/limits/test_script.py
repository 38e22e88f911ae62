"""The script in a real Redis, against the plainest model: lost, doubled and late reports change nothing in the end."""

import random
import time

import pytest

from merit_crds.snapshot import Budget
from merit_dataplane.limits.account import Grant, Limit, Limits, Refusal, UsageAccount
from merit_dataplane.limits.fleet import ADMIT, Fleet
from merit_dataplane.shared_state import Script, SharedState
from tests.support.gateway import eventually
from tests.support.redis_servers import needs_redis, redis_server, shared_state

pytestmark = needs_redis
USD = 10**12
ALL = 0xFF


class Pod:
    """One process with one consumer's account."""

    def __init__(self, state: SharedState, limits: Limits):
        self.state, self.fleet, self.account = state, Fleet(), UsageAccount("shop/web", limits)
        self.key = state.key("limits", "shop/web")

    async def admit(self, tokens: int = 0, cost: int = 0, checked: int = ALL) -> tuple[Grant, Refusal | None]:
        grant = self.account.enter(tokens, cost, time.monotonic(), time.time())
        asked = self.fleet.asked(self.account)
        arguments = self.fleet.arguments(self.account, grant, checked)
        reply = await self.state.run(ADMIT, [self.key], arguments, budget=self.state.budget())
        refusal = self.fleet.understood(reply, grant, asked, time.time())
        if refusal is not None:
            grant.refused(time.monotonic())
        return grant, refusal

    def settle(self, grant: Grant, cost: int, tokens: int = 0) -> None:
        grant.settle(tokens, cost, time.monotonic(), time.time())

    def told(self) -> list[str | int]:
        return self.fleet.arguments(self.account, None, 0)

    async def tell(self, arguments: list[str | int]) -> list[int]:
        reply: list[int] = await self.state.run(ADMIT, [self.key], arguments, budget=self.state.budget())
        return reply


def limits(requests: int = 0, tokens: int = 0, concurrent: int = 0, day: int = 0) -> Limits:
    return Limits(requests, tokens, concurrent, (Budget(months=False, amount=day),) if day else ())


async def test_requests_of_all_pods_count_together() -> None:
    async with redis_server() as server, shared_state(server.url) as state:
        pods = [Pod(state, limits(requests=10)) for _ in range(3)]
        verdicts = [(await pods[i % 3].admit())[1] for i in range(20)]
        assert verdicts[:10] == [None] * 10
        assert {v.limit for v in verdicts[10:] if v} == {Limit.REQUESTS}
        assert all(v is not None and 55 < v.seconds <= 62 for v in verdicts[10:])


async def test_tokens_are_corrected_by_what_was_used() -> None:
    async with redis_server() as server, shared_state(server.url) as state:
        one, other = Pod(state, limits(tokens=100)), Pod(state, limits(tokens=100))
        grant, refusal = await one.admit(tokens=90)
        assert refusal is None
        assert (await other.admit(tokens=20))[1] is not None
        one.settle(grant, 0, tokens=30)
        await one.tell(one.told())
        grant, refusal = await other.admit(tokens=70)
        assert refusal is None
        assert grant.remaining == (0, 0)
        assert (await other.admit(tokens=1))[1] is not None


async def test_requests_at_once_end_with_their_process() -> None:
    async with redis_server() as server, shared_state(server.url) as state:
        one, other = Pod(state, limits(concurrent=2)), Pod(state, limits(concurrent=2))
        grants = [await one.admit() for _ in range(2)]
        assert [refusal for _, refusal in grants] == [None, None]
        assert (await other.admit())[1] == Refusal(Limit.CONCURRENT, 1.0)
        # one dies: after 90 s nothing of it is in flight (its entry is made older, the clock of Redis can not be set)
        await state.run(_AGE, [other.key], [one.fleet.process], budget=state.budget())
        await other.tell(other.told())
        assert (await other.admit())[1] is None


_AGE = Script("""
local p = cmsgpack.unpack(redis.call('HGET', KEYS[1], 'p:' .. ARGV[1])); p[2] = p[2] - 91000
redis.call('HSET', KEYS[1], 'p:' .. ARGV[1], cmsgpack.pack(p), 'n', 0) return 1
""")


async def test_a_budget_is_reserved_then_settled() -> None:
    async with redis_server() as server, shared_state(server.url) as state:
        one, other = Pod(state, limits(day=USD)), Pod(state, limits(day=USD))
        grant, refusal = await one.admit(cost=6 * USD // 10)
        assert refusal is None
        _, refusal = await other.admit(cost=USD // 2)
        assert refusal is not None
        assert refusal.limit is Limit.BUDGET
        assert (await other.admit(cost=USD // 2, checked=0))[1] is None  # another tier goes on
        one.settle(grant, USD // 10)
        reply = await one.tell(one.told())
        assert (reply[5], reply[6]) == (USD // 2 // 1000, USD // 10 // 1000)  # reserved, spent


@pytest.mark.parametrize("seed", range(5))
async def test_lost_doubled_and_late_reports_change_nothing_in_the_end(seed: int) -> None:
    dice = random.Random(seed)
    async with redis_server() as server, shared_state(server.url, budget_seconds=10) as state:
        pods = [Pod(state, limits(requests=10**6, concurrent=10**6, day=10**6 * USD)) for _ in range(4)]
        open_grants: list[tuple[Pod, Grant]] = []
        delayed: list[tuple[Pod, list[str | int]]] = []
        spent = 0
        for _ in range(300):
            pod = dice.choice(pods)
            roll = dice.random()
            if roll < 0.5:
                grant, refusal = await pod.admit(cost=dice.randrange(1, 10**9) * 1000)
                assert refusal is None
                open_grants.append((pod, grant))
            elif open_grants:
                pod, grant = open_grants.pop(dice.randrange(len(open_grants)))
                cost = dice.randrange(1, 10**9) * 1000
                spent += cost
                pod.settle(grant, cost)
                report = pod.told()
                fate = dice.random()
                if fate < 0.3:
                    continue  # lost
                if fate < 0.6:
                    delayed.append((pod, report))
                else:
                    await pod.tell(report)
                    if fate > 0.8:
                        await pod.tell(report)  # twice
            if delayed and dice.random() < 0.3:
                late, report = delayed.pop(dice.randrange(len(delayed)))
                await late.tell(report)
            if dice.random() < 0.01:
                await server("FLUSHALL")  # Redis has forgotten everything
        for pod in pods:
            reply = await pod.tell(pod.told())
        assert reply[4] == len(open_grants)
        assert reply[5] == sum(grant.cost for _, grant in open_grants) // 1000
        assert reply[6] == spent // 1000


async def test_the_key_expires_and_stays_small() -> None:
    async with redis_server() as server, shared_state(server.url) as state:
        pod = Pod(state, limits(requests=10**6, tokens=10**9, day=USD))
        for _ in range(200):
            grant, _ = await pod.admit(tokens=1000, cost=1000)
            pod.settle(grant, 1000, 1000)
        await pod.tell(pod.told())
        assert await server("DBSIZE") == 2  # this one, and the probe's
        assert 0 < await server("PTTL", pod.key) <= 2 * 86_400_000
        assert await server("MEMORY", "USAGE", pod.key) < 2000
        await eventually(lambda: state.queued_later == 0, "writes are left")
