"""What counts as a candidate's latency when attempts fail, time out, or are given up by their client."""

import asyncio
from typing import Any

import httpx
import pytest

from merit_dataplane.fake_provider.behaviour import Behaviour
from merit_dataplane.live import Learned
from tests.support.gateway import Running, eventually, gateway
from tests.support.resources import candidate, route_of
from tests.unit.dataplane.conftest import Vendors

pytestmark = pytest.mark.asyncio(loop_scope="session")
BODY: dict[str, Any] = {"model": "chat", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 8}
QUICK = "timeouts: {firstByte: 500ms}"


def ceiling(goals: str) -> str:
    who = f"{candidate('cheap')}, {candidate('middle')}"
    return route_of(f"[{{name: all, candidates: [{who}], objectives: {{latency: {{{goals}}}}}}}]", extra=QUICK)


def learned(merit: Running, place: int) -> Learned:
    assert merit.parts.holder.tables is not None
    return merit.parts.holder.tables.routes["default/chat"].tiers[0].targets[place].learned


def p50(merit: Running, place: int, *, kind: str = "total") -> float:
    """With 19 fast answers more, so that the one in question is in the upper half only if all the others are."""
    found = getattr(learned(merit, place), kind)
    now = asyncio.get_running_loop().time()
    for _ in range(19):
        found.observe(1e-3, now)
    top = found.quantile(99, now)
    assert top is not None
    return float(top)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_time_out_counts_as_longest_and_the_next_one_for_its_own_time_only(
    vendors: Vendors, stream: bool
) -> None:
    vendors.cheap.behaviour = Behaviour(fault="hang")
    async with gateway(*vendors.resources(ceiling("total: 1h, firstToken: 1h"))) as merit:
        answer = await merit.post({**BODY, "stream": stream})
        assert answer.headers["x-merit-provider"] == "middle"
        await eventually(lambda: learned(merit, 1).total.observed_at > 0, "the answer is not measured")
        assert p50(merit, 0) > 600, "never answered: over every ceiling"
        assert p50(merit, 1) < 0.45, "the time-out of 0.5 s of the other one is not its own"
        if stream:
            assert p50(merit, 0, kind="first_token") > 600
            assert p50(merit, 1, kind="first_token") < 0.45


@pytest.mark.parametrize(("goals", "counts"), [("total: 10ms", True), ("total: 1h", False)])
async def test_an_attempt_that_its_client_gives_up_counts_once_it_is_over_the_ceiling(
    vendors: Vendors, goals: str, counts: bool
) -> None:
    vendors.cheap.behaviour = Behaviour(latency=0.4)
    async with gateway(*vendors.resources(ceiling(goals))) as merit:
        with pytest.raises(httpx.ReadTimeout):
            await merit.http.post(
                f"{merit.url}/v1/chat/completions", json=BODY, timeout=0.05,
                headers={"authorization": "Bearer merit-test-consumer-key-0001"},
            )  # fmt: skip
        await eventually(lambda: "499" in merit.log_text(), "the client's going away is not seen")
        assert (learned(merit, 0).total.observed_at > 0) is counts
