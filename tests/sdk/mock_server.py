"""Steady, the mock that the SDKs' own projects test them with: it answers by OpenAI's published document, and refuses
a request that the document does not allow.
"""

import asyncio
import contextlib
import os
import signal
from asyncio.subprocess import DEVNULL, STDOUT
from collections.abc import AsyncIterator
from pathlib import Path

import httpx

from tests.sdk.environments import node_with
from tests.support.gateway import eventually, free_port
from tests.support.shared import SHARED_DATA

DOCUMENT = SHARED_DATA / "openapi/openapi.yaml"
_PROJECT = Path(__file__).parent / "mock"
_FORMATS = [
    f"--validator-{where}-{what}-format=brackets" for where in ("query", "form") for what in ("array", "object")
]


@contextlib.asynccontextmanager
async def steady(log: Path) -> AsyncIterator[str]:
    """Its base URL."""
    port = free_port()
    program = node_with("steady", _PROJECT) / "node_modules/.bin/steady"
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            program, "--host", "127.0.0.1", "-p", str(port), *_FORMATS, DOCUMENT,
            stdin=DEVNULL, stdout=output, stderr=STDOUT, start_new_session=True,
        )  # fmt: skip
        try:
            async with httpx.AsyncClient() as http:

                async def healthy() -> bool:
                    with contextlib.suppress(httpx.TransportError):
                        return (await http.get(f"http://127.0.0.1:{port}/_x-steady/health")).is_success
                    return False

                await eventually(healthy, f"the mock does not start: {log}", seconds=60)
            yield f"http://127.0.0.1:{port}"
        finally:
            os.killpg(process.pid, signal.SIGKILL)  # the program starts another one, which would outlive it
            await process.wait()
