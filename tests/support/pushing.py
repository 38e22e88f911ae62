"""Pushes to gateways that are processes of their own, as the operator does; and requests that don't stop meanwhile."""

import asyncio
import contextlib
import gzip
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import httpx
import msgspec

from merit_crds.compile import Compiled
from merit_crds.push import FORMAT_HEADER, SNAPSHOT_PATH, TERM_HEADER, VERSION_HEADER
from merit_crds.snapshot import FORMAT
from tests.support.merit_process import Merit

PUSH_TOKEN = "push-token-0123456789"  # a test's


def packed(made: Compiled) -> bytes:
    """A push's body."""
    body = {"snapshot": msgspec.Raw(made.body), "credentials": dict(made.credentials)}
    return gzip.compress(msgspec.json.encode(body), mtime=0)


async def push(pod: Merit, made: Compiled, *, term: int = 1) -> int:
    """The status of a push; 0 where the pod ended before it answered."""
    headers = {
        "authorization": f"Bearer {PUSH_TOKEN}",
        VERSION_HEADER: made.version,
        TERM_HEADER: str(term),
        FORMAT_HEADER: str(FORMAT),
        "content-encoding": "gzip",
    }
    try:
        return (await pod.http.put(pod.admin_url + SNAPSHOT_PATH, content=packed(made), headers=headers)).status_code
    except httpx.TransportError:
        return 0


@dataclass
class Load:
    """What became of requests that were sent one after the other, by several clients."""

    answers: Counter[str] = field(default_factory=Counter)
    """By provider, or by status where it isn't 200; `gone` where the process had ended."""

    @property
    def failed(self) -> int:
        """Requests that a process which still ran did not answer."""
        return sum(count for name, count in self.answers.items() if name.isdigit())


@contextlib.asynccontextmanager
async def under_load(*pods: Merit, clients: int = 4) -> AsyncIterator[Load]:
    """Requests to all of them until the end of the block; at least one is answered by each before it begins."""
    load, over = Load(), asyncio.Event()

    async def ask(pod: Merit) -> None:
        try:
            answer = await pod.post()
        except httpx.TransportError:
            load.answers["gone"] += 1
            await asyncio.sleep(0.05)
            return
        whole = answer.status_code == 200 and answer.json()["choices"]
        load.answers[answer.headers["x-merit-provider"] if whole else str(answer.status_code)] += 1

    async def client(pod: Merit) -> None:
        while not over.is_set():
            await ask(pod)

    await asyncio.gather(*map(ask, pods))
    tasks = [asyncio.create_task(client(pod)) for pod in pods for _ in range(clients)]
    try:
        yield load
    finally:
        over.set()
        await asyncio.gather(*tasks)
