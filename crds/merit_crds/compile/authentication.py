"""A Provider's `credentials` as the snapshot has them, and what is wrong with them."""

import re
from urllib.parse import urlsplit

import msgspec

from merit_crds.problems import Problem
from merit_crds.snapshot.authentication import AwsSignature, AzureToken, GoogleToken, HeaderKey, QueryKey, Scheme
from merit_crds.snapshot.entry import CredentialRef
from merit_crds.v1alpha1 import ProviderSpec
from merit_crds.v1alpha1.credentials import AwsSpec, AzureSpec, GoogleSpec, HeaderKeySpec, QueryKeySpec
from merit_crds.v1alpha1.fields import SecretKeySelector

_GOOGLES = re.compile(r"[a-z0-9.-]+\.googleapis\.com")
_REGION = r"[a-z]{2}(-[a-z]+)+-[0-9]+"
_AMAZONS = re.compile(
    rf"([a-z0-9-]+\.)?bedrock(-runtime)?(-fips)?\.{_REGION}\.((vpce\.)?amazonaws\.com(\.cn)?|api\.aws)"
)
_MICROSOFTS = re.compile(r"[a-z0-9-]+\.(openai|cognitiveservices|services\.ai)\.azure\.(com|us|cn)")
_HOSTS = {"google": _GOOGLES, "aws": _AMAZONS, "azure": _MICROSOFTS}
"""Where the pod's own identity may be shown: hosts that nobody but the vendor can have."""
_AUTHORITIES = frozenset({
    "https://login.microsoftonline.com", "https://login.microsoftonline.us", "https://login.partner.microsoftonline.cn",
    "https://login.chinacloudapi.cn",
})  # fmt: skip


def credential(namespace: str, selector: SecretKeySelector) -> CredentialRef:
    """Where a credential is; its fingerprint comes when the Secret is read."""
    return CredentialRef(ref=f"{namespace}/{selector.name}/{selector.key}", fingerprint="")


def scheme(namespace: str, spec: ProviderSpec) -> Scheme | None:
    """Any scheme but `apiKey`."""

    def key(selector: SecretKeySelector | None) -> CredentialRef | None:
        return None if selector is None else credential(namespace, selector)

    match spec.credentials and spec.credentials.scheme:
        case HeaderKeySpec() as given:
            return HeaderKey(name=given.name, prefix=given.prefix or "", value=credential(namespace, given.value))
        case QueryKeySpec() as given:
            return QueryKey(name=given.name, value=credential(namespace, given.value))
        case GoogleSpec() as given:
            return GoogleToken(service_account_key=key(given.service_account_key))
        case AwsSpec() as given:
            return AwsSignature(
                region=given.region,
                service=given.service,
                access_key_id=key(given.access_key_id),
                secret_access_key=key(given.secret_access_key),
                session_token=key(given.session_token),
            )
        case AzureSpec() as given:
            return AzureToken(
                scope=given.scope,
                authority=given.authority.rstrip("/"),
                tenant_id=given.tenant_id or "",
                client_id=given.client_id or "",
                client_secret=key(given.client_secret),
            )
    return None


def problems(spec: ProviderSpec) -> list[Problem]:
    """The pod's own identity is for its vendor alone: a Provider of anybody's must not carry it elsewhere."""
    given = spec.credentials
    if given is None:
        return []
    if given.azure is not None and given.azure.ambient and given.azure.authority.rstrip("/") not in _AUTHORITIES:
        reason = f"with ambient must be one of {', '.join(sorted(_AUTHORITIES))}"
        path = ("spec", "credentials", "azure", "authority")
        return [Problem(path=path, reason=reason, value=given.azure.authority)]
    for name, hosts in _HOSTS.items():
        chosen = getattr(given, name)
        if chosen is None or not chosen.ambient:
            continue
        return [
            Problem(
                path=("spec", "endpoints", i, "url"),
                reason=f"with credentials.{name}.ambient must be https and a host of that vendor's",
                value=endpoint.url,
            )
            for i, endpoint in enumerate(spec.endpoints)
            if not endpoint.url.startswith("https://") or not hosts.fullmatch(_host(endpoint.url))
        ]
    return []


def _host(url: str) -> str:
    try:
        return (urlsplit(url).hostname or "").rstrip(".")
    except ValueError:  # told of elsewhere
        return ""


class _AccountKey(msgspec.Struct):
    type: str = ""
    client_email: str = ""
    private_key: str = ""


_account_key = msgspec.json.Decoder(_AccountKey)


def account_key_fault(value: str) -> str:
    """Why a Secret's value is no key of a Google service account; empty when it is one. Never shows any of it."""
    try:
        given = _account_key.decode(value)
    except (ValueError, RecursionError):
        return "must be the JSON of a service account's key, as Google gives it"
    if given.type != "service_account":
        return "must be the key of a service account: its field 'type' is not 'service_account'"
    if "PRIVATE KEY" not in given.private_key or not given.client_email:
        return "must be the key of a service account: 'private_key' or 'client_email' is missing in it"
    return ""
