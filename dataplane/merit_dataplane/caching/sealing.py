"""An entry as it stands in Redis: compressed, authenticated, encrypted where a key is configured.

    M 1 <nonce, 12 bytes> <AES-256-GCM of the packed entry>             with a key: nobody who reads Redis reads answers
    M 0 <BLAKE2b-128, keyed> <packed entry>                             without: nobody who writes Redis makes answers

Both are bound to the entry's own key: an entry that was moved to another question is none. What was cut off, changed,
sealed by others or written by another version of Merit is a miss, never an error.
"""

import hashlib
import hmac
import os
import zlib

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from merit_dataplane.caching.entry import Entry

FORMAT = b"1"
_CLEAR, _SECRET = b"M0" + FORMAT, b"M1" + FORMAT
_MAC_BYTES, _NONCE_BYTES = 16, 12
_COMPRESSED_FROM = 512
_MOST_BYTES = 64 << 20
_encode = msgspec.msgpack.Encoder().encode
_entry = msgspec.msgpack.Decoder(Entry)


class Seal:
    """For all pods that share a secret. `encrypts`: the secret was configured to keep answers from who reads Redis."""

    def __init__(self, secret: bytes, *, encrypts: bool):
        self._mac_key = hashlib.blake2b(secret, digest_size=32, person=b"merit cache mac").digest()
        cipher_key = hashlib.blake2b(secret, digest_size=32, person=b"merit cache aes").digest()
        self._cipher = AESGCM(cipher_key) if encrypts else None

    def seal(self, key: bytes, entry: Entry) -> bytes:
        """Bytes for Redis."""
        return self.close(key, _encode(entry))

    def unseal(self, key: bytes, sealed: bytes) -> Entry | None:
        """The entry, if it is one of ours for this key."""
        packed = self.open(key, sealed)
        try:
            return _entry.decode(packed) if packed is not None else None
        except msgspec.DecodeError:
            return None

    def close(self, key: bytes, packed: bytes) -> bytes:
        """The same for anything else."""
        packed = b"z" + zlib.compress(packed, 1) if len(packed) >= _COMPRESSED_FROM else b"-" + packed
        if self._cipher is None:
            return _CLEAR + self._mac(key, packed) + packed
        nonce = os.urandom(_NONCE_BYTES)
        return _SECRET + nonce + self._cipher.encrypt(nonce, packed, key)

    def open(self, key: bytes, sealed: bytes) -> bytes | None:
        """What was closed by one of ours with this key."""
        head, rest = sealed[:3], sealed[3:]
        try:
            if self._cipher is not None:  # never what anybody could have put there in the clear
                if head != _SECRET:
                    return None
                packed = self._cipher.decrypt(rest[:_NONCE_BYTES], rest[_NONCE_BYTES:], key)
            else:
                packed = rest[_MAC_BYTES:]
                if head != _CLEAR or not hmac.compare_digest(rest[:_MAC_BYTES], self._mac(key, packed)):
                    return None
            return _inflated(packed[1:]) if packed[:1] == b"z" else packed[1:]
        except (InvalidTag, ValueError, zlib.error):
            return None

    def _mac(self, key: bytes, packed: bytes) -> bytes:
        return hashlib.blake2b(len(key).to_bytes(4) + key + packed, key=self._mac_key, digest_size=_MAC_BYTES).digest()


def _inflated(packed: bytes) -> bytes:
    inner = zlib.decompressobj()
    data = inner.decompress(packed, _MOST_BYTES)
    if not inner.eof:
        raise zlib.error("incomplete, or too long")
    return data
