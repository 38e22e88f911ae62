"""`merit fake-provider` as a process, on the event loop that it has there; and the end of the one inside a test."""

import asyncio
import json
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from merit_dataplane.cli import main
from merit_dataplane.fake_provider.behaviour import Behaviour
from merit_dataplane.fake_provider.server import FakeProvider
from tests.support.gateway import eventually

pytestmark = pytest.mark.slow

CHAT = {"model": "m", "messages": [{"role": "user", "content": "Hello"}]}


def test_a_process_serves_resets_after_whole_events_and_ends_silently() -> None:
    command = [sys.executable, "-m", "merit_dataplane.fake_provider", "--listen", "127.0.0.1:0", "--name", "acme"]
    command += ["--api-key", "one", "--api-key-env", "VENDOR_KEY", "--models", "m, n", "--seed", "3"]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "VENDOR_KEY": "two"},
    ) as process:
        try:
            assert process.stdout
            assert process.stderr
            line = process.stdout.readline()
            assert line.startswith("fake-provider acme listening on http://127.0.0.1:")
            assert line.endswith("/v1\n")
            url = line.split()[-1]
            for key in ("one", "two"):
                with httpx.Client(base_url=url, headers={"authorization": f"Bearer {key}"}) as http:
                    assert [m["id"] for m in http.get("/models").json()["data"]] == ["m", "n"]
                    assert http.post("/chat/completions", json=CHAT).json()["model"] == "m"
            root = url.removesuffix("/v1")
            httpx.put(f"{root}/_fake/behaviour", json={"fault": "reset_at_chunk", "chunk": 3, "times": 1})
            assert events_before_reset(url) == 3
            httpx.put(f"{root}/_fake/behaviour", json={"fault": "reset", "times": 1})
            with pytest.raises(httpx.ReadError):
                httpx.post(f"{url}/chat/completions", json=CHAT, headers={"authorization": "Bearer one"})
            httpx.put(f"{root}/_fake/behaviour", json={"fault": "hang", "times": -1})
            with pytest.raises(httpx.ReadTimeout):
                httpx.post(f"{url}/chat/completions", json=CHAT, headers={"authorization": "Bearer one"}, timeout=0.05)
            process.send_signal(signal.SIGTERM)
            assert process.wait(5) == 0
            assert process.stderr.read() == ""
        finally:
            process.kill()


def events_before_reset(url: str) -> int:
    """What was sent before a reset must arrive, whatever the loop does with what is written and then aborted."""
    data, headers = b"", {"authorization": "Bearer one"}
    try:
        with httpx.stream("POST", f"{url}/chat/completions", json={**CHAT, "stream": True}, headers=headers) as made:
            for piece in made.iter_raw():
                data += piece
    except httpx.ReadError:
        return data.count(b"\n\n")
    raise AssertionError("the stream was not reset")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--listen", "nowhere"], "must be HOST:PORT"),
        (["--latency", "-1"], "latency: must be"),
        (["--failure-rate", "2"], "failure_rate: must be"),
        (["--api-key-env", "MERIT_TEST_NOT_SET"], "MERIT_TEST_NOT_SET: the variable is not set"),
        (["--recordings", "EMPTY"], "has no recording"),
    ],
)
def test_a_wrong_command_line_is_told(
    arguments: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [str(tmp_path) if argument == "EMPTY" else argument for argument in arguments]
    with pytest.raises(SystemExit) as ended:
        main(["fake-provider", *given])
    assert ended.value.code == 2
    assert words in capsys.readouterr().err


async def test_the_end_waits_for_no_request(caplog: pytest.LogCaptureFixture) -> None:
    async def ends(behaviour: Behaviour, *, stream: bool) -> float:
        async with httpx.AsyncClient() as http:
            async with FakeProvider(behaviour) as provider:
                body = {**CHAT, "stream": stream}
                call = asyncio.create_task(http.post(f"{provider.url}/chat/completions", json=body))
                await eventually(lambda: provider.stats.in_flight == 1, "not asked")
                started = time.perf_counter()
            took = time.perf_counter() - started
            with pytest.raises(httpx.NetworkError):
                await call
            assert provider.stats.in_flight == 0
            return took

    seconds = await asyncio.gather(
        ends(Behaviour(fault="hang"), stream=False),
        ends(Behaviour(latency=60), stream=False),
        ends(Behaviour(fault="hang_at_chunk", chunk=1), stream=True),
        ends(Behaviour(chunk_interval=60), stream=True),
    )
    assert max(seconds) < 0.9  # uvicorn's own patience is 1 s
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_the_end_and_a_client_that_leaves_may_coincide() -> None:
    async with FakeProvider(Behaviour(fault="hang")) as provider, httpx.AsyncClient() as http:
        call = asyncio.create_task(http.post(f"{provider.url}/chat/completions", json=CHAT))
        await eventually(lambda: provider.stats.in_flight == 1, "not asked")
        for _ in range(4):  # while the request is being given up, it is given up again
            provider.vendor.close()
            await asyncio.sleep(0)
        with pytest.raises(httpx.NetworkError):
            await call


async def test_a_request_that_comes_during_the_end_is_reset_without_a_word(caplog: pytest.LogCaptureFixture) -> None:
    async with FakeProvider(Behaviour(fault="hang")) as provider, httpx.AsyncClient() as http:
        assert (await http.get(f"{provider.url}/models")).status_code == 200
        provider.vendor.close()
        with pytest.raises(httpx.NetworkError):
            await http.post(f"{provider.url}/chat/completions", json=CHAT)
    assert provider.stats.requests == 0
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_a_port_can_be_taken_again_at_once() -> None:
    async with FakeProvider() as first:
        port = int(first.url.split(":")[2].removesuffix("/v1"))
    async with FakeProvider(port=port, name="second") as second, httpx.AsyncClient() as http:
        assert second.url == first.url
        assert json.loads((await http.get(f"{second.url}/models")).text)["data"][0]["owned_by"] == "second"
