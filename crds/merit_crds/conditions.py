"""Condition types and reasons that statuses carry: part of the API, documented, never renamed."""

from enum import StrEnum

import msgspec


class ConditionType(StrEnum):
    """Condition types, in the Gateway API's sense."""

    ACCEPTED = "Accepted"
    """The resource is valid, and no older resource claims what it claims."""
    RESOLVED_REFS = "ResolvedRefs"
    """Everything that it names exists and may be used from here."""
    PROGRAMMED = "Programmed"
    """Every serving pod has acknowledged a snapshot that contains this generation."""
    READY = "Ready"
    """All of the above."""


class Reason(StrEnum):
    """Why a condition is what it is."""

    ACCEPTED = "Accepted"
    """Valid, and nothing older claims the same."""
    RESOLVED_REFS = "ResolvedRefs"
    """Nothing is missing."""
    INVALID = "Invalid"
    """A field is wrong; the message names it, its value and the fix."""
    NAME_CONFLICT = "NameConflict"
    """An older ModelRoute of this namespace serves the same model name."""
    PRICE_CONFLICT = "PriceConflict"
    """An older ProviderPricing prices the same model of the same provider."""
    PRICE_MOVED = "PriceMoved"
    """A price moves by more than maxPriceMoveFactor, and no annotation says that it is meant."""
    KEY_CONFLICT = "KeyConflict"
    """An older Consumer has the same API key."""
    SECRET_NOT_FOUND = "SecretNotFound"  # noqa: S105
    """A Secret, or the key in it, does not exist."""
    SECRET_INVALID = "SecretInvalid"  # noqa: S105
    """A credential is empty, too short, or holds a line break."""
    PROVIDER_NOT_FOUND = "ProviderNotFound"
    """There is no such Provider."""
    PROVIDER_NOT_READY = "ProviderNotReady"
    """The Provider exists but has no usable form."""
    PRICE_NOT_FOUND = "PriceNotFound"
    """No ProviderPricing prices this model of this provider; an unknown price is never taken for zero."""
    ROUTE_NOT_FOUND = "RouteNotFound"
    """There is no such ModelRoute, or it is not served."""
    NO_EMBEDDINGS = "NoEmbeddings"
    """The ModelRoute that should make embeddings has no candidate whose price list says Embeddings."""
    REF_NOT_PERMITTED = "RefNotPermitted"
    """The named resource is in another namespace, and its allowedNamespaces does not have this one."""
    PROGRAMMED = "Programmed"
    """Every serving pod has acknowledged this generation."""
    PENDING = "Pending"
    """Not every serving pod has acknowledged this generation yet."""
    NO_PODS = "NoPods"
    """There is no data-plane pod to acknowledge anything."""
    REJECTED = "Rejected"
    """A pod refused the snapshot; the message has its reason."""
    NOT_IN_SNAPSHOT = "NotInSnapshot"
    """This generation is not served: see Accepted and ResolvedRefs."""
    READY = "Ready"
    """Every other condition is true."""


class Condition(msgspec.Struct, frozen=True):
    """One condition of one resource. `status` is "True", "False" or "Unknown"."""

    type: ConditionType
    status: str
    reason: Reason
    message: str = ""
