"""Entra ID's tokens, from a Provider's YAML to what Azure sees."""

import asyncio
import json
import logging
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

from merit_crds.snapshot import AzureToken
from merit_dataplane.authentication.azure import OfThePod
from merit_dataplane.authentication.contract import AuthenticationError
from merit_dataplane.upstream.http1_client import Http1Client
from tests.support.gateway import eventually, gateway
from tests.support.resources import CONSUMER, prices, route
from tests.support.vendor import Vendor, listening

pytestmark = pytest.mark.asyncio(loop_scope="session")

SECRET = "app~secret-canary"
ANSWER = b'{"choices":[{"index":0,"message":{"role":"assistant","content":"Hi"},"finish_reason":"stop"}]}'
ASK: Any = {"model": "chat", "messages": [{"role": "user", "content": "Hello"}]}
SCOPE = "https://cognitiveservices.azure.com/.default"
TENANT = "72f988bf-86f1-41af-91ab-2d7cd011db47"


def token(value: str, seconds: int | str = 3599) -> bytes:
    return json.dumps({"token_type": "Bearer", "access_token": value, "expires_in": seconds}).encode()


def documents(url: str, authority: str) -> list[str]:
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "azure"}, "stringData": {"secret": SECRET}}
    provider = f"""
apiVersion: merit.dev/v1alpha1
kind: Provider
metadata: {{name: a}}
spec:
  protocol: AzureOpenAI
  endpoints: [{{name: main, url: "{url}"}}]
  credentials:
    azure:
      tenantId: {TENANT}
      clientId: app-1
      clientSecret: {{name: azure, key: secret}}
      authority: "{authority}"
"""
    return [provider, json.dumps(secret), prices("a", "1", "1"), route("a"), CONSUMER]


async def test_client_credentials_are_exchanged_ahead_and_the_token_is_sent() -> None:
    vendor, entra = Vendor(ANSWER), Vendor(token("eyJ.canary-1"))
    async with (
        listening(vendor) as url,
        listening(entra) as authority,
        gateway(*documents(url, authority)) as merit,
    ):
        await eventually(lambda: len(entra.bodies) == 1, "no token is fetched ahead")
        for _ in range(2):
            assert (await merit.post(ASK)).status_code == 200
    assert entra.heads[0].startswith(f"POST /{TENANT}/oauth2/v2.0/token HTTP/1.1\r\n")
    assert {name: values[0] for name, values in parse_qs(entra.bodies[0].decode()).items()} == {
        "grant_type": "client_credentials",
        "client_id": "app-1",
        "client_secret": SECRET,
        "scope": SCOPE,
    }
    assert len(entra.bodies) == 1
    for head in vendor.heads:
        assert "/openai/deployments/a-model/chat/completions?api-version=" in head
        assert "Authorization: Bearer eyJ.canary-1\r\n" in head
        assert "api-key" not in head.lower()


@pytest.mark.slow
async def test_a_token_is_renewed_before_it_ends() -> None:
    vendor, entra = Vendor(ANSWER), Vendor(token("eyJ.1", 14))
    async with (
        listening(vendor) as url,
        listening(entra) as authority,
        gateway(*documents(url, authority)) as merit,
    ):
        await eventually(lambda: len(entra.bodies) == 1, "no token is fetched ahead")
        entra.body = token("eyJ.2", 3599)
        await eventually(lambda: len(entra.bodies) == 2, "the token is not renewed", seconds=20)
        assert (await merit.post(ASK)).status_code == 200
    assert "Authorization: Bearer eyJ.2\r\n" in vendor.heads[-1]


