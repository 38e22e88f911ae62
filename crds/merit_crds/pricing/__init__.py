"""What a request costs. Integers throughout: money is pico-dollars (1e-12 USD), rates are pico-dollars per token."""

from merit_crds.pricing.ceiling import TEXT, Media, TooDear, too_dear
from merit_crds.pricing.context_tiers import price_details, rates_in_force, text_cost, tier_in_force
from merit_crds.pricing.cost import CostDetails, SpecialTokens, Usage, cost, cost_details, special_rates, usd
from merit_crds.pricing.daily import DailyWindow, daily_windows
from merit_crds.pricing.in_force import InForce, in_force, timed
from merit_crds.pricing.service_tiers import BATCH, STANDARD, charge_of
from merit_crds.pricing.stamp import price_version, stamped, stamped_excess

__all__ = [
    "BATCH",
    "STANDARD",
    "TEXT",
    "CostDetails",
    "DailyWindow",
    "InForce",
    "Media",
    "SpecialTokens",
    "TooDear",
    "Usage",
    "charge_of",
    "cost",
    "cost_details",
    "daily_windows",
    "in_force",
    "price_details",
    "price_version",
    "rates_in_force",
    "special_rates",
    "stamped",
    "stamped_excess",
    "text_cost",
    "tier_in_force",
    "timed",
    "too_dear",
    "usd",
]
