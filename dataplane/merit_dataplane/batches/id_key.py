"""What ids of files and batches are sealed with: deterministic authenticated encryption (AES-SIV, RFC 5297).

Deterministic, so that a list says the same id for a file as its upload did, without a store.
"""

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from merit_dataplane.feedback.answer_id import fingerprint

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESSIV

_PERSON = b"merit id of a file or batch"
_ROUNDS = 1000
"""An id must be no quick way to try guesses of a short API key."""


class IdKey:
    """Of one secret that all pods know, and no consumer."""

    __slots__ = ("_cipher", "_secret", "of")

    def __init__(self, secret: bytes):
        self._secret = secret
        self.of = fingerprint(secret)
        """Tells secrets apart; says nothing of them."""
        self._cipher: AESSIV | None = None

    def seal(self, data: bytes, context: Sequence[bytes]) -> bytes:
        """Unreadable, and of use in this context alone."""
        return self._made().encrypt(data, list(context))

    def unseal(self, sealed: bytes, context: Sequence[bytes]) -> bytes | None:
        """The data; None where it was sealed by others, in another context, or changed."""
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415 # see below

        try:
            return self._made().decrypt(sealed, list(context))
        except (InvalidTag, ValueError):
            return None

    def _made(self) -> "AESSIV":
        if self._cipher is None:
            from cryptography.hazmat.primitives.ciphers.aead import AESSIV  # noqa: PLC0415 # few pods need it

            self._cipher = AESSIV(hashlib.pbkdf2_hmac("sha256", self._secret, _PERSON, _ROUNDS, dklen=64))
        return self._cipher
