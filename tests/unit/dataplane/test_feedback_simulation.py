"""A month of a support desk in a few hundred tickets: real HTTP, scores that come late, and for a part of the answers.

What a run did is printed: `pytest -s`. `bench/feedback.py` has the same over many seeds, without HTTP.
"""

import random
from collections import deque
from dataclasses import dataclass
from typing import Any

import pytest

from tests.support.gateway import Running, gateway
from tests.support.resources import candidate, route_of
from tests.unit.dataplane.conftest import Vendors

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.slow]
BODY: dict[str, Any] = {"model": "chat", "messages": [{"role": "user", "content": "my card is lost"}], "max_tokens": 8}
FLOOR = 0.9
LATE = 25
"""Tickets that come in until one is resolved or escalated."""
SCORED = 0.5
"""Share of tickets of which somebody says how they went."""


@dataclass
class Desk:
    """What became of the tickets."""

    truth: dict[str, float]
    requests: int = 0
    scored: int = 0
    below_floor: int = 0
    explored: int = 0
    spent: float = 0.0
    regret: float = 0.0
    """USD above what who knows the truth would have spent, with the floor met."""
    left_after: int = 0
    """Scores of the cheap one until it was first left."""

    def __str__(self) -> str:
        return (
            f"truth {self.truth}: {self.requests} tickets, {self.scored} scored; below the floor "
            f"{self.below_floor / self.requests:.1%}, explored {self.explored / self.requests:.1%}; spent "
            f"{self.spent:.6f} USD, regret {self.regret:.6f} USD; left after {self.left_after or 'never'}"
        )


async def month(merit: Running, truth: dict[str, float], tickets: int, seed: int) -> Desk:
    """Tickets one by one; each is resolved with its answerer's true accuracy."""
    chance, desk = random.Random(seed), Desk(truth)
    random.seed(seed)  # of the gateway's own draws
    waiting: deque[tuple[str, int]] = deque()
    costs: dict[str, float] = {}
    cheap_scored = 0
    for _ in range(tickets):
        answer = await merit.post(BODY)
        assert answer.status_code == 200
        who, cost = answer.headers["x-merit-provider"], float(answer.headers["x-merit-cost"])
        costs[who] = cost
        desk.requests, desk.spent = desk.requests + 1, desk.spent + cost
        desk.explored += "x-merit-placement" in answer.headers
        desk.below_floor += truth[who] < FLOOR
        best = min((c for name, c in costs.items() if truth[name] >= FLOOR), default=cost)
        desk.regret += max(0.0, cost - best)
        if who != "cheap" and not desk.left_after:
            desk.left_after = cheap_scored
        if chance.random() < SCORED:
            waiting.append((answer.headers["x-merit-request-id"], int(chance.random() < truth[who])))
        if len(waiting) > LATE * SCORED:
            known, resolved = waiting.popleft()
            said = await merit.post({"id": known, "score": resolved}, path="/v1/feedback")
            assert said.status_code == 200
            desk.scored += 1
            cheap_scored += said.json()["provider"] == "default/cheap"
    return desk


def resources(vendors: Vendors, stated: str) -> tuple[str, ...]:
    who = f"{candidate('cheap', accuracy=stated)}, {candidate('middle', accuracy='0.98')}"
    return vendors.resources(route_of(f'[{{name: all, candidates: [{who}], objectives: {{accuracy: "{FLOOR}"}}}}]'))


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_a_model_below_the_floor_is_left_whatever_was_stated(vendors: Vendors, seed: int) -> None:
    async with gateway(*resources(vendors, "0.95")) as merit:
        desk = await month(merit, {"cheap": 0.7, "middle": 0.97}, 900, seed)
    print(f"\n{desk}")
    assert 0 < desk.left_after <= 60
    assert desk.below_floor <= (desk.left_after / SCORED + LATE) * 1.5 + 0.02 * desk.requests
    assert desk.explored <= 0.02 * desk.requests


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_a_model_above_the_floor_stays(vendors: Vendors, seed: int) -> None:
    async with gateway(*resources(vendors, "0.95")) as merit:
        desk = await month(merit, {"cheap": 0.96, "middle": 0.97}, 900, seed)
    print(f"\n{desk}")
    assert not desk.left_after
    assert desk.below_floor == desk.regret == 0
