"""ProviderPricing: what a provider charges, per model."""

from typing import Literal

from pydantic import Field

from merit_crds.v1alpha1.fields import ModelName, ObjectName, Part, Price, Tokens, listed

Capability = Literal[
    "Streaming", "Tools", "ParallelTools", "JsonObject", "JsonSchema", "Images", "Audio", "Logprobs", "Embeddings"
]


class ProviderRef(Part):
    """A Provider in the same namespace: whoever sets its prices owns it."""

    name: ObjectName = Field(description="Name of the Provider.")


class Prices(Part):
    """Decimal strings in USD per million tokens; `request` in USD per call."""

    input: Price = Field(description="Input tokens that the provider did not read from its cache.")
    output: Price = Field(description="Output tokens, reasoning included.")
    cached_input: Price | None = Field(
        default=None, description="Input tokens read from the provider's cache; default: input."
    )
    cache_write: Price | None = Field(
        default=None, description="Input tokens written to the provider's cache; default: input."
    )
    request: Price | None = Field(default=None, description="Per call, in USD; default 0.")


class ModelPricing(Part):
    """One model: its prices and what it can do."""

    model: ModelName = Field(description="The vendor's name of the model.")
    prices: Prices = Field(description="USD per million tokens, decimal strings.")
    capabilities: tuple[Capability, ...] = Field(
        default=("Streaming",),
        max_length=16,
        description="What the model can do; default Streaming. A request that uses more is not sent to it.",
        json_schema_extra=listed(unique=True),
    )
    context_window: Tokens | None = Field(
        default=None, description="Input and output tokens together; unknown when absent."
    )
    max_output_tokens: Tokens | None = Field(default=None, description="Most output tokens of one answer.")


class ProviderPricingSpec(Part):
    """What one provider charges."""

    provider_ref: ProviderRef = Field(description="The Provider that these prices are of.")
    models: tuple[ModelPricing, ...] = Field(
        min_length=1,
        max_length=256,
        description="Prices by model.",
        json_schema_extra=listed(keys=("model",)),
    )
