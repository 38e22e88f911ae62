"""Names of what providers keep, as one consumer knows them: `file-…` and `batch_…`.

    file- <base64url of: hint, 4 bytes; AES-SIV over endpoint, the vendor's id, and of an output file its batch>
          bound to the kind, the provider and the consumer

Every pod makes the same id of the same thing and reads it again; another consumer's is none. The hint only says which
provider's key to try.
"""

import base64
import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple

import msgspec

from merit_dataplane.batches.id_key import IdKey
from merit_dataplane.wire.errors import RequestError

_HINT_BYTES = 4
_SHOWN = 80
_encode = msgspec.msgpack.Encoder().encode
_TEXT = re.compile(r"[A-Za-z0-9_-]{8,2000}")


class Kind(StrEnum):
    """The prefix of the ids."""

    FILE = "file-"
    BATCH = "batch_"


class Kept(NamedTuple):
    """Something at a provider."""

    provider: str
    endpoint: str
    id: str
    """The vendor's."""
    batch: str = ""
    """Of an output file: the vendor's id of the batch that wrote it."""


class _Inside(msgspec.Struct, frozen=True, array_like=True):
    endpoint: str
    id: str
    batch: str = ""


_inside = msgspec.msgpack.Decoder(_Inside)


class Ids:
    """Of one process. `keys` are the providers', as `Live.id_keys`; `own` is that of all pods, where they have one."""

    def __init__(self, keys: Mapping[str, Sequence[IdKey]], own: IdKey | None = None):
        self._keys, self._own = keys, own

    def text(self, kind: Kind, kept: Kept, consumer: str) -> str:
        """The id that a consumer gets."""
        data = _encode(_Inside(kept.endpoint, kept.id, kept.batch))
        sealed = self.seal(kept.provider, kind.encode() + consumer.encode(), data)
        return kind + encoded(_hint(kept.provider) + sealed)

    def kept(self, kind: Kind, text: str, consumer: str, providers: Iterable[str]) -> Kept:
        """What an id names. Raises RequestError (404), in the same words whatever is wrong with the id."""
        data = decoded(text.removeprefix(kind)) if text.startswith(kind) else b""
        context, known = kind.encode() + consumer.encode(), False
        for provider in providers:
            if _hint(provider) != data[:_HINT_BYTES]:
                continue
            known = True
            opened = self.unseal(provider, context, data[_HINT_BYTES:])
            if opened is not None:
                inside = _inside.decode(opened)
                return Kept(provider, inside.endpoint, inside.id, inside.batch)
        raise not_found(kind, text, "" if known else "Its provider is not configured here, or not any more.")

    def seal(self, provider: str, purpose: bytes, data: bytes) -> bytes:
        """By the key that counts."""
        return self._all(provider)[0].seal(data, (purpose, provider.encode()))

    def unseal(self, provider: str, purpose: bytes, sealed: bytes) -> bytes | None:
        """By any key that is known."""
        context = (purpose, provider.encode())
        return next((found for k in self._all(provider) if (found := k.unseal(sealed, context)) is not None), None)

    def _all(self, provider: str) -> Sequence[IdKey]:
        keys = tuple(self._keys.get(provider, ()))
        return keys if self._own is None else (self._own, *keys)


def encoded(data: bytes) -> str:
    """base64url, without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decoded(text: str) -> bytes:
    """Of such a text, in its only form; else nothing."""
    if not _TEXT.fullmatch(text):
        return b""
    try:
        data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError:
        return b""
    return data if encoded(data) == text else b""


def not_found(kind: Kind, text: str, more: str = "") -> RequestError:
    """404, as OpenAI words it."""
    shown = text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
    what = "No such File object" if kind is Kind.FILE else "No batch found with id"
    return RequestError(404, f"{what}: {shown!r}. {more}".strip(), code="not_found", param="id")


@lru_cache(maxsize=4096)
def _hint(provider: str) -> bytes:
    return hashlib.blake2b(provider.encode(), digest_size=_HINT_BYTES, person=b"merit id hint").digest()
