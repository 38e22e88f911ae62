"""How requests to a provider prove who sends them; `scheme` on the wire is the field of `spec.credentials`.

Where a key is None the pod's own identity is used.
"""

from typing import TypeAlias

from merit_crds.snapshot.entry import CredentialRef, Entry


class HeaderKey(Entry, frozen=True, tag="header", tag_field="scheme"):
    """A key in a header."""

    name: str
    prefix: str
    value: CredentialRef


class QueryKey(Entry, frozen=True, tag="query", tag_field="scheme"):
    """A key in the URL's query."""

    name: str
    value: CredentialRef


class GoogleToken(Entry, frozen=True, tag="google", tag_field="scheme"):
    """Google's OAuth 2 access tokens."""

    service_account_key: CredentialRef | None = None
    """A JSON document."""


class AwsSignature(Entry, frozen=True, tag="aws", tag_field="scheme"):
    """Signature Version 4."""

    region: str
    service: str
    access_key_id: CredentialRef | None = None
    secret_access_key: CredentialRef | None = None
    session_token: CredentialRef | None = None


class AzureToken(Entry, frozen=True, tag="azure", tag_field="scheme"):
    """Entra ID's access tokens."""

    scope: str
    authority: str
    """URL."""
    tenant_id: str = ""
    client_id: str = ""
    client_secret: CredentialRef | None = None


Scheme: TypeAlias = HeaderKey | QueryKey | GoogleToken | AwsSignature | AzureToken


def keys_of(scheme: Scheme | None) -> dict[str, CredentialRef]:
    """The credentials that a scheme names, by its field."""
    named = {} if scheme is None else {field: getattr(scheme, field) for field in scheme.__struct_fields__}
    return {field: value for field, value in named.items() if isinstance(value, CredentialRef)}
