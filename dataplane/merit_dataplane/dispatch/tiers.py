"""Classification by rules: a request to its tier."""

from merit_dataplane.snapshots.tables import Headers, RoutePlan, TierPlan, When
from merit_dataplane.wire.openai_request import Call


def classify(route: RoutePlan, call: Call, headers: Headers) -> TierPlan:
    """The first tier one of whose conditions holds; the last tier takes the rest."""
    tiers = route.tiers
    if len(tiers) == 1:
        return tiers[0]
    for tier in tiers[:-1]:
        for when in tier.when:
            if _holds(when, call, headers):
                return tier
    return tiers[-1]


def named(route: RoutePlan, name: str) -> TierPlan | None:
    """A route's tier of this name."""
    return next((tier for tier in route.tiers if tier.name == name), None) if name else None


def _holds(when: When, call: Call, headers: Headers) -> bool:
    return (
        when.at_least <= call.input_tokens < when.below
        and not when.features & ~call.features
        and all(header in headers for header in when.headers)
        and (when.last_message is None or when.last_message.search(call.last_user_text()) is not None)
    )
