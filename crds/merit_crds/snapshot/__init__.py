"""The snapshot: the compiled, immutable, versioned document that holds all that a data-plane pod needs."""

from merit_crds.snapshot.codec import FORMAT, InvalidSnapshotError, decode, encode, version_of
from merit_crds.snapshot.model import (
    Candidate,
    ConsumerEntry,
    ContextTier,
    CredentialRef,
    Endpoint,
    ModelPrice,
    PricingEntry,
    ProviderEntry,
    Rates,
    RouteEntry,
    Snapshot,
    Tier,
    TierCondition,
)

__all__ = [
    "FORMAT",
    "Candidate",
    "ConsumerEntry",
    "ContextTier",
    "CredentialRef",
    "Endpoint",
    "InvalidSnapshotError",
    "ModelPrice",
    "PricingEntry",
    "ProviderEntry",
    "Rates",
    "RouteEntry",
    "Snapshot",
    "Tier",
    "TierCondition",
    "decode",
    "encode",
    "version_of",
]
