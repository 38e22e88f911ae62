"""The pod's own identity at Google: federation by a file, and the machine's metadata server."""

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from google.auth.compute_engine import _metadata

from merit_crds.snapshot import GoogleToken
from merit_dataplane.authentication.contract import AuthenticationError
from merit_dataplane.authentication.google import ServiceAccount, of_the_pod
from merit_dataplane.authentication.schemes import Authentications
from merit_dataplane.upstream.http1_client import Http1Client

pytestmark = pytest.mark.asyncio(loop_scope="session")
TOKEN = b'{"access_token":"ya29.canary-pod","expires_in":3000,"token_type":"Bearer"}'


@contextlib.asynccontextmanager
async def answering(*answers: tuple[str, bytes]) -> AsyncIterator[tuple[str, list[str]]]:
    """A server that answers by the first path that fits; its address, and the heads that it got."""
    heads: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, OSError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                length = next((int(li.split(":")[1]) for li in head.lower().split("\r\n") if "content-length" in li), 0)
                heads.append(head + (await reader.readexactly(length)).decode())
                body = next((body for path, body in answers if path in head.split("\r\n")[0]), b"{}")
                kind = "application/json" if body[:1] == b"{" else "text/html"
                writer.write(
                    f"HTTP/1.1 200 OK\r\nmetadata-flavor: Google\r\ncontent-type: {kind}\r\n"
                    f"content-length: {len(body)}\r\n\r\n".encode()
                    + body
                )
                await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}", heads


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """No identity at all; a folder for one."""
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
    monkeypatch.setattr(_metadata, "_GCE_METADATA_HOST", "127.0.0.1:1")
    return tmp_path


async def test_federation_by_a_file(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with answering(("/v1/token", TOKEN)) as (address, heads):
        (nowhere / "jwt").write_text("the-pods-own-jwt")
        config = {
            "type": "external_account",
            "audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/k",
            "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
            "token_url": f"http://{address}/v1/token",
            "credential_source": {"file": str(nowhere / "jwt")},
        }
        (nowhere / "config.json").write_text(json.dumps(config))
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(nowhere / "config.json"))
        token, seconds = await of_the_pod()
    assert token == "ya29.canary-pod"
    assert 2900 < seconds <= 3000
    assert "the-pods-own-jwt" in heads[-1]


async def test_the_machines_metadata_server(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    account = b'{"email":"a@b.iam.gserviceaccount.com","scopes":["x"],"aliases":["default"]}'
    answers = (("/token", TOKEN), ("recursive=true", account), ("universe", b"googleapis.com"))
    async with answering(*answers) as (address, heads):
        monkeypatch.setattr(_metadata, "_GCE_METADATA_HOST", address)  # read from the environment at import
        token, _ = await of_the_pod()
    assert token == "ya29.canary-pod"
    assert any("metadata-flavor: google" in head.lower() for head in heads)


async def test_no_identity_is_told_without_any_value(
    nowhere: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(nowhere / "none"))
    with pytest.raises(AuthenticationError, match="the pod has no identity at Google: FileNotFoundError"):
        await of_the_pod()
    (nowhere / "user").write_text('{"type":"authorized_user","refresh_token":"canary"}')
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(nowhere / "user"))
    client = Http1Client()
    known = Authentications(client, ["default"])
    with caplog.at_level(logging.WARNING):
        found = known.of("default/v", GoogleToken(), {})
        with pytest.raises(
            AuthenticationError, match="Provider default/v: Google token: GOOGLE_APPLICATION_CREDENTIALS names neither"
        ):
            await found.headers("https://aiplatform.googleapis.com/v1", {}, b"")
    known.close()
    await client.close()
    assert "Provider default/v" in caplog.text
    assert "canary" not in caplog.text


async def test_a_key_that_is_no_pem_is_told() -> None:
    key = {"type": "service_account", "client_email": "a@b", "private_key": "PRIVATE KEY canary"}
    client = Http1Client()
    with pytest.raises(AuthenticationError, match="'private_key' is no RSA key in PEM") as refused:
        await ServiceAccount(json.dumps(key), client)()
    assert "canary" not in str(refused.value)
    await client.close()
