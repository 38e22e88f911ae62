"""Schemes of authentication, from a Provider's YAML to what the vendor sees."""

import asyncio
import base64
import contextlib
import json
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google.auth import jwt
from google.auth.crypt import RSAVerifier

from tests.support.gateway import Running, eventually, gateway, says, scripted
from tests.support.resources import CONSUMER, prices, route

pytestmark = pytest.mark.asyncio(loop_scope="session")

KEY = "sk-canary+with/odd=letters"
ASK: Any = {"model": "chat", "messages": [{"role": "user", "content": "Hello"}]}
ANSWER = b'{"choices":[{"index":0,"message":{"role":"assistant","content":"Hi"},"finish_reason":"stop"}]}'


@dataclass
class Vendor:
    """Notes what it gets; says what it is told."""

    heads: list[str] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    status: str = "200 OK"
    body: bytes = ANSWER

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            self.heads.append(head)
            length = int(head.lower().split("content-length: ")[1].split("\r\n")[0])
            self.bodies.append(await reader.readexactly(length))
            said = (
                f"HTTP/1.1 {self.status}\r\ncontent-type: application/json\r\ncontent-length: {len(self.body)}\r\n\r\n"
            )
            writer.write(said.encode() + self.body)
            await writer.drain()
        writer.close()


@contextlib.asynccontextmanager
async def listening(vendor: Vendor) -> AsyncIterator[str]:
    async with await asyncio.start_server(vendor.serve, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def documents(url: str, credentials: str, secrets: dict[str, str], extra: str = "", name: str = "a") -> list[str]:
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "vendor-keys"}, "stringData": secrets}
    return [
        f"""
apiVersion: merit.dev/v1alpha1
kind: Provider
metadata: {{name: {name}}}
spec:
  protocol: OpenAI
  endpoints: [{{name: main, url: "{url}"}}]
  credentials: {credentials}
  {extra}
""",
        json.dumps(secret),
        prices(name, "1", "1"),
    ]


async def test_a_key_in_a_header_of_any_name_and_parameters_of_every_url() -> None:
    vendor = Vendor()
    async with listening(vendor) as url:
        credentials = "{header: {name: api-key, prefix: 'Key ', value: {name: vendor-keys, key: k}}}"
        made = documents(url, credentials, {"k": KEY}, 'query: [{name: api-version, value: "2024-10-21"}]')
        async with gateway(*made, route("a"), CONSUMER) as merit:
            assert (await merit.post(ASK)).status_code == 200
    assert vendor.heads[0].startswith("POST /chat/completions?api-version=2024-10-21 HTTP/1.1")
    assert f"api-key: Key {KEY}\r\n" in vendor.heads[0]
    assert "authorization" not in vendor.heads[0].lower()


async def test_a_key_in_the_query_is_seen_by_the_vendor_alone(caplog: pytest.LogCaptureFixture) -> None:
    vendor = Vendor(status="400 Bad Request")
    vendor.body = f"no such key: {KEY} or /v1?key=sk-canary%2Bwith%2Fodd%3Dletters".encode()
    credentials = "{query: {name: key, value: {name: vendor-keys, key: k}}}"
    with caplog.at_level(logging.DEBUG):
        async with (
            listening(vendor) as url,
            gateway(*documents(url, credentials, {"k": KEY}), route("a"), CONSUMER) as merit,
        ):
            refused = await merit.post(ASK)
            assert refused.status_code == 400
            seen = [refused.text, str(refused.headers), await merit.metrics(), merit.log_text()]
            tables = merit.parts.holder.tables
            seen += [repr(tables.routes["default/chat"].tiers[0].targets[0]) if tables else "", caplog.text]
            dump = await merit.http.get(f"{merit.admin_url}/v1/snapshot")
            seen.append(dump.text)
        # nobody there: the error names the place, not the URL
        async with gateway(*documents(url, credentials, {"k": KEY}), route("a"), CONSUMER) as merit:
            failed = await merit.post(ASK)
            assert failed.status_code == 502
            seen += [failed.text, merit.log_text(), caplog.text]
    assert "POST /chat/completions?key=sk-canary%2Bwith%2Fodd%3Dletters HTTP/1.1" in vendor.heads[0]
    assert not [text for text in seen if "canary" in text]


# ---- Google


def service_account(token_url: str) -> tuple[dict[str, str], rsa.RSAPrivateKey]:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    account = {"type": "service_account", "client_email": "merit@p.iam.gserviceaccount.com", "private_key": pem}
    return {"account": json.dumps(account | {"token_uri": token_url})}, key


GOOGLE = "{google: {serviceAccountKey: {name: vendor-keys, key: account}}}"


