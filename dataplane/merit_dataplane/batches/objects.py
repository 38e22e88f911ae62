"""A provider's files and batches as one consumer sees them: with its ids, its names and its metadata."""

from typing import Any

from merit_dataplane.batches.ids import Ids, Kept, Kind
from merit_dataplane.batches.labels import (
    BatchLabel,
    FileLabel,
    hash_of,
    hash_of_endpoint,
    read_metadata,
    read_name,
)
from merit_dataplane.batches.shelf import ProviderShelf

Object = dict[str, Any]
ENDED = frozenset({"completed", "failed", "expired", "cancelled"})
"""A batch's statuses after which nothing changes any more."""
_FILES_OF_A_BATCH = ("output_file_id", "error_file_id")


def shown_file(ids: Ids, shelf: ProviderShelf, consumer: str, found: Object, *, batch: str = "") -> Object:
    """A file object. `batch`: the vendor's id of the batch that wrote it."""
    provider, endpoint = shelf.key
    made = {**found, "id": ids.text(Kind.FILE, Kept(provider, endpoint, str(found.get("id", "")), batch), consumer)}
    name = found.get("filename")
    if isinstance(name, str):
        own = read_name(ids, provider, name)
        made["filename"] = own[1] if own is not None else name
        if batch:
            made["filename"] = name.replace(batch, ids.text(Kind.BATCH, Kept(provider, endpoint, batch), consumer))
    return made


def shown_batch(ids: Ids, shelf: ProviderShelf, consumer: str, found: Object) -> Object:
    """A batch object."""
    provider, endpoint = shelf.key
    own_id = str(found.get("id", ""))
    made = {**found, "id": ids.text(Kind.BATCH, Kept(provider, endpoint, own_id), consumer)}
    if isinstance(given := found.get("input_file_id"), str):
        made["input_file_id"] = ids.text(Kind.FILE, Kept(provider, endpoint, given), consumer)
    for name in _FILES_OF_A_BATCH:
        if isinstance(given := found.get(name), str) and given:
            made[name] = ids.text(Kind.FILE, Kept(provider, endpoint, given, own_id), consumer)
    label = read_metadata(ids, provider, found.get("metadata"))
    if label is not None:
        made["endpoint"] = f"/v1/{label[0].operation}"
        made["metadata"] = label[1]
    return made


def own_file(ids: Ids, shelf: ProviderShelf, consumer: str, found: Object) -> FileLabel | None:
    """Its label, where it is this consumer's, kept here."""
    name = found.get("filename")
    read = read_name(ids, shelf.key[0], name) if isinstance(name, str) else None
    if read is None or read[0].consumer != hash_of(consumer) or read[0].endpoint != hash_of_endpoint(shelf.key[1]):
        return None
    return read[0]


def own_batch(ids: Ids, shelf: ProviderShelf, consumer: str, found: Object) -> BatchLabel | None:
    """The same of a batch."""
    label = label_of(ids, shelf, found)
    return label if label is not None and label.consumer == consumer else None


def label_of(ids: Ids, shelf: ProviderShelf, found: Object) -> BatchLabel | None:
    """Of anybody's batch that was created through Merit, here."""
    read = read_metadata(ids, shelf.key[0], found.get("metadata"))
    return read[0] if read is not None and read[0].endpoint == hash_of_endpoint(shelf.key[1]) else None
