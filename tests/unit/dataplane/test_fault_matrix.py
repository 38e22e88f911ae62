"""A part of the fault matrix that takes no limit of time to pass; all of it: tests/process/test_fault_matrix.py."""

import asyncio
from pathlib import Path

import pytest

from tests.support.authority import Authority
from tests.support.fault_matrix.faults import Moment
from tests.support.fault_matrix.lanes import Lane
from tests.support.fault_matrix.outcomes import expected
from tests.support.fault_matrix.page import PAGE, text
from tests.support.fault_matrix.running import column

_MOMENTS = (Moment.NEVER, Moment.BODY, Moment.TOKEN, Moment.TEXT, Moment.CALL, Moment.STOP, Moment.USAGE, Moment.END)
_LANES = [Lane("messages", "Anthropic", stream=True), Lane("chat/completions", "OpenAI", stream=False)]


@pytest.mark.asyncio(loop_scope="session")
@pytest.mark.parametrize("lane", _LANES, ids=str)
async def test_what_comes_of_it_is_what_is_stated(lane: Lane, tmp_path: Path) -> None:
    plans = [plan for plan in lane.plans() if not plan.fault.waits and plan.moment in _MOMENTS]
    async with column(lane, plans, Authority(tmp_path).server("IP:127.0.0.1"), alone=True) as made:
        cells = await made.run(asyncio.Semaphore(16))
    for cell in cells:
        stated = expected(cell.lane, cell.plan)
        was = (cell.client, cell.asked, cell.accounts)
        assert was == (stated.client, stated.asked, stated.accounts), cell.told
        assert cell.fallback in {"exact", "nothing"}, cell.told


def test_the_page_says_what_is_stated() -> None:
    assert PAGE.read_text(encoding="utf-8") == text(), "make fault-matrix"
