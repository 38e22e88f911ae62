"""What all parts of the snapshot are made of."""

import msgspec


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """Base of all parts. Defaults are written out: msgspec omits them by identity, which would break the digest.

    Hidden from the garbage collector: parts never hold a cycle, and tens of thousands make each collection longer.
    """


class CredentialRef(Entry, frozen=True):
    """Where a credential is, never what it is."""

    ref: str
    """`namespace/secret/key`."""
    fingerprint: str
    """First 12 hex digits of a SHA-256 of the value: changes with a rotation, gives nothing away."""