async def test_what_entra_says_is_in_the_log_and_the_secret_is_not(caplog: pytest.LogCaptureFixture) -> None:
    told = {
        "error": "invalid_client",
        "error_description": "AADSTS7000222: The provided client secret keys are expired.",
    }
    vendor, entra = Vendor(ANSWER), Vendor(json.dumps(told).encode(), status="401 Unauthorized")
    with caplog.at_level(logging.DEBUG):
        async with (
            listening(vendor) as url,
            listening(entra) as authority,
            gateway(*documents(url, authority)) as merit,
        ):
            got = await merit.post(ASK)
    assert (got.status_code, vendor.heads) == (502, [])
    assert "no_credential" in got.text
    assert "Provider default/a: Entra token: no token from 127.0.0.1: 401 invalid_client: AADSTS7000222" in caplog.text
    assert SECRET not in caplog.text + got.text


def ambient(client_id: str = "") -> AzureToken:
    return AzureToken(scope=SCOPE, authority="https://login.microsoftonline.com", client_id=client_id)


async def fetched(scheme: AzureToken) -> tuple[str, float]:
    client = Http1Client()
    try:
        made = await OfThePod(scheme, client)()
    finally:
        await client.close()
    return made.value, made.seconds


async def test_workload_identity(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    entra = Vendor(token("eyJ.pod"))
    file = tmp_path / "token"
    file.write_text("eyJ.of-the-service-account\n")
    async with listening(entra) as url:
        monkeypatch.setenv("AZURE_FEDERATED_TOKEN_FILE", str(file))
        monkeypatch.setenv("AZURE_TENANT_ID", TENANT)
        monkeypatch.setenv("AZURE_CLIENT_ID", "of-the-pod")
        monkeypatch.setenv("AZURE_AUTHORITY_HOST", f"{url}/")
        assert await fetched(ambient()) == ("eyJ.pod", 3599)
        file.write_text("eyJ.rotated")
        await fetched(ambient(client_id="another"))
    first, second = ({k: v[0] for k, v in parse_qs(body.decode()).items()} for body in entra.bodies)
    assert first == {
        "grant_type": "client_credentials",
        "client_id": "of-the-pod",
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        "client_assertion": "eyJ.of-the-service-account",
        "scope": SCOPE,
    }
    assert (second["client_assertion"], second["client_id"]) == ("eyJ.rotated", "another")
    assert entra.heads[0].startswith(f"POST /{TENANT}/oauth2/v2.0/token ")


async def test_a_managed_identity_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Vendor(token("eyJ.machine", "86399"))
    async with listening(machine) as url:
        monkeypatch.delenv("AZURE_FEDERATED_TOKEN_FILE", raising=False)
        monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", url)
        assert await fetched(ambient(client_id="c-1")) == ("eyJ.machine", 86399)
        machine.status = "400 Bad Request"
        with pytest.raises(AuthenticationError, match="the machine has no identity at Azure: status 400"):
            await fetched(ambient())
    asked = machine.heads[0].lower()
    assert asked.startswith(
        "get /metadata/identity/oauth2/token?api-version=2018-02-01&resource=https%3a%2f%2fcognitive"
    )
    assert "client_id=c-1" in asked
    assert "metadata: true\r\n" in asked


@pytest.mark.parametrize(
    ("env", "words"),
    [
        ({"AZURE_FEDERATED_TOKEN_FILE": "/nowhere/token"}, "wants AZURE_TENANT_ID and AZURE_CLIENT_ID"),
        (
            {"AZURE_FEDERATED_TOKEN_FILE": "/nowhere/token", "AZURE_TENANT_ID": "t", "AZURE_CLIENT_ID": "c"},
            "can't be read: No such file",
        ),
        ({"AZURE_POD_IDENTITY_AUTHORITY_HOST": "http://127.0.0.1:1"}, "no identity at Azure: ConnectError"),
    ],
)
async def test_a_pod_without_an_identity_says_so(
    monkeypatch: pytest.MonkeyPatch, env: dict[str, str], words: str
) -> None:
    for name in ("AZURE_FEDERATED_TOKEN_FILE", "AZURE_TENANT_ID", "AZURE_CLIENT_ID"):
        monkeypatch.delenv(name, raising=False)
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(AuthenticationError, match=words):
        await asyncio.wait_for(fetched(ambient()), 20)
