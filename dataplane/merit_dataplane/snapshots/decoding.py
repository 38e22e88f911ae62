"""Push bytes to a snapshot without stalling the event loop: inflate and hash in a thread, decode entry by entry."""

import asyncio
import time
import zlib
from typing import Any

import msgspec

from merit_crds.push import MAX_SNAPSHOT_BYTES, PushBody, Rejection
from merit_crds.snapshot import FORMAT, ConsumerEntry, PricingEntry, ProviderEntry, RouteEntry, Snapshot, version_of

_SLICE_SECONDS = 0.002


class RejectedError(Exception):
    """A push that is refused."""

    def __init__(self, rejection: Rejection, message: str):
        super().__init__(message)
        self.rejection = rejection


class _Envelope(msgspec.Struct, forbid_unknown_fields=True):
    format: int
    providers: dict[str, msgspec.Raw] = {}
    pricings: dict[str, msgspec.Raw] = {}
    routes: dict[str, msgspec.Raw] = {}
    consumers: dict[str, msgspec.Raw] = {}


_push = msgspec.json.Decoder(PushBody)
_envelope = msgspec.json.Decoder(_Envelope)
_entries: dict[str, msgspec.json.Decoder[Any]] = {
    "providers": msgspec.json.Decoder(ProviderEntry),
    "pricings": msgspec.json.Decoder(PricingEntry),
    "routes": msgspec.json.Decoder(RouteEntry),
    "consumers": msgspec.json.Decoder(ConsumerEntry),
}


def inflate(data: bytes, limit: int = MAX_SNAPSHOT_BYTES) -> bytes:
    """gzip bytes unpacked. Raises RejectedError when they are no gzip or unpack to more than `limit` bytes."""
    unpacker = zlib.decompressobj(wbits=31)
    try:
        body = unpacker.decompress(data, limit)
    except zlib.error as error:
        raise RejectedError(Rejection.MALFORMED, f"the body is no gzip: {error}") from None
    if unpacker.unconsumed_tail:
        raise RejectedError(Rejection.TOO_LARGE, f"the body unpacks to more than {limit} bytes")
    if not unpacker.eof:
        raise RejectedError(Rejection.MALFORMED, "the body is cut off")
    return body


async def unpack_push(data: bytes, version: str) -> tuple[bytes, dict[str, str]]:
    """Snapshot bytes and credentials of a push's body, the digest checked."""
    body = await asyncio.to_thread(inflate, data)
    try:
        push = _push.decode(body)
    except (ValueError, RecursionError) as error:
        raise RejectedError(Rejection.MALFORMED, f"the body is no push: {error}") from None
    snapshot = bytes(push.snapshot)
    await check_digest(snapshot, version)
    return snapshot, push.credentials


async def check_digest(snapshot: bytes, version: str) -> None:
    """Raises RejectedError when the bytes are not those of the version."""
    actual = await asyncio.to_thread(version_of, snapshot)
    if actual != version:
        raise RejectedError(
            Rejection.DIGEST_MISMATCH, f"the snapshot's SHA-256 is {actual}, the version says {version}"
        )


async def decode_snapshot(body: bytes) -> Snapshot:
    """A snapshot from its canonical bytes, in slices of 2 ms.

    Raises RejectedError with the entry and the field that is wrong.
    """
    try:
        envelope = _envelope.decode(body)
    except (ValueError, RecursionError) as error:
        raise RejectedError(Rejection.MALFORMED, str(error)) from None
    if envelope.format != FORMAT:
        words = f"format is {envelope.format}, this pod knows {FORMAT}: upgrade the older of operator and data plane"
        raise RejectedError(Rejection.UNKNOWN_FORMAT, words)
    tables: dict[str, dict[str, Any]] = {}
    slice_ends = time.perf_counter() + _SLICE_SECONDS
    for name, decoder in _entries.items():
        table = tables[name] = {}
        for key, raw in getattr(envelope, name).items():
            try:
                table[key] = decoder.decode(raw)
            except (ValueError, RecursionError) as error:
                raise RejectedError(Rejection.MALFORMED, f"{name}[{key!r}]: {error}") from None
            if time.perf_counter() > slice_ends:
                await asyncio.sleep(0)
                slice_ends = time.perf_counter() + _SLICE_SECONDS
    return Snapshot(format=envelope.format, **tables)
