"""What was booked ahead and comes back: each figure only grows, so late and doubled reports falsify nothing."""

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from merit_crds.snapshot import Budget
from merit_dataplane.limits.account import Limits, Spending, UsageAccount
from merit_dataplane.limits.fleet import ADMIT, Fleet
from tests.support.redis_servers import needs_redis, redis_server, shared_state

DAY = Budget(months=False, amount=10**12)
WALL = 1_800_000_000.0


def account() -> UsageAccount:
    made = UsageAccount("default/tests", Limits(0, 0, 0, (DAY,)))
    made.budgets[0].look(WALL)
    return made


@given(replies=st.permutations(range(6)), figures=st.lists(st.integers(0, 1000), min_size=6, max_size=6))
def test_the_newest_reply_counts_whenever_it_comes(replies: list[int], figures: list[int]) -> None:
    spending = Spending(DAY)
    for at in replies:
        spending.know(figures[at], 0, at)
    assert spending.total() == figures[5]


@given(spent=st.integers(0, 1000), back=st.integers(0, 1000), pods=st.integers(1, 5))
def test_what_comes_back_is_room_again(spent: int, back: int, pods: int) -> None:
    ahead = account()
    budget = ahead.budgets[0]
    before = budget.room(pods)
    budget.spent += spent
    ahead.correct_cost(spent, spent - back, WALL, WALL)
    assert budget.total() == spent - back
    assert budget.room(pods) == before - (spent - back)


def test_what_was_booked_in_another_period_does_not_come_back() -> None:
    today = account()
    today.correct_cost(700, 200, WALL - 86_400, WALL)
    assert today.budgets[0].total() == 0
    today.correct_cost(700, 900, WALL - 86_400, WALL)
    assert today.budgets[0].total() == 200


@needs_redis
@pytest.mark.asyncio(loop_scope="session")
async def test_pods_agree_whatever_reports_are_lost_late_or_doubled() -> None:
    """Three processes spend and give back; some of their reports come twice, late or never, but for the last."""
    steps = [(0, 500), (1, 200), (0, -300), (2, -100), (1, 50), (2, 400), (0, -200), (1, -250)]
    async with redis_server() as server, shared_state(server.url) as state:
        pods = [(Fleet(), account()) for _ in range(3)]
        sent: list[list[Any]] = []

        async def report(arguments: list[Any]) -> list[int]:
            reply: list[int] = await state.run(ADMIT, [state.key("limits", "x")], arguments, budget=state.budget())
            return reply

        for place, (pod, pico) in enumerate(steps):
            fleet, own = pods[pod]
            own.budgets[0].correct(pico * 1000)  # nano-dollars
            arguments = fleet.arguments(own, None, 0)
            sent.append(arguments)
            if place % 3:
                await report(arguments)
        for arguments in itertools.chain(reversed(sent), sent):
            await report(arguments)
        for fleet, own in pods:
            last = await report(fleet.arguments(own, None, 0))
    assert last[6] == sum(pico for _, pico in steps)
