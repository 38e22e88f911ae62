"""How a route's answers are kept."""

from dataclasses import dataclass

from merit_crds.snapshot import RouteEntry


@dataclass(frozen=True, slots=True, eq=False)
class SemanticPlan:
    """How questions in other words share an answer."""

    embeddings: str
    """Key of the route that makes the embeddings."""
    similarity: float
    """Least cosine."""
    seconds: float
    """That an embedding is waited for."""


@dataclass(frozen=True, slots=True, eq=False)
class CachePlan:
    """How long answers of a route are kept, and whose they are."""

    seconds: float
    stale_seconds: float
    """After these, while they are fetched anew."""
    shared: bool
    """By all consumers of the route."""
    scope: tuple[bytes, ...]
    """What of the route is part of every key."""
    equal_under: frozenset[str]
    """What may differ between the last user messages of requests that share an answer."""
    headers: frozenset[bytes]
    """Names of the request's headers by which its tier may be chosen."""
    semantic: SemanticPlan | None


def cache_plan(key: str, route: RouteEntry) -> CachePlan | None:
    """Of a route, `namespace/name`; None where it keeps none."""
    if not route.cache_ttl_ms:
        return None
    alike = route.semantic
    conditions = (condition for tier in route.tiers for condition in tier.when)
    return CachePlan(
        seconds=route.cache_ttl_ms / 1000,
        stale_seconds=route.cache_stale_ms / 1000,
        shared=route.cache_shared,
        scope=(key.encode(), route.cache_generation.encode(), *(name.encode() for name in route.cache_equal_under)),
        equal_under=frozenset(route.cache_equal_under),
        headers=frozenset(name.encode() for condition in conditions for name, _ in condition.headers),
        semantic=SemanticPlan(alike.embeddings, alike.similarity, alike.timeout_ms / 1000) if alike else None,
    )
