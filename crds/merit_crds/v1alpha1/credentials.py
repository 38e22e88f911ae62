"""How Merit proves itself to a vendor: one scheme per Provider, by keys from Secrets or the pod's own identity."""

from typing import Final

from pydantic import ConfigDict, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from merit_crds.v1alpha1.fields import (
    ClientId,
    HeaderName,
    HeaderPrefix,
    Name,
    Part,
    QueryName,
    Scope,
    SecretKeySelector,
    Tenant,
    Url,
    checked,
)

TRANSPORT_HEADERS = (
    "accept-encoding",
    "connection",
    "content-length",
    "content-type",
    "host",
    "transfer-encoding",
)
"""Nobody sets these but Merit."""
_OURS: Final = f"header can't be one of {', '.join(TRANSPORT_HEADERS)}: Merit sets them"
_ONE_SCHEME: Final = "credentials need exactly one of apiKey, header, query, google, aws, azure"
_SCHEMES = ("apiKey", "header", "query", "google", "aws", "azure")
_KEY_OR_AMBIENT: Final = "needs either ambient: true, or its keys"
_AMBIENT: Final = "(has(self.ambient) && self.ambient)"
_AWS: Final = f"aws {_KEY_OR_AMBIENT}: accessKeyId and secretAccessKey"
_AWS_TOGETHER: Final = "aws: accessKeyId and secretAccessKey belong together, and a sessionToken to both"
_AZURE: Final = f"azure {_KEY_OR_AMBIENT}: tenantId, clientId and clientSecret"
_AZURE_KEYS: Final = "(has(self.tenantId) && has(self.clientId) && has(self.clientSecret))"


class HeaderKeySpec(Part):
    """A key in a header of any name."""

    name: HeaderName = Field(
        description="Header name, such as api-key.",
        json_schema_extra=checked((f"!(self.lowerAscii() in {list(TRANSPORT_HEADERS)})", _OURS)),
    )
    prefix: HeaderPrefix | None = Field(
        default=None, description="Before the key, with its space: 'Bearer '. Default: none."
    )
    value: SecretKeySelector = Field(description="The key.")

    @field_validator("name")
    @classmethod
    def _not_ours(cls, name: str) -> str:
        if name.lower() in TRANSPORT_HEADERS:
            raise PydanticCustomError("transport_header", _OURS)
        return name


class QueryKeySpec(Part):
    """A key in the query of the URL; for vendors that know no other way, since proxies write URLs down."""

    name: QueryName = Field(description="Name of the query parameter, such as key.")
    value: SecretKeySelector = Field(description="The key.")


class GoogleSpec(Part):
    """An OAuth 2 access token of Google's, fetched and renewed before it ends; for Vertex AI."""

    model_config = ConfigDict(
        json_schema_extra=checked((f"has(self.serviceAccountKey) != {_AMBIENT}", f"google {_KEY_OR_AMBIENT}"))
    )

    service_account_key: SecretKeySelector | None = Field(
        default=None, description="A service account's key: the JSON file as Google gives it."
    )
    ambient: bool = Field(
        default=False,
        description="The data-plane pod's own identity: workload identity, or the machine's service account.",
    )

    @model_validator(mode="after")
    def _one(self) -> "GoogleSpec":
        if (self.service_account_key is not None) == self.ambient:
            raise PydanticCustomError("scheme", f"google {_KEY_OR_AMBIENT}")
        return self


