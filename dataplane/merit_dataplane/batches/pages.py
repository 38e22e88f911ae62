"""A consumer's own things among those of an account: pages of the provider's, filtered, one shelf after the other.

A provider lists what belongs to all who use its account. Who is looked for may have little of that, so pages are read
until there are enough, up to a bound. The cursor is an id of the consumer's own: never one of somebody else's.
"""

from collections.abc import AsyncGenerator, Callable, Sequence
from typing import NamedTuple

from merit_dataplane.batches.shelf import Object, ProviderShelf, Query, listed

_MOST_PAGES = 50


class Start(NamedTuple):
    """Where a list goes on."""

    shelf: tuple[str, str]
    id: str
    """The vendor's, after which it does."""


async def walk(
    shelves: Sequence[ProviderShelf],
    path: Callable[[ProviderShelf], str],
    query: Query,
    page: int,
    start: Start | None,
) -> AsyncGenerator[tuple[ProviderShelf, Object], None]:
    """Everything that is there, in the provider's order."""
    started, pages = start is None, 0
    for shelf in shelves:
        after = ""
        if not started and start is not None:
            if shelf.key != start.shelf:
                continue
            started, after = True, start.id
        while pages < _MOST_PAGES:
            pages += 1
            more = (("after", after),) if after else ()
            found = await shelf.ask("GET", path(shelf), (*query, ("limit", str(page)), *more))
            things = listed(found)
            for one in things:
                yield shelf, one
            last = str(things[-1].get("id", "")) if things else ""
            if not found.get("has_more") or not last or last == after:
                break
            after = last


def page_of(shown: list[Object], limit: int) -> Object:
    """OpenAI's list of the first `limit` of these."""
    page = shown[:limit]
    return {
        "object": "list",
        "data": page,
        "first_id": page[0]["id"] if page else None,
        "last_id": page[-1]["id"] if page else None,
        "has_more": len(shown) > limit,
    }
