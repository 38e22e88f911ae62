"""Consumer: who may call which routes, with which key, how often, and for how much money."""

from typing import Literal

from pydantic import Field

from merit_crds.v1alpha1.fields import Amount, Name, ObjectRef, Part, SecretKeySelector, TimeZone, listed


class RouteRef(ObjectRef):
    """A ModelRoute that the consumer may call."""


class ConsumerCache(Part):
    """What is kept of this consumer's answers."""

    generation: Name = Field(
        description="Change it to any other name, and no answer that was kept for this consumer before is served again."
    )


class ConsumerLimits(Part):
    """How much of the fleet the consumer may use: all data-plane pods together."""

    requests_per_minute: int | None = Field(
        default=None, ge=1, le=100_000_000, description="Requests in any 60 seconds; more are refused with 429."
    )
    tokens_per_minute: int | None = Field(
        default=None,
        ge=1,
        le=1_000_000_000_000,
        description="Tokens in any 60 seconds, input and output, as expected before the call and corrected after it.",
    )
    concurrent_requests: int | None = Field(
        default=None, ge=1, le=1_000_000, description="Requests being served at once."
    )


class BudgetSpec(Part):
    """What the consumer may spend in a day or a month of the calendar."""

    period: Literal["Day", "Month"] = Field(description="It begins anew at midnight, or at midnight of the first.")
    amount: Amount = Field(description="USD, of what requests cost at the prices of ProviderPricing.")
    time_zone: TimeZone | None = Field(default=None, description="Whose midnight; default UTC.")
    tier_when_spent: Name | None = Field(
        default=None,
        description="Once it is spent, requests go to the route's tier of this name, where it has one, and are still"
        " counted. Without it, and on a route without such a tier, they are refused with 429 until the next period.",
    )


class ConsumerSpec(Part):
    """Who may call which routes, with which key, how often, and for how much money."""

    api_keys: tuple[SecretKeySelector, ...] = Field(
        min_length=1,
        max_length=8,
        description="Keys of at least 16 characters, sent as 'Authorization: Bearer'; two during a rotation.",
        json_schema_extra=listed(keys=("name", "key")),
    )
    routes: tuple[RouteRef, ...] = Field(
        default=(),
        max_length=256,
        description="Routes that this consumer may call; every ModelRoute of this namespace when empty.",
        json_schema_extra=listed(),
    )
    limits: ConsumerLimits | None = Field(default=None, description="How much of the fleet it may use; default all.")
    budgets: tuple[BudgetSpec, ...] = Field(
        default=(),
        max_length=2,
        description="What it may spend; all of them hold.",
        json_schema_extra=listed(keys=("period",)),
    )
    cache: ConsumerCache | None = Field(default=None, description="What is kept of this consumer's answers.")
