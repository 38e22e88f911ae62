"""Batches by the commands as users run them: `merit serve` before `merit fake-provider`, 44 MiB in bounded memory."""

import asyncio
import contextlib
import json
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import openai
import pytest

from tests.support.gateway import eventually
from tests.support.merit_process import MERIT, Merit, merit_serve
from tests.support.resources import CONSUMER, CONSUMER_KEY, prices, provider, route

pytestmark = pytest.mark.slow
MIB = 1 << 20
LINES = 900
WORDS = "x" * 51_000
"""Of a line: 900 of them are 44 MiB."""


@contextlib.asynccontextmanager
async def fake_provider(*arguments: str) -> AsyncIterator[str]:
    process = await asyncio.create_subprocess_exec(
        MERIT, "fake-provider", "--listen", "127.0.0.1:0", *arguments, stdout=PIPE
    )
    try:
        assert process.stdout is not None
        said = (await process.stdout.readline()).decode()
        yield said.rsplit(" ", 1)[1].strip()
    finally:
        process.kill()
        await process.wait()


@contextlib.asynccontextmanager
async def served(folder: Path, *arguments: str) -> AsyncIterator[Merit]:
    async with fake_provider(*arguments) as url:
        documents = [
            provider("a", url),
            prices("a", "1", "2", capabilities="Batches", extra='serviceTiers: [{name: batch, percentOff: "50"}]'),
            route("a"),
            CONSUMER,
        ]
        resources = folder / "resources"
        resources.mkdir()
        (resources / "all.yaml").write_text("\n---\n".join(documents), encoding="utf-8")
        async with merit_serve(resources, "--state-dir", folder / "state") as merit:
            yield merit


def lines() -> Iterator[bytes]:
    for number in range(LINES):
        body = {"model": "chat", "messages": [{"role": "user", "content": WORDS}]}
        line = {"custom_id": str(number), "method": "POST", "url": "/v1/chat/completions", "body": body}
        yield json.dumps(line).encode() + b"\n"


def peak(merit: Merit) -> int:
    """Bytes of memory that the process has had at most."""
    status = Path(f"/proc/{merit.process.pid}/status").read_text(encoding="ascii")
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


async def test_44_mib_up_and_down_in_bounded_memory(tmp_path: Path) -> None:
    data = b"".join(lines())
    assert 43 * MIB < len(data) < 45 * MIB
    async with served(tmp_path) as merit:
        client = openai.AsyncOpenAI(base_url=f"{merit.url}/v1", api_key=CONSUMER_KEY, max_retries=0, timeout=100)
        idle = peak(merit)
        file = await client.files.create(file=("in.jsonl", data), purpose="batch")
        assert file.bytes == len(data)
        assert peak(merit) - idle < 2 * len(data) + 40 * MIB  # the client's lines, and those for the provider
        above = peak(merit)

        async with client.files.with_streaming_response.content(file.id) as content:
            size, waited = 0, False
            async for piece in content.iter_bytes():
                size += len(piece)
                if not waited:
                    waited = True
                    await asyncio.sleep(1)  # the provider waits, too
        assert size > 43 * MIB
        assert peak(merit) - above < 20 * MIB

        too_much = httpx.AsyncClient(headers={"authorization": f"Bearer {CONSUMER_KEY}"}, timeout=100)
        async with too_much:
            refused = await too_much.post(
                f"{merit.url}/v1/files", data={"purpose": "batch"}, files={"file": data + data[: 8 * MIB]}
            )
        assert refused.status_code == 413
        await client.close()


async def test_a_batch_that_nobody_asks_for_ends_in_the_usage_log(tmp_path: Path) -> None:
    async with served(tmp_path, "--batch-seconds", "0.5") as merit:
        client = openai.AsyncOpenAI(base_url=f"{merit.url}/v1", api_key=CONSUMER_KEY, max_retries=0)
        few = b"".join(line for line, _ in zip(lines(), range(3), strict=False))
        file = await client.files.create(file=("in.jsonl", few), purpose="batch")
        batch = await client.batches.create(
            input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
        )
        assert batch.status == "validating"
        await client.close()
        await eventually(lambda: len(merit.log) == 3, f"not booked: {merit.log} {merit.errors}", seconds=90)
        told = [json.loads(line) for line in merit.log]
    assert {line["service_tier"] for line in told} == {"batch"}
    assert len({line["request"].split("/")[0] for line in told}) == 1