@contextlib.asynccontextmanager
async def with_tokens(vendor: Vendor, tokens: Vendor) -> AsyncIterator[tuple[Running, rsa.RSAPrivateKey, list[str]]]:
    async with listening(vendor) as url, listening(tokens) as token_url:
        secrets, key = service_account(f"{token_url}/token")
        made = [*documents(url, GOOGLE, secrets), route("a"), CONSUMER]
        async with gateway(*made) as merit:
            yield merit, key, made


async def test_a_service_accounts_token_is_fetched_before_the_first_request_and_kept_over_snapshots() -> None:
    vendor, tokens = Vendor(), Vendor(body=b'{"access_token":"ya29.canary-1","expires_in":3599,"token_type":"Bearer"}')
    async with with_tokens(vendor, tokens) as (merit, key, made):
        await eventually(lambda: len(tokens.bodies) == 1, "no token is fetched ahead")
        for _ in range(3):
            assert (await merit.post(ASK)).status_code == 200
        await merit.apply(*made, prices("b", "1", "1"), complete=False)
        assert (await merit.post(ASK)).status_code == 200
    assert len(tokens.bodies) == 1
    assert all("Authorization: Bearer ya29.canary-1\r\n" in head for head in vendor.heads)
    asked = parse_qs(tokens.bodies[0].decode())
    assert asked["grant_type"] == ["urn:ietf:params:oauth:grant-type:jwt-bearer"]
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    claims = jwt.decode(asked["assertion"][0], verify=False)
    assert RSAVerifier.from_string(public).verify(
        asked["assertion"][0].rsplit(".", 1)[0].encode(), _unpadded(asked["assertion"][0].rsplit(".", 1)[1])
    )
    assert claims["iss"] == "merit@p.iam.gserviceaccount.com"
    assert claims["aud"].endswith("/token")
    assert claims["scope"] == "https://www.googleapis.com/auth/cloud-platform"


def _unpadded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


async def test_without_a_token_another_provider_answers_and_the_log_says_why(caplog: pytest.LogCaptureFixture) -> None:
    vendor = Vendor()
    tokens = Vendor(status="400 Bad Request", body=b'{"error":"invalid_grant","error_description":"Invalid JWT."}')
    async with scripted(says(ANSWER)) as second, listening(vendor) as url, listening(tokens) as token_url:
        secrets, _ = service_account(f"{token_url}/token")
        made = documents(url, GOOGLE, secrets)
        made += documents(second, "{apiKey: {name: vendor-keys, key: account}}", {}, name="b")[::2]
        made[3] = made[3].replace("credentials: {apiKey: {name: vendor-keys, key: account}}", "")
        with caplog.at_level(logging.WARNING):
            async with gateway(*made, route("a", "b"), CONSUMER) as merit:
                got = await merit.post(ASK)
                assert got.headers["x-merit-provider"] == "b"
                assert got.headers["x-merit-attempts"] == "2"
                assert 'outcome="no_credential"' in await merit.metrics()
    assert not vendor.heads
    assert "Provider default/a: Google token: no token from 127.0.0.1: 400 invalid_grant: Invalid JWT." in caplog.text


async def test_a_token_endpoint_at_a_metadata_server_is_not_asked(caplog: pytest.LogCaptureFixture) -> None:
    vendor = Vendor()
    async with listening(vendor) as url:
        secrets, _ = service_account("http://169.254.169.254/token")
        with caplog.at_level(logging.WARNING):
            async with gateway(*documents(url, GOOGLE, secrets), route("a"), CONSUMER) as merit:
                got = await merit.post(ASK)
                assert got.status_code == 502
                assert "no_credential" in got.text
    assert "169.254.169.254 is an address that no provider has" in caplog.text


async def test_a_tokens_value_is_taken_out_of_a_vendors_error() -> None:
    vendor = Vendor(status="400 Bad Request", body=b"bad token ya29.canary-1")
    tokens = Vendor(body=b'{"access_token":"ya29.canary-1","expires_in":3599}')
    async with with_tokens(vendor, tokens) as (merit, _, _made):
        got = await merit.post(ASK)
    assert "bad token ***" in got.text


async def test_the_pods_own_identity_is_for_the_namespaces_that_it_names(caplog: pytest.LogCaptureFixture) -> None:
    made = documents("https://aiplatform.googleapis.com/v1", "{google: {ambient: true}}", {"k": KEY})
    with caplog.at_level(logging.WARNING):
        async with gateway(*made, route("a"), CONSUMER) as merit:
            got = await merit.post(ASK)
    assert got.status_code == 502
    assert "no_credential" in got.text
    assert (
        "Provider default/a: the pod's own identity is for the namespaces that its --ambient-credentials" in caplog.text
    )
