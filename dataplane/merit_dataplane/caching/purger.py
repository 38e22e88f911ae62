"""Ends what was kept, here and in the pods that share a Redis with this one."""

from typing import TYPE_CHECKING

from merit_dataplane.caching.purges import Purges, Scope, from_now_on

if TYPE_CHECKING:
    from merit_dataplane.caching.purge_feed import PurgeFeed


class Purger:
    """Of one process."""

    def __init__(self, purges: Purges, feed: "PurgeFeed | None"):
        self._purges, self._feed = purges, feed

    def purge(self, scopes: list[Scope]) -> bool:
        """From now on. Whether other pods hear of it."""
        ended = from_now_on(scopes)
        self._purges.add(ended)
        return self._feed is not None and self._feed.tell(ended)

    async def follow(self) -> None:
        """Hears of other pods' purges, without end; returns at once where there are none to be heard of."""
        if self._feed is not None:
            await self._feed.follow()
