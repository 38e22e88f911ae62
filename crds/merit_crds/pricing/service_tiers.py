"""Service tiers: what a request asks for with `service_tier`, and what its answer says that it got."""

from merit_crds.snapshot.model import Charge, Tariff

STANDARD = frozenset({"", "auto", "default", "standard", "standard_only", "on_demand"})
"""Words of vendors for the tier that `prices` are of."""
BATCH = "batch"
"""The tier by whose prices the lines of a batch are charged."""


def charge_of(tariff: Tariff, service_tier: str) -> Charge | None:
    """What a request costs in a service tier; None where the price list has no price for it."""
    if service_tier in STANDARD:
        return tariff
    return next((tier for tier in tariff.service_tiers if tier.name == service_tier), None)