class AwsSpec(Part):
    """Each request signed by Signature Version 4; for Amazon Bedrock."""

    model_config = ConfigDict(
        json_schema_extra=checked(
            (f"(has(self.accessKeyId) && has(self.secretAccessKey)) != {_AMBIENT}", _AWS),
            ("has(self.accessKeyId) == has(self.secretAccessKey)", _AWS_TOGETHER),
            ("!has(self.sessionToken) || has(self.accessKeyId)", _AWS_TOGETHER),
        )
    )

    region: Name = Field(description="The region that requests are signed for, such as us-east-1.")
    service: Name = Field(default="bedrock", description="The service that they are signed for, default bedrock.")
    access_key_id: SecretKeySelector | None = Field(default=None, description="The access key's id.")
    secret_access_key: SecretKeySelector | None = Field(default=None, description="The access key's secret.")
    session_token: SecretKeySelector | None = Field(default=None, description="Of temporary keys.")
    ambient: bool = Field(
        default=False,
        description="The data-plane pod's own identity: a role of its service account, or the machine's.",
    )

    @model_validator(mode="after")
    def _one(self) -> "AwsSpec":
        have = self.access_key_id is not None
        if have != (self.secret_access_key is not None) or (self.session_token is not None and not have):
            raise PydanticCustomError("scheme", _AWS_TOGETHER)
        if have == self.ambient:
            raise PydanticCustomError("scheme", _AWS)
        return self


class AzureSpec(Part):
    """An access token of Microsoft Entra ID, fetched and renewed before it ends; for Azure OpenAI and AI Foundry."""

    model_config = ConfigDict(
        json_schema_extra=checked(
            (f"{_AZURE_KEYS} || {_AMBIENT}", _AZURE),
            (f"!(has(self.clientSecret) && {_AMBIENT})", _AZURE),
        )
    )

    tenant_id: Tenant | None = Field(default=None, description="The directory's (tenant) id.")
    client_id: ClientId | None = Field(
        default=None, description="The application's (client) id; with ambient, of a managed identity."
    )
    client_secret: SecretKeySelector | None = Field(default=None, description="The application's secret.")
    ambient: bool = Field(
        default=False,
        description="The data-plane pod's own identity: workload identity, or a managed identity of the machine.",
    )
    scope: Scope = Field(
        default="https://cognitiveservices.azure.com/.default",
        description="What the token is for, default https://cognitiveservices.azure.com/.default.",
    )
    authority: Url = Field(
        default="https://login.microsoftonline.com",
        description="Where tokens are given, default https://login.microsoftonline.com; another in sovereign clouds.",
    )

    @model_validator(mode="after")
    def _one(self) -> "AzureSpec":
        whole = None not in (self.tenant_id, self.client_id, self.client_secret)
        if not (whole or self.ambient) or (self.ambient and self.client_secret is not None):
            raise PydanticCustomError("scheme", _AZURE)
        return self


class Credentials(Part):
    """How Merit proves itself to the vendor: by one of these."""

    model_config = ConfigDict(
        json_schema_extra=checked(
            (f"[{', '.join(f'has(self.{name})' for name in _SCHEMES)}].filter(given, given).size() == 1", _ONE_SCHEME)
        )
    )

    api_key: SecretKeySelector | None = Field(
        default=None,
        description="The key, sent as the protocol wants it: 'Authorization: Bearer', or 'x-api-key' to Anthropic.",
    )
    header: HeaderKeySpec | None = Field(default=None, description="A key in a header of another name.")
    query: QueryKeySpec | None = Field(default=None, description="A key in the URL's query.")
    google: GoogleSpec | None = Field(default=None, description="An access token of Google's, for Vertex AI.")
    aws: AwsSpec | None = Field(default=None, description="Signed requests, for Amazon Bedrock.")
    azure: AzureSpec | None = Field(default=None, description="An access token of Entra ID, for Azure.")

    @model_validator(mode="after")
    def _one(self) -> "Credentials":
        if sum(getattr(self, name) is not None for name in Credentials.model_fields) != 1:
            raise PydanticCustomError("scheme", _ONE_SCHEME)
        return self

    @property
    def scheme(self) -> HeaderKeySpec | QueryKeySpec | GoogleSpec | AwsSpec | AzureSpec | None:
        """The one that is given, unless it is `apiKey`."""
        return self.header or self.query or self.google or self.aws or self.azure
