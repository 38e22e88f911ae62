"""The snapshot's bytes: canonical JSON, so that its version can be the hash of its content."""

import hashlib

import msgspec

from merit_crds.snapshot.model import Snapshot

FORMAT = 1
_encoder = msgspec.json.Encoder(order="sorted")
_decoder = msgspec.json.Decoder(Snapshot)


class InvalidSnapshotError(ValueError):
    """The bytes are no snapshot of a format that this program knows."""


def encode(snapshot: Snapshot) -> bytes:
    """Canonical bytes: equal snapshots, equal bytes."""
    return _encoder.encode(snapshot)


def version_of(body: bytes) -> str:
    """The version of a snapshot with these bytes: the SHA-256 in hex."""
    return hashlib.sha256(body).hexdigest()


def decode(body: bytes) -> Snapshot:
    """A snapshot from its bytes.

    Raises InvalidSnapshotError with the field that is wrong.
    """
    try:
        snapshot = _decoder.decode(body)
    except msgspec.MsgspecError as error:
        raise InvalidSnapshotError(str(error)) from error
    if snapshot.format != FORMAT:
        raise InvalidSnapshotError(f"format: is {snapshot.format}, this program knows {FORMAT}")
    return snapshot
