"""`merit serve` as a user runs it: its own process, signals, standard output and error."""

import asyncio
import contextlib
import os
import re
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tests.support.gateway import eventually
from tests.support.resources import CONSUMER_KEY

MERIT = str(Path(sys.executable).with_name("merit"))
_SERVING = re.compile(r"serving on http://([\d.]+:\d+)/v1, admin on (\d+)")


@dataclass
class Merit:
    """A running gateway."""

    process: Process
    http: httpx.AsyncClient
    url: str = ""
    admin_url: str = ""
    errors: list[str] = field(default_factory=list)
    """Lines of standard error."""
    log: list[str] = field(default_factory=list)
    """Lines of standard output: the usage log."""

    def said(self, *words: str) -> bool:
        """Whether a line of standard error holds all these words."""
        return any(all(word in line for word in words) for line in self.errors)

    async def says(self, *words: str, seconds: float = 10) -> None:
        """Waits until it says so."""
        await eventually(lambda: self.said(*words), f"{words} not in {self.errors}", seconds)

    async def post(self, body: Mapping[str, object] | None = None, key: str = CONSUMER_KEY) -> httpx.Response:
        """A chat request."""
        sent = {"model": "chat", "messages": [{"role": "user", "content": "Hello"}], **(body or {})}
        headers = {"authorization": f"Bearer {key}"}
        return await self.http.post(f"{self.url}/v1/chat/completions", json=sent, headers=headers)

    async def provider(self) -> str:
        """Who answers now."""
        answer = await self.post()
        return str(answer.headers.get("x-merit-provider", answer.status_code))

    async def ready(self) -> int:
        """Status of /readyz; 0 when nobody listens."""
        try:
            return (await self.http.get(f"{self.admin_url}/readyz")).status_code
        except httpx.TransportError:
            return 0


async def _read(stream: asyncio.StreamReader | None, lines: list[str]) -> None:
    if stream is not None:
        async for line in stream:
            lines.append(line.decode().rstrip("\n"))  # noqa: PERF401 # as they come


@contextlib.asynccontextmanager
async def merit_serve(*arguments: str | Path, env: Mapping[str, str] | None = None) -> AsyncIterator[Merit]:
    """`merit serve` on ports of its choice, ready to serve (or at least listening); killed at the end."""
    command = [MERIT, "serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", *map(str, arguments)]
    process = await asyncio.create_subprocess_exec(
        *command, stdout=PIPE, stderr=PIPE, env={**os.environ, **(env or {})}
    )
    async with httpx.AsyncClient(verify=False, timeout=20) as http:
        merit = Merit(process, http)
        readers = [
            asyncio.create_task(_read(process.stdout, merit.log)),
            asyncio.create_task(_read(process.stderr, merit.errors)),
        ]
        try:
            await eventually(
                lambda: merit.said("serving on") or process.returncode is not None, "does not serve", seconds=120
            )
            found = next((m for line in merit.errors if (m := _SERVING.search(line))), None)
            if found is None:
                raise AssertionError(merit.errors)
            merit.url, merit.admin_url = f"http://{found[1]}", f"http://127.0.0.1:{found[2]}"
            yield merit
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()
            await asyncio.gather(*readers)


async def run_merit(
    *arguments: str | Path, stdin: bytes = b"", env: Mapping[str, str] | None = None
) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of a command that ends."""
    process = await asyncio.create_subprocess_exec(
        MERIT, *map(str, arguments), stdin=PIPE, stdout=PIPE, stderr=PIPE,
        env={**os.environ, "COLUMNS": "120", "NO_COLOR": "1", **(env or {})},
    )  # fmt: skip
    out, err = await process.communicate(stdin)
    return process.returncode or 0, out.decode(), err.decode()
