"""A pod that is killed, or whose disk fails, at each point of a push under load; what it serves after a restart."""

import json
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest

from merit_crds.compile import Compiled
from merit_dataplane.failpoints import POINTS, VARIABLE, armed
from merit_dataplane.snapshots.last_good import LastGoodDisk
from tests.support.gateway import eventually, says, scripted
from tests.support.merit_process import Merit, merit_serve
from tests.support.pushing import PUSH_TOKEN, push, under_load
from tests.support.resources import CONSUMER, compiled, prices, provider, route
from tests.support.usual_answer import ANSWER

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]
SECONDS = 60.0


class Place:
    """A pod's folders, and two snapshots for it: the first sends requests to `old`, the second to `new`."""

    def __init__(self, folder: Path, url: str):
        self.state, self.mounted, self.token = folder / "state", folder / "mounted", folder / "token"
        self.mounted.mkdir()
        self.token.write_text(PUSH_TOKEN, encoding="utf-8")
        self.first, self.second = (
            compiled(CONSUMER, provider(name, url), prices(name, "1", "2"), route(name)) for name in ("old", "new")
        )
        (self.mounted / "credentials").write_text(json.dumps(dict(self.first.credentials)), encoding="utf-8")

    @asynccontextmanager
    async def pod(self, failpoints: str = "") -> AsyncIterator[Merit]:
        """A gateway that waits for pushes."""
        paths = ("--token-file", self.token, "--state-dir", self.state, "--last-good-dir", self.mounted)
        async with merit_serve("--from-operator", "--usage-log", "off", *paths, env={VARIABLE: failpoints}) as pod:
            yield pod

    async def kept(self, made: Compiled) -> None:
        """Waits until a snapshot is what a restart would find."""
        disk = LastGoodDisk(self.state)

        def there() -> bool:
            found = disk.load() if self.state.exists() else None
            return found is not None and found.version == made.version

        await eventually(there, "the last good snapshot was not kept", SECONDS)


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    async with scripted(says(ANSWER)) as url:
        yield Place(tmp_path, url)


async def test_killed_at_any_point_it_restarts_with_a_whole_snapshot(place: Place) -> None:
    async with place.pod() as pod:
        assert await push(pod, place.first) == 200
        await place.kept(place.first)
    for point in POINTS:
        again = "@2" if point == "push.built" else ""  # what is on disk is built, too
        async with place.pod(f"{point}=kill{again}") as pod:  # the operator is away, at first
            await pod.says("last good snapshot", seconds=SECONDS)
            assert await pod.provider() == "old", point
            async with under_load(pod) as load:
                await push(pod, place.second)
                await eventually(partial(_ended, pod), f"it was not killed at {point}", SECONDS)
            assert pod.process.returncode == -signal.SIGKILL
            assert load.failed == 0, (point, load.answers)
    async with place.pod() as pod:
        await pod.says("last good snapshot", seconds=SECONDS)
        assert await pod.provider() == "new"  # only the last point comes after the new one is on disk
        async with under_load(pod) as load:
            assert await push(pod, place.first, term=2) == 200
            await place.kept(place.first)
        assert load.failed == 0, load.answers
        assert await pod.provider() == "old"


def _ended(pod: Merit) -> bool:
    return pod.process.returncode is not None


async def test_a_disk_that_fails_takes_nothing_from_what_is_served(place: Place) -> None:
    faults = ("disk.opened=full", "disk.torn=full", "disk.written=fault", "disk.synced=fault")
    async with place.pod(",".join(f"{fault}@2" for fault in faults)) as pod:
        assert await push(pod, place.first) == 200
        await place.kept(place.first)
        async with under_load(pod) as load:
            for number, fault in enumerate(faults):
                made, name = (place.first, "old") if number % 2 else (place.second, "new")
                assert await push(pod, made) == 200
                told = "failing at " + fault.partition("=")[0]
                await pod.says(told, seconds=SECONDS)
                await eventually(partial(_told, pod, number + 1), f"{fault} is not told", SECONDS)
                assert await pod.provider() == name
                await place.kept(place.first)  # whole, though not always the newest
            assert await push(pod, place.second) == 200
            await place.kept(place.second)
        assert load.failed == 0, load.answers


def _told(pod: Merit, times: int) -> bool:
    return sum("last good snapshot not written" in line for line in pod.errors) == times


async def test_a_push_that_fails_inside_is_answered_and_the_next_one_holds(place: Place) -> None:
    points = [point for point in POINTS if point.startswith("push.")]
    async with place.pod(",".join(f"{point}=fault@2" for point in points)) as pod:
        assert await push(pod, place.first) == 200
        async with under_load(pod) as load:
            for point in points:
                assert await push(pod, place.second) == 500, point
                assert await pod.provider() == ("new" if point == "push.swapped" else "old")
            assert await push(pod, place.second) == 200
            assert await pod.provider() == "new"
        assert load.failed == 0, load.answers


async def test_thirty_swaps_under_load_lose_nothing(place: Place) -> None:
    async with place.pod() as pod:
        assert await push(pod, place.first) == 200
        async with under_load(pod, clients=8) as load:
            for number in range(30):
                assert await push(pod, place.first if number % 2 else place.second) == 200
        assert load.failed == 0, load.answers
        assert load.answers["old"] > 0
        assert load.answers["new"] > 0
        await place.kept(place.first)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("push.sideways=kill", "'push.sideways' is no failpoint"),
        ("push.built=explode", "push.built='explode' must be kill, full or fault"),
        ("push.built=kill@0", "must end with @ and a number from 1"),
        ("push.built=kill@x", "must end with @ and a number from 1"),
    ],
)
def test_a_variable_that_makes_no_sense_says_so(value: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        armed(value)
