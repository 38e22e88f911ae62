"""Client libraries that people use, against a gateway in front of a simulated vendor: text, stream, a tool call."""

import asyncio
import contextlib
import json
import re
import shutil
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from merit_dataplane import fake_provider
from tests.sdk.environments import node_with, python_with
from tests.support.gateway import eventually
from tests.support.merit_process import MERIT, Merit, merit_serve
from tests.support.resources import CONSUMER, CONSUMER_KEY, PROVIDER_KEY, prices, provider, route

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
_HERE = Path(__file__).parent / "clients"
_RECORDINGS = Path(fake_provider.__file__).parent / "recordings"
_PLAIN, _STREAM = "chat-gpt-4.1-mini.json", "chat-stream-gpt-4o-mini.json"
_TOOLS = "tools-mistral-large.json"


@contextlib.asynccontextmanager
async def _shop(folder: Path) -> AsyncIterator[Merit]:
    """A gateway over a vendor that has one recording of each kind."""
    recordings, resources = folder / "recordings", folder / "resources"
    recordings.mkdir()
    resources.mkdir()
    for name in (_PLAIN, _STREAM, _TOOLS):
        shutil.copyfile(_RECORDINGS / name, recordings / name)
    vendor = await asyncio.create_subprocess_exec(
        MERIT, "fake-provider", "--listen", "127.0.0.1:0", "--recordings", recordings, "--api-key", PROVIDER_KEY,
        stdout=PIPE, stderr=PIPE,
    )  # fmt: skip
    try:
        if vendor.stdout is None:
            raise AssertionError("it was given a pipe")
        found = re.search(rb"http://[\d.]+:\d+", await vendor.stdout.readline())
        if found is None:
            raise AssertionError("the vendor does not say where it is")
        url = found[0].decode() + "/v1"
        text = "\n---\n".join((CONSUMER, provider("vendor", url), prices("vendor", "1", "2"), route("vendor")))
        (resources / "all.yaml").write_text(text)
        async with merit_serve(resources) as merit:
            yield merit
    finally:
        vendor.kill()
        await vendor.communicate()


def _recorded(name: str) -> str:
    body = json.loads((_RECORDINGS / name).read_text())["body"]
    if not body.startswith("data:"):
        return str(json.loads(body)["choices"][0]["message"]["content"])
    chunks = [json.loads(line[5:]) for line in body.splitlines() if line.startswith("data:") and "[DONE]" not in line]
    return "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks if chunk["choices"])


@pytest.mark.parametrize("client", ["langchain", "llamaindex", "pydantic_ai", "instructor", "vercel", "openai"])
async def test_a_client_works_unchanged(client: str, tmp_path: Path) -> None:
    if client in {"vercel", "openai"}:
        if shutil.which("npm") is None:
            pytest.skip("its packages come from npm, and there is none")
        folder = await asyncio.to_thread(node_with, "clients-node", _HERE / "node")
        command: list[Any] = ["node", folder / "clients.js"]
    else:
        python = await asyncio.to_thread(python_with, f"clients-{client}", _HERE / f"{client}.txt")
        command = [python, _HERE / "python_clients.py"]
    async with _shop(tmp_path) as merit:
        process = await asyncio.create_subprocess_exec(
            *command, client, f"{merit.url}/v1", CONSUMER_KEY, stdout=PIPE, stderr=PIPE
        )
        out, err = await process.communicate()
        assert process.returncode == 0, err.decode()[-3000:]
        got = json.loads(out.splitlines()[-1])
        assert got["text"] == _recorded(_PLAIN)
        assert got["streamed"] == _recorded(_STREAM)
        assert got["tool"] == ["get_weather", {"city": "New York"}]
        await eventually(lambda: len(merit.log) >= 3, "requests are missing in the usage log")
        lines = [json.loads(line) for line in merit.log]
        assert {(line["status"], line["consumer"]) for line in lines} == {(200, "default/tests")}
        assert got["tokens"] in {line.get("input_tokens", 0) + line["output_tokens"] for line in lines}
