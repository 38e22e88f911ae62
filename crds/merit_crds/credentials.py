"""Values of credentials travel apart from the snapshot; these are the rules by which the two are matched."""

import hashlib
from collections.abc import Mapping

from merit_crds.snapshot.authentication import keys_of
from merit_crds.snapshot.model import Snapshot

Credentials = Mapping[str, str]
"""`namespace/secret/key` to value. Kept in memory only; never logged."""


def fingerprint(value: str) -> str:
    """Twelve hex digits that change when a credential changes."""
    return hashlib.sha256(b"merit credential\0" + value.encode()).hexdigest()[:12]


def references(snapshot: Snapshot) -> dict[str, str]:
    """Every credential that a snapshot names: reference to fingerprint."""
    found = {p.api_key.ref: p.api_key.fingerprint for p in snapshot.providers.values() if p.api_key}
    for provider in snapshot.providers.values():
        found |= {key.ref: key.fingerprint for key in keys_of(provider.authentication).values()}
    for consumer in snapshot.consumers.values():
        found |= {key.ref: key.fingerprint for key in consumer.api_keys}
    return found


def mismatches(snapshot: Snapshot, credentials: Credentials) -> list[str]:
    """References whose value is missing or is not the one that the snapshot was compiled with."""
    return [ref for ref, expected in references(snapshot).items() if fingerprint(credentials.get(ref, "")) != expected]
