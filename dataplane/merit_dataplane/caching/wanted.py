"""What a request wants of the cache."""

from typing import NamedTuple

from merit_dataplane.caching.controls import Controls
from merit_dataplane.snapshots.cache_plan import CachePlan


class Wanted(NamedTuple):
    """Of one request."""

    key: bytes
    plan: CachePlan
    controls: Controls
