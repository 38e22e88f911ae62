"""Every fault at every moment, at every endpoint, in front of every protocol: what comes of it is what is stated."""

from pathlib import Path

import pytest

from tests.support.authority import Authority
from tests.support.fault_matrix.lanes import LANES, Lane
from tests.support.fault_matrix.outcomes import expected, rules
from tests.support.fault_matrix.running import run

pytestmark = pytest.mark.slow
_TOGETHER = 6
"""Columns."""
GROUPS = [LANES[start : start + _TOGETHER] for start in range(0, len(LANES), _TOGETHER)]


def test_every_cell_has_an_outcome_and_every_rule_a_cell() -> None:
    fitting = {expected(lane, plan).rule.place for lane in LANES for plan in lane.plans()}
    assert fitting == {rule.place for rule in rules()}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("lanes", GROUPS, ids=[f"{lanes[0]} and on" for lanes in GROUPS])
async def test_what_comes_of_it_is_what_is_stated(lanes: tuple[Lane, ...], tmp_path: Path) -> None:
    wrong = []
    for cell in await run(lanes, Authority(tmp_path).server("IP:127.0.0.1")):
        stated = expected(cell.lane, cell.plan)
        asked = cell.asked if stated.asked is not None else None
        if (cell.client, asked, cell.accounts) != (stated.client, stated.asked, stated.accounts):
            was = f"{cell.client}, asked {cell.asked}, {cell.accounts}"
            wrong.append(f"stated {stated.client}, asked {stated.asked}, {stated.accounts}; it was {was}: {cell.told}")
        if cell.fallback not in {"exact", "nothing"}:
            wrong.append(f"the fallback's account: {cell.fallback}: {cell.told}")
    assert not wrong, f"{len(wrong)} cells: " + "\n".join(wrong[:10])
