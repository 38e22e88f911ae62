"""`merit serve` from a folder and from the operator's push, in its own process."""

import asyncio
import gzip
import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx
import msgspec
import pytest

from merit_crds.push import FORMAT_HEADER, SNAPSHOT_PATH, TERM_HEADER, VERSION_HEADER
from merit_crds.snapshot import FORMAT
from tests.support.gateway import eventually, says, scripted, streams
from tests.support.merit_process import Merit, merit_serve, run_merit
from tests.support.resources import CONSUMER, CONSUMER_KEY, PROVIDER_KEY, compiled, prices, provider, route

GOOD = b'{"choices":[{"message":{"content":"good"}}],"usage":{"prompt_tokens":100,"completion_tokens":100}}'
CHUNK = b'data: {"choices":[{"index":0,"delta":{"content":"x"}}]}\n\n'
DONE = b"data: [DONE]\n\n"


@dataclass
class Folder:
    """Resources of two providers, `a` and `b`, in files as a user has them."""

    path: Path
    urls: tuple[str, str]

    def write(self, name: str, *documents: str) -> None:
        (self.path / name).write_text("\n---\n".join(documents))

    def price(self, a: str, b: str) -> None:
        self.write("prices.yaml", prices("a", a, a), prices("b", b, b))


def prepared(path: Path, urls: tuple[str, str]) -> Folder:
    path.mkdir()
    folder = Folder(path, urls)
    folder.write("providers.yaml", provider("a", urls[0]), provider("b", urls[1]))
    folder.write("routes.yaml", route("a", "b"))
    folder.write("consumers.yaml", CONSUMER)
    folder.price("1", "2")
    return folder


@pytest.fixture
async def folder(tmp_path: Path) -> AsyncIterator[Folder]:
    async with AsyncExitStack() as stack:
        a = await stack.enter_async_context(scripted(says(GOOD)))
        b = await stack.enter_async_context(scripted(says(GOOD)))
        yield prepared(tmp_path / "resources", (a, b))


async def moves_to(merit: Merit, name: str) -> None:
    async def there() -> bool:
        return await merit.provider() == name

    await eventually(there, f"traffic did not move to {name}: {merit.errors}", 10)


# ---- a folder


async def test_what_is_edited_is_in_force(folder: Folder) -> None:
    async with merit_serve(folder.path) as merit:
        folder.price("3", "2")  # at once, when the watch hardly stands
        await moves_to(merit, "b")
        answer = await merit.post()
        assert answer.headers["x-merit-cost"] == "0.0004"
        descriptors = len(os.listdir(f"/proc/{merit.process.pid}/fd"))
        for n in range(4):
            folder.price("3" if n % 2 else "1", "2")
            await moves_to(merit, "b" if n % 2 else "a")
        assert len(os.listdir(f"/proc/{merit.process.pid}/fd")) <= descriptors + 4

        async def models() -> set[str]:
            answer = await merit.http.get(f"{merit.url}/v1/models", headers={"authorization": f"Bearer {CONSUMER_KEY}"})
            return {model["id"] for model in answer.json()["data"]}

        async def has(expected: set[str]) -> bool:
            return await models() == expected

        folder.write("more.yaml", route("b", name="second", model="second"))
        await eventually(lambda: has({"chat", "second"}), "the new file is not read", 10)
        (folder.path / "more.yaml").unlink()
        await eventually(lambda: has({"chat"}), "the deleted file is still in force", 10)
        await eventually(lambda: len(merit.log) >= 6, "no usage log")
        assert {json.loads(line)["provider"] for line in merit.log} == {"default/a", "default/b"}


async def test_what_is_broken_keeps_its_last_good_form_and_is_named_with_file_and_line(folder: Folder) -> None:
    async with merit_serve(folder.path) as merit:
        before = (await merit.post()).headers["x-merit-snapshot"]
        good = prices("a", "1", "1") + "---" + prices("b", "2", "2")
        (folder.path / "prices.yaml").write_text(good.replace("  models:", "  models: ["))
        await merit.says("prices.yaml:", "WARNING")
        line = next(line for line in merit.errors if "prices.yaml:" in line)
        assert line.split("prices.yaml:")[1].split(":")[0].isdigit()
        assert (await merit.post()).headers["x-merit-snapshot"] == before
        # others' changes count meanwhile
        folder.write("routes.yaml", route("b"))
        await moves_to(merit, "b")
        folder.write("routes.yaml", route("a", "b"))
        folder.price("5", "2")
        await merit.says("resolved:", "prices.yaml")
        await moves_to(merit, "b")
        # a value that is wrong holds back its own resource only
        folder.price("0.10000001", "0.5")
        await merit.says("prices.yaml:", "must be a decimal string")

        async def cost() -> bool:
            return (await merit.post()).headers["x-merit-cost"] == "0.0001"

        await eventually(cost, "the other price is not in force", 10)
        assert await merit.provider() == "b"
        await merit.post(key="wrong-key-wrong-key")
        folder.write("consumers.yaml", CONSUMER.replace("stringData", "stringData: ["))
        await merit.says("consumers.yaml:")
        assert await merit.provider() == "b"
        merit.process.send_signal(signal.SIGTERM)
        await merit.says("draining")
        for text in (*merit.errors, *merit.log):
            assert not [key for key in (PROVIDER_KEY, CONSUMER_KEY, "wrong-key") if key in text]


