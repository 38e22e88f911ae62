"""The custom resources of group merit.dev, version v1alpha1, exactly as users write them.

Every list and string is bounded, so that the API server can estimate the cost of the rules. No defaults that depend on
anything but the field itself: the operator never writes into a spec.
"""

from pydantic import BaseModel

from merit_crds.v1alpha1.commitments import CommitmentSpec
from merit_crds.v1alpha1.consumer import BudgetSpec, ConsumerLimits, ConsumerSpec, RouteRef
from merit_crds.v1alpha1.deviation import Deviation
from merit_crds.v1alpha1.model_route import (
    CachePolicy,
    CandidateSpec,
    Condition,
    FeedbackPolicy,
    MaxPrice,
    ModelRouteSpec,
    Objectives,
    TierSpec,
    TypicalRequest,
)
from merit_crds.v1alpha1.prices import ContextTierSpec, Prices
from merit_crds.v1alpha1.provider import EndpointSpec, Limits, ProviderSpec, ProviderTimeouts
from merit_crds.v1alpha1.provider_pricing import (
    ModelPricing,
    PeriodSpec,
    ProviderPricingSpec,
    ServiceTierSpec,
    TariffSpec,
)
from merit_crds.v1alpha1.retry import HedgingPolicy, RetryPolicy
from merit_crds.v1alpha1.schedules import ScheduleSpec

SPECS: dict[str, type[BaseModel]] = {
    "Provider": ProviderSpec,
    "ProviderPricing": ProviderPricingSpec,
    "ModelRoute": ModelRouteSpec,
    "Consumer": ConsumerSpec,
}
"""Kind to the model of its spec."""

__all__ = [
    "SPECS",
    "BudgetSpec",
    "CachePolicy",
    "CandidateSpec",
    "CommitmentSpec",
    "Condition",
    "ConsumerLimits",
    "ConsumerSpec",
    "ContextTierSpec",
    "Deviation",
    "EndpointSpec",
    "FeedbackPolicy",
    "HedgingPolicy",
    "Limits",
    "MaxPrice",
    "ModelPricing",
    "ModelRouteSpec",
    "Objectives",
    "PeriodSpec",
    "Prices",
    "ProviderPricingSpec",
    "ProviderSpec",
    "ProviderTimeouts",
    "RetryPolicy",
    "RouteRef",
    "ScheduleSpec",
    "ServiceTierSpec",
    "TariffSpec",
    "TierSpec",
    "TypicalRequest",
]
