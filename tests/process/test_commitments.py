"""What was drawn of a commitment, over the end of a process."""

import asyncio
from pathlib import Path

import pytest

from tests.support.commitments import answer, committed
from tests.support.gateway import scripted
from tests.support.merit_process import merit_serve
from tests.support.resources import CONSUMER, prices, provider, route

pytestmark = pytest.mark.slow
TERMS = 'period: {calendar: Month, timeZone: UTC}\n      volume: {prepaid: "0.1"}'
WRITTEN_SECONDS = 2.5
"""It is written each second."""


async def test_a_process_that_was_killed_starts_where_it_ended(tmp_path: Path) -> None:
    folder, state = tmp_path / "resources", tmp_path / "state"
    folder.mkdir()
    async with scripted(answer()) as dear, scripted(answer()) as cheap:
        vendors = (provider("dear", dear), provider("cheap", cheap), committed(TERMS), prices("cheap", "1", "1"))
        (folder / "all.yaml").write_text("\n---\n".join((*vendors, route("dear", "cheap"), CONSUMER)))
        who = []
        for times, kill in ((2, True), (2, False), (2, True)):
            async with merit_serve(folder, "--state-dir", state, "--drain-seconds", "0") as merit:
                who += [await merit.provider() for _ in range(times)]
                if kill:
                    await asyncio.sleep(WRITTEN_SECONDS)
                    merit.process.kill()
                else:  # told to end, it writes at once
                    merit.process.terminate()
                await merit.process.wait()
    assert who == ["dear"] * 5 + ["cheap"]
