"""A pod that is killed, or whose disk fails, at each point of a push under load; what it serves after a restart."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from merit_crds.compile import Compiled
from merit_dataplane.failpoints import POINTS, VARIABLE, armed
from merit_dataplane.snapshots.last_good import LastGoodDisk
from tests.support.gateway import eventually, says, scripted
from tests.support.merit_process import Merit, merit_serve
from tests.support.pushing import PUSH_TOKEN, push, under_load
from tests.support.resources import CONSUMER, compiled, prices, provider, route

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]
SECONDS = 60.0
ANSWER = json.dumps({
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "good"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4},
}).encode()  # fmt: skip
KILLED_ON_DISK = POINTS[-1]
"""Only from there on the new snapshot is what a restart finds."""


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


@pytest.mark.parametrize("point", POINTS)
async def test_killed_at_any_point_it_restarts_with_a_whole_snapshot(place: Place, point: str) -> None:
    async with place.pod(f"{point}=kill@2") as pod:
        assert await push(pod, place.first) == 200
        await place.kept(place.first)
        async with under_load(pod) as load:
            await push(pod, place.second)
            await eventually(lambda: pod.process.returncode is not None, "it was not killed", SECONDS)
        assert pod.process.returncode == -9
        assert load.failed == 0, load.answers
    async with place.pod() as pod:  # the operator is away
        await eventually(lambda: pod.said("last good snapshot"), str(pod.errors), SECONDS)
        assert await pod.provider() == ("new" if point == KILLED_ON_DISK else "old")
        async with under_load(pod) as load:  # and comes back
            assert await push(pod, place.second, term=2) == 200
            await place.kept(place.second)
        assert load.failed == 0, load.answers
        assert await pod.provider() == "new"


@pytest.mark.parametrize("action", ["full", "fault"])
@pytest.mark.parametrize("point", [point for point in POINTS if point.startswith("disk.")][:-1])
async def test_a_disk_that_fails_takes_nothing_from_what_is_served(place: Place, point: str, action: str) -> None:
    async with place.pod(f"{point}={action}@2") as pod:
        assert await push(pod, place.first) == 200
        await place.kept(place.first)
        async with under_load(pod) as load:
            assert await push(pod, place.second) == 200
            await pod.says("last good snapshot not written", seconds=SECONDS)
            assert await pod.provider() == "new"
        assert load.failed == 0, load.answers
        assert await place_of_restart(place) == "old"  # whole, though not the newest
        assert await push(pod, place.first, term=2) == 200
        assert await push(pod, place.second, term=2) == 200
        await place.kept(place.second)


async def place_of_restart(place: Place) -> str:
    """Who would answer if it were restarted now."""
    async with place.pod() as pod:
        await eventually(lambda: pod.said("last good snapshot"), str(pod.errors), SECONDS)
        return await pod.provider()


@pytest.mark.parametrize("point", [point for point in POINTS if point.startswith("push.")])
async def test_a_push_that_fails_inside_is_answered_and_the_next_one_holds(place: Place, point: str) -> None:
    async with place.pod(f"{point}=fault@2") as pod:
        assert await push(pod, place.first) == 200
        async with under_load(pod) as load:
            assert await push(pod, place.second) == 500
            assert await pod.provider() == ("new" if point == "push.swapped" else "old")
            assert await push(pod, place.second) == 200
            await eventually_serves(pod, "new")
        assert load.failed == 0, load.answers


async def eventually_serves(pod: Merit, name: str) -> None:
    async def serves() -> bool:
        return await pod.provider() == name

    await eventually(serves, f"{name} is not asked", SECONDS)


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
