"""A leader that ends, or whose connection is cut, in the middle of a push to three real pods under load."""

import asyncio
import contextlib
import gzip
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from merit_crds.compile import Compiled
from merit_operator.discovery import Pod
from merit_operator.push.publisher import Publisher
from merit_operator.push.session import Parcel, PodClient
from tests.support.gateway import eventually, free_port, says, scripted
from tests.support.merit_process import Merit, merit_serve
from tests.support.pushing import PUSH_TOKEN, packed, under_load
from tests.support.resources import CONSUMER, compiled, prices, provider, route
from tests.support.usual_answer import ANSWER

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
SECONDS = 60.0
_HOSTS = ("127.0.0.21", "127.0.0.22", "127.0.0.23")


class Cutting:
    """In front of a pod's admin port: cuts connections after so many bytes of a request while it is told to."""

    def __init__(self, port: int):
        self._port = port
        self.after: int | None = None
        self.cut = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(_HOSTS[0], self._port)
        answers = asyncio.create_task(_pass(there, writer))
        passed = 0
        with contextlib.suppress(OSError):
            while data := await reader.read(1024):
                passed += len(data)
                if self.after is not None and passed > self.after:
                    self.cut += 1
                    back.write(data[: len(data) // 2])
                    break
                back.write(data)
                await back.drain()
        for end in (back, writer):
            end.close()
        await asyncio.wait([answers])


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.close()


class Fleet:
    """Three pods, and leaders that come and go."""

    def __init__(self, pods: list[Merit], port: int, cutting: Cutting, token: Path):
        self.pods, self.cutting = pods, cutting
        self._port, self._token = port, token

    @asynccontextmanager
    async def leader(self) -> AsyncIterator[Publisher]:
        """One that knows all pods: the first through what cuts."""
        client = PodClient(port=self._port, token_file=self._token, tls_ca=None)
        leader = Publisher(client, changed=lambda: None, outdone=lambda _: None)
        leader.set_pods({Pod("pod-0", "127.0.0.11"), Pod("pod-1", _HOSTS[1]), Pod("pod-2", _HOSTS[2])})
        try:
            yield leader
        finally:
            await leader.close()
            await client.close()

    async def serving(self, name: str) -> None:
        """Waits until all pods send requests to it."""

        async def all_of_them() -> bool:
            return {await pod.provider() for pod in self.pods} == {name}

        await eventually(all_of_them, f"not all pods ask {name}", SECONDS)


@asynccontextmanager
async def fleet(folder: Path) -> AsyncIterator[Fleet]:
    port, token = free_port(), folder / "token"
    token.write_text(PUSH_TOKEN, encoding="utf-8")
    cutting = Cutting(port)
    async with AsyncExitStack() as stack:
        pods = []
        for host in _HOSTS:
            options = ("--from-operator", "--token-file", str(token), "--usage-log", "off")
            pods.append(await stack.enter_async_context(merit_serve(*options, "--admin-listen", f"{host}:{port}")))
        server = await asyncio.start_server(cutting.serve, "127.0.0.11", port, family=socket.AF_INET)
        stack.callback(server.close)
        yield Fleet(pods, port, cutting, token)


def parcel(made: Compiled, term: int) -> Parcel:
    return Parcel(version=made.version, term=term, body=packed(made))


@pytest.fixture
async def snapshots() -> AsyncIterator[tuple[Compiled, Compiled]]:
    async with scripted(says(ANSWER)) as url:
        old, new = (compiled(CONSUMER, provider(n, url), prices(n, "1", "2"), route(n)) for n in ("old", "new"))
        assert len(gzip.decompress(packed(new))) > 500
        yield old, new


async def test_leaders_that_end_at_any_moment_leave_every_pod_at_a_whole_snapshot(
    tmp_path: Path, snapshots: tuple[Compiled, Compiled]
) -> None:
    old, new = snapshots
    async with fleet(tmp_path) as made:
        async with made.leader() as leader:
            leader.publish(parcel(old, 1))
            await made.serving("old")
        async with under_load(*made.pods, clients=2) as load:
            async with made.leader():
                pass  # it has compiled the next one, and ends before it pushes
            await made.serving("old")

            async with made.leader() as leader:  # ends as soon as its canary has acknowledged
                leader.publish(parcel(new, 2))
                await eventually(lambda: leader.confirmed, "no pod has taken it", SECONDS)
            assert {await pod.provider() for pod in made.pods} <= {"old", "new"}

            async with made.leader() as leader:  # the connection to the first pod is cut inside each push
                made.cutting.after = 600
                leader.publish(parcel(new, 3))
                await eventually(lambda: made.cutting.cut >= 2, "nothing was cut", SECONDS)
                first = await made.pods[0].provider()
                assert first in {"old", "new"}
                made.cutting.after = None
                await made.serving("new")
        assert load.failed == 0, load.answers
        assert load.answers["gone"] == 0
