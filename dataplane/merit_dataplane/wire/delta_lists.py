"""Lists that grow with the chunks of a stream.

An entry says its place in the whole list as `index`, as those of tool calls do: by it OpenAI's SDKs put a message
together, and they give up at an entry that has none. Sent back, it is taken off again.
"""

from typing import Any

import msgspec

_LISTS = ("citations", "annotations", "provider_blocks", "images")
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])
Delta = dict[str, Any]


class DeltaLists:
    """Of one choice."""

    __slots__ = ("_lengths",)

    def __init__(self) -> None:
        self._lengths: dict[str, int] = {}

    def numbered(self, delta: Delta) -> Delta:
        """The delta with the places of its entries. Raises ValueError for raw JSON that is no object."""
        for name in _LISTS:
            entries = delta.get(name)
            if isinstance(entries, list):
                start = self._lengths.get(name, 0)
                delta = {**delta, name: [_placed(entry, start + i) for i, entry in enumerate(entries)]}
                self._lengths[name] = start + len(entries)
        return delta


def _placed(entry: Any, place: int) -> Any:
    fields = _fields.decode(entry) if isinstance(entry, msgspec.Raw) else entry
    return {**fields, "index": place} if isinstance(fields, dict) else fields


def unplaced(entry: Delta) -> Delta:
    """A provider's own block as the provider wrote it."""
    return {name: value for name, value in entry.items() if name != "index"}
