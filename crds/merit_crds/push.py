"""The push: how the operator hands a snapshot to a data-plane pod, and what the pod answers.

PUT /v1/snapshot          admin port, TLS where the chart says so
  authorization: Bearer <push token>
  merit-version: <sha256 of the snapshot's canonical bytes>
  merit-term: <the leader's fencing term>
  merit-format: 1
  merit-pods: <data-plane pods that there are, each of which has its share of limits where there is no Redis>
  content-encoding: gzip
  body: gzip of JSON {"snapshot": <canonical snapshot>, "credentials": {"<ref>": "<value>"}}

200 Ack                   the pod serves `version` now
401 Nack Unauthorized     wrong or missing token
409 Nack StaleTerm        a newer leader has pushed already
413 Nack TooLarge         more bytes than the pod accepts
422 Nack ...              not a snapshot, wrong digest, credentials that don't match
426 Nack UnknownFormat    this pod doesn't know the snapshot's format

GET /v1/snapshot/version  -> Ack: what the pod serves now; `version` is empty before the first snapshot

PUT /v1/commitments       the same, and tells the pod what others have drawn of commitments (JSON of Volumes)
  200 Ack, 401 and 409 Nack as above; 404 where a pod is too old to know commitments

An Ack tells what the pod has drawn itself. Both are apart from the snapshot: what is left is no part of a version.
"""

from enum import StrEnum

import msgspec

from merit_crds.commitments.tally import Used

SNAPSHOT_PATH = "/v1/snapshot"
VERSION_PATH = "/v1/snapshot/version"
COMMITMENTS_PATH = "/v1/commitments"
VERSION_HEADER = "merit-version"
TERM_HEADER = "merit-term"
FORMAT_HEADER = "merit-format"
PODS_HEADER = "merit-pods"
MOST_PODS = 100_000

MAX_PUSH_BYTES = 32 * 1024 * 1024
"""Most bytes of a push on the wire."""
MAX_SNAPSHOT_BYTES = 256 * 1024 * 1024
"""Most bytes of a push unpacked: a bomb stops here."""


class Rejection(StrEnum):
    """Why a pod refused a push."""

    UNAUTHORIZED = "Unauthorized"
    STALE_TERM = "StaleTerm"
    TOO_LARGE = "TooLarge"
    UNKNOWN_FORMAT = "UnknownFormat"
    MALFORMED = "Malformed"
    DIGEST_MISMATCH = "DigestMismatch"
    CREDENTIALS_MISMATCH = "CredentialsMismatch"


class PushBody(msgspec.Struct, frozen=True):
    """What travels in one push."""

    snapshot: msgspec.Raw
    """Canonical bytes."""
    credentials: dict[str, str]


class Others(msgspec.Struct, frozen=True):
    """What all processes but the pod's own have drawn of one period of a commitment."""

    commitment: str
    period: int
    units: str


class Volumes(msgspec.Struct, frozen=True):
    """What a pod is told of commitments."""

    term: int
    share: float
    """The pod's part of what the fleet asks for, above 0 and at most 1."""
    others: tuple[Others, ...] = ()


class Ack(msgspec.Struct, frozen=True):
    """The pod serves `version`."""

    version: str
    term: int
    pod: str = ""
    took_ms: float = 0.0
    """Milliseconds from the request's last byte to serving it."""
    process: str = ""
    """The pod's process, another one after each restart."""
    used: tuple[Used, ...] = ()
    """What it has drawn of commitments, and what its forerunners on its disk had."""


class Nack(msgspec.Struct, frozen=True):
    """The pod refused, and still serves `version`."""

    version: str
    rejection: Rejection
    message: str
    term: int = 0
    pod: str = ""
