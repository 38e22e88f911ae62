"""A compiled snapshot packed for the wire, once for all pods."""

import gzip

import msgspec

from merit_crds.compile import Compiled
from merit_crds.push import PushBody
from merit_operator.push.session import Parcel


def pack(compiled: Compiled, term: int) -> Parcel:
    """gzip of the push's body; the same input gives the same bytes."""
    body = msgspec.json.encode(PushBody(snapshot=msgspec.Raw(compiled.body), credentials=dict(compiled.credentials)))
    return Parcel(version=compiled.version, term=term, body=gzip.compress(body, compresslevel=6, mtime=0))
