"""The truth: lists that replace the store. kopf's events only say earlier that something is new.

kopf keeps objects that were deleted during a gap of its watch; the next list prunes them.
"""

import logging
from collections.abc import Iterable

from merit_crds import GROUP, VERSION
from merit_crds.definition import NAMES
from merit_operator.client import KubeClient
from merit_operator.store import Store

log = logging.getLogger("merit.reflector")


class Reflector:
    """Lists the four kinds, cluster-wide or in some namespaces."""

    def __init__(self, client: KubeClient, store: Store, namespaces: Iterable[str]):
        self._client, self._store, self._namespaces = client, store, tuple(namespaces)

    async def relist(self) -> bool:
        """Lists everything; whether anything that matters was not known. Raises KubeError, and then changes nothing."""
        listed = {}
        for kind, names in NAMES.items():
            lists = [await self._client.list(path) for path in self._paths(names.plural)]
            oldest = min((version for _, version in lists), key=int)
            listed[kind] = ([item for items, _ in lists for item in items], oldest)
        changed = [self._store.replace(kind, objects, version) for kind, (objects, version) in listed.items()]
        return any(changed)

    def _paths(self, plural: str) -> list[str]:
        if not self._namespaces:
            return [f"/apis/{GROUP}/{VERSION}/{plural}"]
        return [f"/apis/{GROUP}/{VERSION}/namespaces/{n}/{plural}" for n in self._namespaces]
