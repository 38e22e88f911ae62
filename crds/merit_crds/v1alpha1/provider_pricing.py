"""ProviderPricing: what a provider charges, per model."""

from typing import Literal

from pydantic import Field

from merit_crds.v1alpha1.commitments import CommitmentSpec
from merit_crds.v1alpha1.deviation import Deviation
from merit_crds.v1alpha1.fields import (
    CurrencyCode,
    Date,
    ExchangeRate,
    Instant,
    ModelName,
    Name,
    ObjectName,
    Part,
    Percent,
    Tokens,
    listed,
)
from merit_crds.v1alpha1.prices import ContextTiers, Prices
from merit_crds.v1alpha1.schedules import ScheduleSpec

Capability = Literal[
    "Streaming",
    "Tools",
    "ParallelTools",
    "JsonObject",
    "JsonSchema",
    "Images",
    "Audio",
    "Logprobs",
    "Embeddings",
    "Responses",
    "AssistantPrefix",
    "Moderation",
    "ImageGeneration",
    "ImageEdits",
    "ImageVariations",
    "Speech",
    "Transcription",
    "Translation",
    "Batches",
    "Files",
]
"""AssistantPrefix: goes on from the beginning of an answer that it is given. Batches: takes the lines of a batch, at
the prices of its service tier `batch`. Files: its provider keeps files of other purposes."""


class ProviderRef(Part):
    """A Provider in the same namespace: whoever sets its prices owns it."""

    name: ObjectName = Field(description="Name of the Provider.")


class ModelSchedule(Deviation):
    """What a model costs while a schedule holds."""

    name: Name = Field(description="One of spec.schedules.")


class ServiceTierSpec(Deviation):
    """What a model costs in another service tier than the standard one."""

    name: Name = Field(description="As in the request's field `service_tier`, such as flex, priority or batch.")


class TariffSpec(Part):
    """What a model costs: its prices and what deviates from them."""

    prices: Prices = Field(description="USD per million tokens, decimal strings.")
    context_tiers: ContextTiers = Field(
        default=(),
        description="Prices of requests with a long input; no price may fall from one to the next above.",
    )
    service_tiers: tuple[ServiceTierSpec, ...] = Field(
        default=(),
        max_length=8,
        description="Prices of service tiers: percentOff is off what holds at the time, prices hold at all hours.",
        json_schema_extra=listed(keys=("name",)),
    )
    schedules: tuple[ModelSchedule, ...] = Field(
        default=(),
        max_length=8,
        description="Prices at certain hours; the first that holds counts.",
        json_schema_extra=listed(keys=("name",)),
    )


class PeriodSpec(TariffSpec):
    """What a model costs from an instant on."""

    valid_from: Instant = Field(description="Instant from which it holds, inclusive.")
    valid_to: Instant | None = Field(
        default=None, description="Instant from which it no longer holds; never, if absent."
    )


class ModelPricing(TariffSpec):
    """One model: its prices and what it can do."""

    model: ModelName = Field(description="The vendor's name of the model.")
    billed_by: Literal["Start", "Completion"] = Field(
        default="Start",
        description="Which instant of a request says what period and schedule it is billed by; default Start.",
    )
    periods: tuple[PeriodSpec, ...] = Field(
        default=(),
        max_length=8,
        description="Other prices for a time. While one holds, it replaces prices, contextTiers, serviceTiers and "
        "schedules, those that it lacks too; of several that hold, the one with the latest validFrom counts.",
        json_schema_extra=listed(keys=("validFrom",)),
    )
    capabilities: tuple[Capability, ...] = Field(
        default=("Streaming",),
        max_length=32,
        description="What the model can do; default Streaming. A request that uses more is not sent to it.",
        json_schema_extra=listed(unique=True),
    )
    context_window: Tokens | None = Field(
        default=None, description="Input and output tokens together; unknown when absent."
    )
    max_output_tokens: Tokens | None = Field(default=None, description="Most output tokens of one answer.")


class CurrencySpec(Part):
    """A currency other than USD, at a rate that is yours to keep up to date."""

    code: CurrencyCode = Field(description="ISO 4217 code of the currency of all prices of this list.")
    usd_per_unit: ExchangeRate = Field(description="USD for one unit of it, decimal string.")
    as_of: Date = Field(description="Date of that rate.")


class ProviderPricingSpec(Part):
    """What one provider charges."""

    provider_ref: ProviderRef = Field(description="The Provider that these prices are of.")
    currency: CurrencySpec | None = Field(default=None, description="Of all prices of this list; default USD.")
    discount_percent: Percent | None = Field(
        default=None, description="Percent off every price of this list: the account's discount."
    )
    max_price_move_factor: int | None = Field(
        default=None,
        ge=2,
        le=1_000_000,
        description="A change that moves a price by more than this factor, up or down, is held back unless the "
        "annotation merit.dev/accept-price-moves names the model (or is *); default 10.",
    )
    schedules: tuple[ScheduleSpec, ...] = Field(
        default=(),
        max_length=16,
        description="Hours of the week at which models may cost something else.",
        json_schema_extra=listed(keys=("name",)),
    )
    commitments: tuple[CommitmentSpec, ...] = Field(
        default=(),
        max_length=16,
        description="What has been committed to with the vendor, and is paid whether it is used or not. Of several "
        "that cover a request, the one whose period ends first is drawn from first.",
        json_schema_extra=listed(keys=("name",)),
    )
    models: tuple[ModelPricing, ...] = Field(
        min_length=1,
        max_length=256,
        description="Prices by model.",
        json_schema_extra=listed(keys=("model",)),
    )
