"""Provider: one account at one LLM vendor."""

from typing import Literal

from pydantic import ConfigDict, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from merit_crds.v1alpha1.credentials import TRANSPORT_HEADERS, Credentials
from merit_crds.v1alpha1.fields import (
    Duration,
    HeaderName,
    HeaderValue,
    Name,
    NamespaceGrant,
    Part,
    QueryName,
    QueryValue,
    Url,
    checked,
    listed,
)

RESERVED_HEADERS = tuple(sorted((*TRANSPORT_HEADERS, "authorization", "x-api-key")))
_VENDOR_OF_OPENAI = "vendor says what differs from the protocol OpenAI: remove it with any other protocol"
_RESERVED = f"headers can't set {', '.join(RESERVED_HEADERS)}: use credentials for keys, Merit sets the rest"


class EndpointSpec(Part):
    """One place where the provider is reached."""

    name: Name = Field(description="Name of the endpoint, unique in this provider.")
    url: Url = Field(description="Base URL up to and with the version, e.g. https://api.openai.com/v1.")
    region: Name | None = Field(default=None, description="Region, for the user's eyes and for metrics.")


class Header(Part):
    """One header added to every request to this provider."""

    name: HeaderName = Field(description="Header name.")
    value: HeaderValue = Field(description="Header value; not for secrets, it is shown in the snapshot.")


class QueryParameter(Part):
    """One parameter added to the URL of every request to this provider."""

    name: QueryName = Field(description="Parameter name, such as api-version.")
    value: QueryValue = Field(description="Its value; not for secrets, it is shown in the snapshot.")


class ProviderTimeouts(Part):
    """Limits of one attempt; a ModelRoute may narrow them."""

    connect: Duration | None = Field(default=None, description="Name, TCP and TLS together, default 2s.")
    first_byte: Duration | None = Field(
        default=None,
        description="From the request to the response's head; default 30s, and 100 ms more for each output token that "
        "is expected of an answer which is not streamed.",
    )
    first_token: Duration | None = Field(
        default=None,
        description="From the request to the first token of a stream, default 10s. The last candidate that is left "
        "is given the request's whole time.",
    )
    idle: Duration | None = Field(default=None, description="Between two pieces of a body, default 15s.")
    total: Duration | None = Field(default=None, description="A whole answer's body, default 120s.")


class Limits(Part):
    """What Merit never exceeds at this provider: all data-plane pods together."""

    concurrent_requests: int | None = Field(default=None, ge=1, le=100_000, description="Requests in flight.")
    requests_per_minute: int | None = Field(
        default=None, ge=1, le=10_000_000, description="Requests in any 60 seconds."
    )
    tokens_per_minute: int | None = Field(
        default=None,
        ge=1,
        le=1_000_000_000_000,
        description="Tokens in any 60 seconds, input and output, as expected before the call and corrected after it.",
    )


class ProviderSpec(Part):
    """One account at one LLM vendor: protocol, endpoints, credentials, limits."""

    model_config = ConfigDict(
        json_schema_extra=checked(("!has(self.vendor) || self.protocol == 'OpenAI'", _VENDOR_OF_OPENAI))
    )

    protocol: Literal[
        "OpenAI", "Anthropic", "AzureOpenAI", "Bedrock", "Cohere", "Gemini", "VertexGemini", "VertexAnthropic"
    ] = Field(
        description=(
            "The wire protocol that the vendor speaks: OpenAI's Chat Completions, the same under Azure's deployments, "
            "Anthropic's Messages, Amazon Bedrock's Converse, Cohere's v2, Google's Gemini, or the latter's and "
            "Anthropic's on Vertex AI."
        )
    )
    vendor: (
        Literal["Mistral", "DeepSeek", "Groq", "Together", "Ollama", "Perplexity", "ZAI", "GPUStack", "None"] | None
    ) = Field(
        default=None,
        description="Whose differences from the protocol OpenAI count; default: by the host of the first endpoint. "
        "'None' is none.",
    )
    endpoints: tuple[EndpointSpec, ...] = Field(
        min_length=1,
        max_length=16,
        description="Where the provider is reached; tried in this order, in tiers with a latency ceiling the fastest "
        "first.",
        json_schema_extra=listed(keys=("name",)),
    )
    credentials: Credentials | None = Field(default=None, description="Absent for a server that asks for none.")
    headers: tuple[Header, ...] = Field(
        default=(),
        max_length=16,
        description="Added to every request.",
        json_schema_extra=listed(
            keys=("name",),
            rules=[(f"self.all(h, !(h.name.lowerAscii() in {list(RESERVED_HEADERS)}))", _RESERVED)],
        ),
    )
    query: tuple[QueryParameter, ...] = Field(
        default=(),
        max_length=8,
        description="Added to the URL of every request.",
        json_schema_extra=listed(keys=("name",)),
    )
    assistant_prefix: Literal["LastMessage", "PrefixField", "ContinueFinalMessage"] = Field(
        default="LastMessage",
        description="How the beginning of an answer is given to models with the capability AssistantPrefix. "
        "LastMessage: an assistant message at the end says it all (Anthropic, OpenRouter, Groq). PrefixField: that "
        "message has `prefix: true` (DeepSeek's beta URL, Mistral). ContinueFinalMessage: the request says "
        "`continue_final_message: true` (vLLM, SGLang); default LastMessage.",
    )
    timeouts: ProviderTimeouts | None = Field(default=None, description="Limits of one attempt.")
    limits: Limits | None = Field(default=None, description="What Merit never exceeds here.")
    allowed_namespaces: tuple[NamespaceGrant, ...] = Field(
        default=(),
        max_length=64,
        description="Other namespaces whose ModelRoutes may use this provider; '*' is every one.",
        json_schema_extra=listed(unique=True),
    )

    @model_validator(mode="after")
    def _vendor_of_openai(self) -> "ProviderSpec":
        if self.vendor is not None and self.protocol != "OpenAI":
            raise PydanticCustomError("vendor", _VENDOR_OF_OPENAI)
        return self

    @field_validator("headers")
    @classmethod
    def _no_reserved_header(cls, headers: tuple[Header, ...]) -> tuple[Header, ...]:
        if any(header.name.lower() in RESERVED_HEADERS for header in headers):
            raise PydanticCustomError("reserved_header", _RESERVED)
        return headers