async def test_without_watch_nothing_changes_and_sigint_ends_it(folder: Folder) -> None:
    async with merit_serve(folder.path, "--no-watch", "--drain-seconds", "0", "--usage-log", "off") as merit:
        folder.price("3", "2")
        await asyncio.sleep(1)
        assert await merit.provider() == "a"
        merit.process.send_signal(signal.SIGINT)
        assert await asyncio.wait_for(merit.process.wait(), 10) == 0
        assert merit.log == []


async def test_the_folder_may_be_away_for_a_while(folder: Folder, tmp_path: Path) -> None:
    async with merit_serve(folder.path) as merit:
        away = tmp_path / "away"
        folder.path.rename(away)
        await merit.says("the snapshot stays")
        assert await merit.provider() == "a"
        (away / "prices.yaml").write_text(prices("a", "3", "3") + "---" + prices("b", "2", "2"))
        away.rename(folder.path)
        await moves_to(merit, "b")


async def test_keys_from_the_environment(folder: Folder) -> None:
    consumer = CONSUMER.replace(CONSUMER_KEY, '"${MERIT_TEST_KEY}"')
    folder.write("consumers.yaml", consumer)
    async with merit_serve(folder.path, env={"MERIT_TEST_KEY": "key-from-the-environment"}) as merit:
        assert (await merit.post(key="key-from-the-environment")).status_code == 200
        assert (await merit.post(key="${MERIT_TEST_KEY}")).status_code == 401
    code, out, err = await run_merit("validate", folder.path)
    assert code == 1
    assert "consumers.yaml:" in out
    assert "environment variable 'MERIT_TEST_KEY' is not set: set it" in out
    assert "problem" in err


async def test_keys_from_files_and_their_rotation(folder: Folder, tmp_path: Path) -> None:
    secrets = tmp_path / "secrets"
    for name, value in (("consumer-keys/tests", "key-from-a-file-0001\n"), ("provider-keys/key", "sk-from-a-file")):
        (secrets / name).parent.mkdir(parents=True, exist_ok=True)
        (secrets / name).write_text(value)
    folder.write("consumers.yaml", CONSUMER.split("---")[0])
    async with merit_serve(folder.path, "--secrets", secrets) as merit:
        assert (await merit.post(key="key-from-a-file-0001")).status_code == 200
        (secrets / "provider-keys" / "binary").write_bytes(b"\xff\xfe")  # must not end the watch
        await merit.says("no UTF-8 text")
        (secrets / "consumer-keys" / "tests").write_text("key-from-a-file-0002")

        async def rotated() -> bool:
            return (await merit.post(key="key-from-a-file-0002")).status_code == 200

        await eventually(rotated, "the rotated key is not in force", 10)
        assert (await merit.post(key="key-from-a-file-0001")).status_code == 401


# ---- the end


async def test_sigterm_drains(tmp_path: Path) -> None:
    slow = streams(*[CHUNK] * 25, DONE, seconds_between=0.1)
    async with scripted(slow) as a, scripted(says(GOOD)) as b:
        folder = prepared(tmp_path / "resources", (a, b))
        folder.write("second.yaml", route("b", name="second", model="second"))
        async with merit_serve(folder.path, "--drain-seconds", "1.2") as merit:
            stream = asyncio.create_task(merit.post({"stream": True}))
            await asyncio.sleep(0.3)
            merit.process.send_signal(signal.SIGTERM)
            await merit.says("draining for 1.2 s")
            assert await merit.ready() == 503
            assert (await merit.http.get(f"{merit.admin_url}/livez")).status_code == 200
            async with httpx.AsyncClient() as fresh:  # new connections during the delay
                for _ in range(8):
                    headers = {"authorization": f"Bearer {CONSUMER_KEY}"}
                    body = {"model": "second", "messages": [{"role": "user", "content": "x"}]}
                    answer = await fresh.post(f"{merit.url}/v1/chat/completions", json=body, headers=headers)
                    assert (answer.status_code, answer.headers["connection"]) == (200, "close")
                    await asyncio.sleep(0.1)
            answer = await stream
            assert answer.content == CHUNK * 25 + DONE
            assert await asyncio.wait_for(merit.process.wait(), 10) == 0
            await merit.says("stopped")
            assert len([line for line in merit.log if '"Streaming"' in line]) == 1


