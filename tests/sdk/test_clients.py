"""Client libraries that people use, against a gateway in front of a simulated vendor: text, stream, a tool call."""

import asyncio
import contextlib
import json
import shutil
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from merit_dataplane import fake_provider
from tests.sdk.environments import node_with, python_with
from tests.sdk.fake_vendor import fake_vendor
from tests.support.gateway import eventually
from tests.support.merit_process import Merit, merit_serve
from tests.support.resources import CONSUMER, CONSUMER_KEY, prices, provider, route

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
_HERE = Path(__file__).parent / "clients"
_RECORDINGS = Path(fake_provider.__file__).parent / "recordings"
_PLAIN, _STREAM = "chat-gpt-4.1-mini.json", "chat-stream-gpt-4o-mini.json"
_TOOLS = "tools-mistral-large.json"


@contextlib.asynccontextmanager
async def _shop(folder: Path, protocol: str = "OpenAI") -> AsyncIterator[Merit]:
    """A gateway over a vendor that has one recording of each kind, or of another protocol all that there are."""
    recordings, resources = folder / "recordings", folder / "resources"
    recordings.mkdir()
    resources.mkdir()
    for name in (_PLAIN, _STREAM, _TOOLS):
        shutil.copyfile(_RECORDINGS / name, recordings / name)
    limited = ("--recordings", recordings) if protocol == "OpenAI" else ()
    async with fake_vendor(*limited) as at:
        url = at + _UNDER.get(protocol, "/v1")
        offered = (provider("vendor", url, protocol=protocol), prices("vendor", "1", "2"), route("vendor"))
        (resources / "all.yaml").write_text("\n---\n".join((CONSUMER, *offered)))
        async with merit_serve(resources) as merit:
            yield merit


def _recorded(name: str) -> str:
    body = json.loads((_RECORDINGS / name).read_text())["body"]
    if not body.startswith("data:"):
        return str(json.loads(body)["choices"][0]["message"]["content"])
    chunks = [json.loads(line[5:]) for line in body.splitlines() if line.startswith("data:") and "[DONE]" not in line]
    return "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks if chunk["choices"])


_UNDER = {"Bedrock": "", "Cohere": "/v2"}
_NODE = ["vercel", "openai", "responses-node", "anthropic-node"]
_HERE_ALREADY = ["responses", "anthropic"]
"""Libraries that other tests use, too."""


@pytest.mark.parametrize("client", ["langchain", "llamaindex", "pydantic_ai", "instructor", *_HERE_ALREADY, *_NODE])
async def test_a_client_works_unchanged(client: str, tmp_path: Path) -> None:
    if client in _NODE:
        if shutil.which("npm") is None:
            pytest.skip("its packages come from npm, and there is none")
        folder = await asyncio.to_thread(node_with, "clients-node", _HERE / "node")
        command: list[Any] = ["node", folder / "clients.js"]
    elif client in _HERE_ALREADY:
        command = [sys.executable, _HERE / "python_clients.py"]
    else:
        python = await asyncio.to_thread(python_with, f"clients-{client}", _HERE / f"{client}.txt")
        command = [python, _HERE / "python_clients.py"]
    async with _shop(tmp_path) as merit:
        process = await asyncio.create_subprocess_exec(
            *command, client.removesuffix("-node"), f"{merit.url}/v1", CONSUMER_KEY, stdout=PIPE, stderr=PIPE
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


@pytest.mark.parametrize("protocol", ["Bedrock", "Cohere"])
@pytest.mark.parametrize("client", _HERE_ALREADY)
async def test_a_client_in_front_of_a_vendor_of_a_third_protocol(client: str, protocol: str, tmp_path: Path) -> None:
    async with _shop(tmp_path, protocol) as merit:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            _HERE / "python_clients.py",
            client,
            f"{merit.url}/v1",
            CONSUMER_KEY,
            stdout=PIPE,
            stderr=PIPE,
        )
        out, err = await process.communicate()
        assert process.returncode == 0, err.decode()[-3000:]
        got = json.loads(out.splitlines()[-1])
        assert got["text"]
        assert got["streamed"]
        assert isinstance(got["tool"][1], dict)
        await eventually(lambda: len(merit.log) >= 3, "requests are missing in the usage log")
        lines = [json.loads(line) for line in merit.log]
        assert {line["status"] for line in lines} == {200}
        assert not any("estimated" in line for line in lines)
        assert got["tokens"] in {line.get("input_tokens", 0) + line["output_tokens"] for line in lines}
