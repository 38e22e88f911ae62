"""Signature Version 4, from a Provider's YAML to what Amazon checks."""

import hashlib
import hmac
import json
import logging
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest

from merit_crds.snapshot import AwsSignature
from merit_dataplane.authentication.aws import SignedRequests
from merit_dataplane.authentication.aws_signer import AwsSigner
from merit_dataplane.authentication.contract import AuthenticationError
from tests.support.gateway import gateway
from tests.support.resources import CONSUMER, prices, route_of
from tests.support.vendor import Vendor, listening

pytestmark = pytest.mark.asyncio(loop_scope="session")

ID, SECRET, SESSION = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "session-canary+/="
ANSWER = json.dumps({
    "output": {"message": {"role": "assistant", "content": [{"text": "Hi"}]}},
    "stopReason": "end_turn",
    "usage": {"inputTokens": 1, "outputTokens": 1, "totalTokens": 2},
}).encode()  # fmt: skip
ASK: Any = {"model": "chat", "messages": [{"role": "user", "content": "Hello"}]}
WHEN = datetime(2015, 8, 30, 12, 36, tzinfo=UTC)
QUERY = "28038455d6de14eafc1f9222cf5aa6f1a96197d7deb8263271d420d138af7f11"
FORMED = "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
STS = {"X-Amz-Security-Token": "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA=="}  # fmt: skip # noqa: E501


@pytest.mark.parametrize(
    ("name", "target", "headers", "body", "signature"),
    [
        ("post-vanilla", "/", {}, b"", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
        ("post-vanilla-query", "/?Param1=value1", {}, b"", QUERY),
        ("post-x-www-form-urlencoded", "/", FORM, b"Param1=value1", FORMED),
        ("post-sts-header-before", "/", STS, b"", "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead"),
    ],
)  # fmt: skip
async def test_amazons_published_vectors(
    name: str, target: str, headers: dict[str, str], body: bytes, signature: str
) -> None:
    signer = AwsSigner("us-east-1", "service", ID, SECRET, headers.get("X-Amz-Security-Token"))
    given = {} if name == "post-sts-header-before" else headers
    made = signer.signed(f"https://example.amazonaws.com{target}", given, hashlib.sha256(body).hexdigest(), WHEN)
    assert made["Authorization"].endswith(f"Signature={signature}")


def signature_of(head: str, body: bytes, secret: str) -> str:
    """What Amazon computes from a request as it arrives."""
    line, *rest = head.strip().split("\r\n")
    target = line.split(" ")[1]
    headers = {name.lower(): value.strip() for name, value in (header.split(":", 1) for header in rest)}
    scope, signed = re.findall(r"Credential=[^/]+/([^,]+), SignedHeaders=([^,]+)", headers["authorization"])[0]
    path, _, query = target.partition("?")
    canonical = "\n".join([
        "POST",
        quote(path, safe="/-_.~"),
        "&".join(sorted(query.split("&"))) if query else "",
        *(f"{name}:{headers[name]}" for name in signed.split(";")),
        "",
        signed,
        hashlib.sha256(body).hexdigest(),
    ])  # fmt: skip
    date, region, service, end = scope.split("/")
    key = f"AWS4{secret}".encode()
    for part in (date, region, service, end):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    text = "\n".join(["AWS4-HMAC-SHA256", headers["x-amz-date"], scope, hashlib.sha256(canonical.encode()).hexdigest()])
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


def documents(url: str, credentials: str, *, model: str = "m", query: str = "") -> list[str]:
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "aws"},
        "stringData": {"id": ID, "secret": SECRET, "session": SESSION},
    }
    provider = f"""
apiVersion: merit.dev/v1alpha1
kind: Provider
metadata: {{name: a}}
spec:
  protocol: Bedrock
  endpoints: [{{name: main, url: "{url}"}}]
  credentials: {{aws: {credentials}}}
  headers: [{{name: x-amz-meta-team, value: support}}]
  {query}
"""
    tiers = f'[{{name: all, candidates: [{{provider: {{name: a}}, model: "{model}"}}]}}]'
    return [provider, json.dumps(secret), prices("a", "1", "1", model=f'"{model}"'), route_of(tiers), CONSUMER]


KEYS = "accessKeyId: {name: aws, key: id}, secretAccessKey: {name: aws, key: secret}"


@pytest.mark.parametrize(
    ("model", "query"),
    [
        ("anthropic.claude-3-haiku-20240307-v1:0", ""),
        ("arn:aws:bedrock:eu-central-1:123456789012:application-inference-profile/a1b2c3", ""),
        ("m", 'query: [{name: b, value: "2"}, {name: a, value: "x"}]'),
    ],
)
@pytest.mark.parametrize("session", [False, True])
async def test_amazon_finds_the_signature_that_it_computes_itself(model: str, query: str, session: bool) -> None:
    vendor = Vendor(ANSWER)
    credentials = f"{{region: eu-central-1, {KEYS}{', sessionToken: {name: aws, key: session}' if session else ''}}}"
    async with listening(vendor) as url, gateway(*documents(url, credentials, model=model, query=query)) as merit:
        for text in ("Hello", "Grüße"):
            asked = {**ASK, "messages": [{"role": "user", "content": text}]}
            assert (await merit.post(asked)).status_code == 200
    for head, body in zip(vendor.heads, vendor.bodies, strict=True):
        found = re.findall(r"Signature=([0-9a-f]{64})\r\n", head)
        assert found == [signature_of(head, body, SECRET)]
        assert "Credential=AKIDEXAMPLE/" in head
        assert "/eu-central-1/bedrock/aws4_request" in head
        signed = re.findall("SignedHeaders=([^,]+)", head)[0].split(";")
        assert {"host", "content-type", "x-amz-date", "x-amz-meta-team"} <= set(signed)
        assert ("x-amz-security-token" in signed) is session
        assert (f"X-Amz-Security-Token: {SESSION}\r\n" in head) is session