async def test_the_grace_period_bounds_the_end(tmp_path: Path) -> None:
    async with scripted(streams(CHUNK, ends=False)) as a, scripted(says(GOOD)) as b:
        folder = prepared(tmp_path / "resources", (a, b))
        async with merit_serve(folder.path, "--drain-seconds", "0", "--grace-seconds", "1") as merit:
            stream = asyncio.create_task(merit.post({"stream": True}))
            await asyncio.sleep(0.3)
            merit.process.send_signal(signal.SIGTERM)
            assert await asyncio.wait_for(merit.process.wait(), 10) == 0
            with pytest.raises(httpx.RemoteProtocolError):
                await stream
            assert not merit.said("Traceback")


# ---- from the operator


async def test_from_the_operator_and_over_a_restart(folder: Folder, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("the-push-token\n")
    what = compiled(*(file.read_text() for file in sorted(folder.path.iterdir())))
    mounted = tmp_path / "mounted"
    arguments = (
        "--from-operator", "--token-file", token, "--state-dir", tmp_path / "state", "--last-good-dir", mounted,
        "--drain-seconds", "0",
    )  # fmt: skip
    async with merit_serve(*arguments, env={"POD_NAME": "pod-1"}) as merit:
        assert await merit.ready() == 503
        assert (await merit.post()).status_code == 503
        pushed = {"snapshot": msgspec.Raw(what.body), "credentials": dict(what.credentials)}
        answer = await merit.http.put(
            merit.admin_url + SNAPSHOT_PATH,
            content=gzip.compress(msgspec.json.encode(pushed)),
            headers={
                "authorization": "Bearer the-push-token", VERSION_HEADER: what.version, TERM_HEADER: "4",
                FORMAT_HEADER: str(FORMAT),
            },
        )  # fmt: skip
        assert (answer.status_code, answer.json()["pod"]) == (200, "pod-1")
        assert await merit.ready() == 200
        assert await merit.provider() == "a"
        merit.process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(merit.process.wait(), 10) == 0

    # the operator is away: the pod's disk has the snapshot, the mounted Secret the credentials, which come late
    async with merit_serve(*arguments) as merit:
        assert await merit.ready() == 503
        mounted.mkdir()
        (mounted / "credentials").write_bytes(msgspec.json.encode(dict(what.credentials)))

        async def restored() -> bool:
            return await merit.ready() == 200

        await eventually(restored, f"not restored: {merit.errors}", 10)
        assert (await merit.post()).headers["x-merit-snapshot"] == what.version[:12]


# ---- command lines that are wrong

WRONG: list[tuple[list[str], str]] = [
    ([], "give either DIR or --from-operator"),
    ([".", "--from-operator"], "give either DIR or --from-operator"),
    (["--from-operator"], "--from-operator needs --token-file: without a token no push is accepted"),
    (["/nonexistent"], "/nonexistent is no folder"),
    ([".", "--secrets", "/nonexistent"], "/nonexistent is no folder"),
    ([".", "--tls-cert", "x"], "--tls-cert and --tls-key belong together"),
    ([".", "--listen", "8080"], "must be HOST:PORT, such as 127.0.0.1:8080 (is '8080')"),
    ([".", "--cache", "many"], "must be a whole number of MiB (is 'many')"),
]


async def test_wrong_command_lines() -> None:
    for (arguments, words), (code, out, err) in zip(
        WRONG, await asyncio.gather(*(run_merit("serve", *arguments) for arguments, _ in WRONG)), strict=True
    ):
        assert (code, out) == (2, ""), arguments
        assert words in err
        assert "Traceback" not in err


async def test_a_port_that_is_taken(folder: Folder) -> None:
    async with merit_serve(folder.path) as merit:
        address = merit.url.removeprefix("http://")
        code, _, err = await run_merit("serve", folder.path, "--listen", address, "--admin-listen", "127.0.0.1:0")
        assert code == 1
        assert f"can't listen on {address}: Address already in use" in err
        assert "Traceback" not in err
