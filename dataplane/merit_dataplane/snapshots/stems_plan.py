"""How a route shares beginnings of answers."""

from dataclasses import dataclass

from merit_crds.snapshot import RouteEntry


@dataclass(frozen=True, slots=True, eq=False)
class StemsPlan:
    """Of one route."""

    threshold: float
    held_out: float
    """Share of requests."""
    normalise: frozenset[str]
    shared: bool
    """By all consumers of the route."""
    seconds: float
    """How long a stem lasts that no answer confirms."""
    scope: tuple[bytes, ...]
    """What of the route is part of every key."""
    headers: frozenset[bytes]
    """Names of the request's headers by which its tier may be chosen."""


def stems_plan(key: str, route: RouteEntry) -> StemsPlan | None:
    """Of a route, `namespace/name`; None where it shares none."""
    stems = route.stems
    if stems is None:
        return None
    conditions = (condition for tier in route.tiers for condition in tier.when)
    return StemsPlan(
        threshold=stems.threshold,
        held_out=stems.held_out_ppm / 10**6,
        normalise=frozenset(stems.normalise),
        shared=stems.shared,
        seconds=stems.ttl_ms / 1000,
        scope=(key.encode(), stems.generation.encode(), ",".join(stems.normalise).encode()),
        headers=frozenset(name.encode() for condition in conditions for name, _ in condition.headers),
    )
