"""What a provider keeps for us beside a file or a batch: whose it is, and what it was expected to cost.

A file has only its name for that: `merit.LABEL.NAME`. It is at most 255 bytes, since some servers make it a name on a
disk; so it holds hashes. A batch has metadata: the key `merit`, and `merit-2` … where 512 characters are too few.
"""

import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec

from merit_dataplane.batches.ids import Ids, decoded, encoded
from merit_dataplane.feedback.answer_id import Labels
from merit_dataplane.wire.errors import RequestError

_MOST_BYTES = 255
_MOST_NAME_BYTES = 150
_MOST_PAIRS, _MOST_VALUE = 16, 512
_MARK, _FILE, _BATCH = "merit", b"label of a file", b"label of a batch"
_encode = msgspec.msgpack.Encoder().encode


class FileLabel(msgspec.Struct, frozen=True, array_like=True):
    """Of a file. What counts lines is 0 where it is no batch's."""

    consumer: bytes
    """Its hash."""
    endpoint: int
    """Hash of the provider's endpoint that it is kept at: others may lead to the same place."""
    mark: str = ""
    """Of the candidate that its lines are for, as in ids of answers."""
    operation: str = ""
    """Path of the endpoint that its lines call."""
    lines: int = 0
    input_tokens: int = 0
    cost: int = 0
    """Nano-dollars, expected."""


class BatchLabel(msgspec.Struct, frozen=True, array_like=True):
    """Of a batch."""

    consumer: str
    endpoint: int
    labels: Labels
    operation: str
    lines: int
    cost: int
    """Nano-dollars that were booked into budgets when it was created."""
    pod: str
    """Hash of the name of the pod that created it."""
    number: bytes
    """Random: tells it from others of the same file."""


_file_label = msgspec.msgpack.Decoder(FileLabel)
_batch_label = msgspec.msgpack.Decoder(BatchLabel)


def hash_of(name: str) -> bytes:
    """Of a consumer."""
    return hashlib.blake2b(name.encode(), digest_size=8, person=b"merit owner").digest()


def hash_of_endpoint(name: str) -> int:
    """In few bytes."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=2, person=b"merit endpoint").digest())


def labelled_name(ids: Ids, provider: str, label: FileLabel, name: str) -> str:
    """The name that the provider gets."""
    head = f"{_MARK}.{encoded(ids.seal(provider, _FILE, _encode(label)))}."
    room = min(_MOST_NAME_BYTES, _MOST_BYTES - len(head))  # a long cost leaves less
    return head + name.encode("utf-8", "replace")[-room:].decode("utf-8", "ignore")


def read_name(ids: Ids, provider: str, name: str) -> tuple[FileLabel, str] | None:
    """The label and the client's own name; None where it is no name of ours."""
    parts = name.split(".", 2)
    if len(parts) != 3 or parts[0] != _MARK:
        return None
    opened = ids.unseal(provider, _FILE, decoded(parts[1]))
    try:
        return (_file_label.decode(opened), parts[2]) if opened is not None else None
    except msgspec.MsgspecError:  # of another version of Merit
        return None


def labelled_metadata(ids: Ids, provider: str, label: BatchLabel, given: Mapping[str, Any]) -> dict[str, Any]:
    """The metadata that the provider gets. Raises RequestError (400) where there is no room for ours."""
    text = encoded(ids.seal(provider, _BATCH, _encode(label)))
    values = [text[at : at + _MOST_VALUE] for at in range(0, len(text), _MOST_VALUE)]
    made = {key: value for key, value in given.items() if not _is_ours(key)}
    if len(made) < len(given):
        raise RequestError(400, f"metadata: keys that begin with {_MARK!r} are Merit's own.", param="metadata")
    if len(made) + len(values) > _MOST_PAIRS:
        most = _MOST_PAIRS - len(values)
        raise RequestError(400, f"metadata: has {len(made)} pairs, at most {most} here.", param="metadata")
    return made | {_MARK if not place else f"{_MARK}-{place + 1}": value for place, value in enumerate(values)}


def read_metadata(ids: Ids, provider: str, metadata: object) -> tuple[BatchLabel, dict[str, Any] | None] | None:
    """The label and the client's own metadata; None where no label of ours is there."""
    if not isinstance(metadata, dict):
        return None
    ours = [str(metadata[key]) for key in sorted(key for key in metadata if _is_ours(key))]
    opened = ids.unseal(provider, _BATCH, decoded("".join(ours)))
    try:
        label = _batch_label.decode(opened) if opened is not None else None
    except msgspec.MsgspecError:  # as above
        label = None
    if label is None:
        return None
    return label, {k: v for k, v in metadata.items() if not _is_ours(k)} or None


def _is_ours(key: str) -> bool:
    return key == _MARK or key.startswith(f"{_MARK}-")


def name_of(provider: str, batch: str) -> str:
    """Of a batch, in the usage log: `batch-` and 16 hex digits."""
    return "batch-" + hashlib.blake2b(f"{provider}\0{batch}".encode(), digest_size=8).hexdigest()


def pod_of(name: str) -> str:
    """Of a pod, in labels."""
    return hashlib.blake2b(name.encode(), digest_size=6, person=b"merit pod").hexdigest()
