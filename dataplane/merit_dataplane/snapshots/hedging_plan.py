"""When a route's requests are given to a second candidate as well."""

from dataclasses import dataclass

from merit_crds.snapshot import RouteEntry
from merit_dataplane.live import Live
from merit_dataplane.resilience.retry_budget import RetryBudget


@dataclass(frozen=True, slots=True, eq=False)
class HedgingPlan:
    """Of one route."""

    percentile: int
    extra_cost_ppm: int
    """Most that the second is expected to cost, in millionths of the first's expected cost."""
    share: float
    """Most hedges, as a share of the requests."""
    budget: RetryBudget
    """Requests and hedges of the last seconds."""


def late_plan() -> HedgingPlan:
    """Of a route without hedging: bounds of what is sent beside whole answers that are late."""
    return HedgingPlan(99, 2_000_000, 0.0, budget=RetryBudget())


def hedging_plan(key: str, route: RouteEntry, live: Live) -> HedgingPlan | None:
    """Of a route, `namespace/name`; None where nothing is hedged."""
    hedging = route.hedging
    if hedging is None:
        return None
    return HedgingPlan(
        hedging.percentile, hedging.extra_cost_ppm, hedging.share_ppm / 10**6, budget=live.hedge_budget(key)
    )
