"""The official SDKs of OpenAI and Anthropic for Node.js: one process, a request on each line."""

import asyncio
import json
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.fidelity.heard import Clients, Fields, Heard, hear, unwrapped
from tests.support.gateway import Running
from tests.support.resources import CONSUMER_KEY

_LONGEST_LINE = 2**25


class NodeProcess:
    """Serves all gateways."""

    def __init__(self, process: asyncio.subprocess.Process):
        self._process = process
        self._waiting: dict[int, asyncio.Future[Fields]] = {}
        self._asked = 0

    @asynccontextmanager
    async def clients(self, running: Running) -> AsyncIterator[Clients]:
        """Those of a gateway."""
        yield _NodeClients(self, running.url)

    async def send(self, asked: Fields) -> Fields:
        """What came of a request."""
        self._asked += 1
        answered = self._waiting[self._asked] = asyncio.get_running_loop().create_future()
        if self._process.stdin is None:
            raise AssertionError("it was given a pipe")
        self._process.stdin.write(json.dumps({"id": self._asked, **asked}).encode() + b"\n")
        await self._process.stdin.drain()
        made: Fields = await answered
        return made

    async def read(self) -> None:
        """Hands on what comes, until the process ends."""
        if self._process.stdout is None:
            raise AssertionError("it was given a pipe")
        async for line in self._process.stdout:
            made = json.loads(line)
            self._waiting.pop(made["id"]).set_result(made)
        for waiting in self._waiting.values():
            waiting.set_exception(AssertionError("the process has ended"))


@dataclass(frozen=True)
class _NodeClients:
    process: NodeProcess
    url: str

    async def ask(self, endpoint: str, body: Fields, *, stream: bool) -> Heard:
        made = await self.process.send({"url": self.url, "endpoint": endpoint, "body": body, "stream": stream})
        if "exception" not in made:
            return hear(endpoint, made["raw"], made.get("final"), made.get("helper", ""))
        if not made["status"] and made["exception"] not in ("APIError", "APIConnectionError", "AnthropicError"):
            raise AssertionError(f"{made['exception']}: {made['told']}")
        told = unwrapped(made["error"])
        return Heard(exception=made["exception"], status=made["status"], error=told, headers=made["headers"])


@asynccontextmanager
async def node_process(folder: Path) -> AsyncIterator[NodeProcess]:
    """`folder`: the environment that has the SDKs."""
    process = await asyncio.create_subprocess_exec(
        "node", folder / "replay.js", CONSUMER_KEY, stdin=PIPE, stdout=PIPE, limit=_LONGEST_LINE
    )
    made = NodeProcess(process)
    reading = asyncio.create_task(made.read())
    try:
        yield made
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        await reading