async def test_amazons_clock_is_followed_once_it_has_refused_ours(caplog: pytest.LogCaptureFixture) -> None:
    now = datetime.now(UTC)
    theirs = now + timedelta(minutes=20)

    def stamp(when: datetime) -> str:
        return when.strftime("%Y%m%dT%H%M%SZ")

    words = (
        f"Signature expired: {stamp(now)} is now earlier than {stamp(theirs - timedelta(minutes=5))} "
        f"({stamp(theirs)} - 5 min.)"
    )
    vendor = Vendor(json.dumps({"message": words}).encode(), status="403 Forbidden")
    vendor.headers = {"x-amzn-errortype": "InvalidSignatureException:http://x/"}
    with caplog.at_level(logging.WARNING):
        async with (
            listening(vendor) as url,
            gateway(*documents(url, f"{{region: eu-central-1, {KEYS}}}")) as merit,
        ):
            assert (await merit.post(ASK)).status_code == 502
            vendor.body, vendor.status = ANSWER, "200 OK"
            assert (await merit.post(ASK)).status_code == 200
    assert "Provider default/a: AWS refused a signature for its time: this pod's clock is 1" in caplog.text
    assert "behind AWS's" in caplog.text
    told = [re.findall(r"X-Amz-Date: (\S+)", head)[0] for head in vendor.heads]
    later = datetime.strptime(told[1], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    assert abs((later - theirs).total_seconds()) < 60


@pytest.mark.parametrize("side", ["expired", "not yet current"])
async def test_both_sides_of_the_clock_are_read(side: str) -> None:
    scheme = SignedRequests("Provider ns/a", AwsSignature(region="r", service="s"), {})
    scheme.refused(f"Signature {side}: 20260101T000000Z is … (20360101T000000Z - 15 min.)")
    assert scheme._skew > timedelta(days=3000)


async def test_keys_are_seen_by_nobody(caplog: pytest.LogCaptureFixture) -> None:
    vendor = Vendor(f'{{"message":"{SECRET} {SESSION}"}}'.encode(), status="400 Bad Request")
    vendor.headers = {"x-amzn-errortype": "ValidationException"}
    credentials = f"{{region: r, {KEYS}, sessionToken: {{name: aws, key: session}}}}"
    with caplog.at_level(logging.DEBUG):
        async with listening(vendor) as url, gateway(*documents(url, credentials)) as merit:
            refused = await merit.post(ASK)
            dump = await merit.http.get(f"{merit.admin_url}/v1/snapshot")
            seen = [refused.text, dump.text, merit.log_text(), caplog.text, await merit.metrics()]
    assert refused.status_code == 400
    assert "***" in refused.text
    assert not [text for text in seen if SECRET in text or SESSION in text]


async def headers_of(scheme: SignedRequests) -> Mapping[str, str]:
    try:
        return await scheme.headers("https://bedrock-runtime.eu-central-1.amazonaws.com/model/m/converse", {}, b"{}")
    finally:
        scheme.close()


AMBIENT = AwsSignature(region="eu-central-1", service="bedrock")


def without_identity(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ROLE_ARN", "AWS_CONTAINER_CREDENTIALS_FULL_URI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))


async def test_the_pods_identity_at_eks(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    without_identity(monkeypatch, tmp_path)
    (tmp_path / "token").write_text("token-of-the-pod")
    ends = (datetime.now(UTC) + timedelta(hours=6)).strftime("%Y-%m-%dT%H:%M:%SZ")
    agent = Vendor(
        json.dumps({"AccessKeyId": "ASIAPOD", "SecretAccessKey": "s", "Token": "t", "Expiration": ends}).encode()
    )
    async with listening(agent) as url:
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{url}/v1/credentials")
        monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", str(tmp_path / "token"))
        scheme = SignedRequests("Provider ns/a", AMBIENT, {})
        scheme.start()  # fetched before the first request
        made = await headers_of(scheme)
        assert len(agent.heads) == 1
    assert "Authorization: token-of-the-pod" in agent.heads[0]
    assert "Credential=ASIAPOD/" in made["Authorization"]
    assert made["X-Amz-Security-Token"] == "t"
    assert scheme.secrets() == (b"s", b"t")


@pytest.mark.parametrize("role", [False, True])
async def test_a_pod_without_an_identity_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Any, role: bool) -> None:
    without_identity(monkeypatch, tmp_path)
    if role:  # IRSA: asked for at STS, with a token that nobody issued
        (tmp_path / "token").write_text("no.such.token")
        monkeypatch.setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/none")
        monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(tmp_path / "token"))
        monkeypatch.setenv("AWS_REGION", "xx-nowhere-1")
    with pytest.raises(AuthenticationError) as failed:
        await headers_of(SignedRequests("Provider ns/a", AMBIENT, {}))
    expected = "STS_WEB_IDENTITY_SOURCE_FAILURE" if role else "the pod has no identity at AWS: AWS_"
    assert expected in str(failed.value)
    assert "no.such.token" not in str(failed.value)
