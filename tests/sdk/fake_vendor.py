"""`merit fake-provider` as its own process."""

import asyncio
import contextlib
import re
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from pathlib import Path

from tests.support.merit_process import MERIT
from tests.support.resources import PROVIDER_KEY


@contextlib.asynccontextmanager
async def fake_vendor(*options: str | Path) -> AsyncIterator[str]:
    """Its URL, without a path."""
    process = await asyncio.create_subprocess_exec(
        MERIT, "fake-provider", "--listen", "127.0.0.1:0", *options, "--api-key", PROVIDER_KEY, stdout=PIPE, stderr=PIPE
    )
    try:
        if process.stdout is None:
            raise AssertionError("it was given a pipe")
        found = re.search(rb"http://[\d.]+:\d+", await process.stdout.readline())
        if found is None:
            raise AssertionError("the vendor does not say where it is")
        yield found[0].decode()
    finally:
        process.kill()
        await process.communicate()
