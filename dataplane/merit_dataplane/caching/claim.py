"""Who of all pods fetches an answer that several of them want."""

import secrets
from enum import Enum


class Found(Enum):
    """What a look into what pods share found, when it found no entry."""

    CLAIMED = "claimed"
    """It is ours to fetch."""
    TAKEN = "taken"
    """Another pod fetches it."""
    AWAY = "away"
    """Nobody can say."""


def new_claim() -> bytes:
    """Nobody else's."""
    return secrets.token_bytes(12)
