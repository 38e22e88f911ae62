"""What a request wants of the cache."""

from typing import NamedTuple

from merit_dataplane.caching.controls import Controls
from merit_dataplane.snapshots.cache_plan import CachePlan
from merit_dataplane.snapshots.tables import Headers


class Wanted(NamedTuple):
    """Of one request."""

    key: bytes
    plan: CachePlan
    controls: Controls
    scope: tuple[bytes, ...]
    """Whose answers it may get: part of the key."""
    headers: Headers
    """The request's."""
