"""Amazon's Signature Version 4 over each request, with given keys or the pod's own identity.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html
"""

import asyncio
import hashlib
import logging
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from merit_crds.snapshot import AwsSignature
from merit_dataplane.authentication.contract import AuthenticationError
from merit_dataplane.authentication.renewed import Fetched, Renewed

if TYPE_CHECKING:
    from merit_dataplane.authentication.aws_signer import AwsSigner

_GIVEN_KEYS_SECONDS = 86_400.0
"""Given keys never end; this is how often that is asked."""
_LARGE_BODY_BYTES = 4 * 1024 * 1024
"""Hashed in a thread: about 3 ms of an event loop."""
_AMAZONS_TIME = re.compile(r"[Ss]ignature (?:expired|not yet current): \S+ is .*?\((\d{8}T\d{6}Z) ")
log = logging.getLogger("merit.authentication")


class SignedRequests:
    """One Provider's signatures. Their time follows Amazon's clock once it has refused one for its time."""

    lasting = False

    def __init__(self, name: str, scheme: AwsSignature, keys: Mapping[str, str]):
        self._name, self._scheme, self._keys = name, scheme, keys
        self._signer = Renewed(f"{name}: AWS keys", self._fetch)
        self._skew = timedelta()
        self.start, self.close = self._signer.start, self._signer.close

    async def headers(self, url: str, given: Mapping[str, str], body: bytes) -> Mapping[str, str]:
        """See Authentication."""
        signer = await self._signer.current()
        if len(body) > _LARGE_BODY_BYTES:
            digest = (await asyncio.to_thread(hashlib.sha256, body)).hexdigest()
        else:
            digest = hashlib.sha256(body).hexdigest()
        return {**given, **signer.signed(url, given, digest, datetime.now(UTC) + self._skew)}

    def secrets(self) -> tuple[bytes, ...]:
        """See Authentication."""
        signer = self._signer.last
        return signer.secrets if signer is not None else ()

    def refused(self, why: str = "") -> None:
        """See Authentication."""
        found = _AMAZONS_TIME.search(why)
        if found is None:
            self._signer.refused(why)
            return
        now = datetime.now(UTC)
        theirs = datetime.strptime(found[1], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        self._skew = theirs - now
        seconds = abs(self._skew.total_seconds())
        side = "behind" if theirs > now else "ahead of"
        words = "%s: AWS refused a signature for its time: this pod's clock is %.0f s %s AWS's, whose time is used now"
        log.warning(words, self._name, seconds, side)

    async def _fetch(self) -> "Fetched[AwsSigner]":
        return await asyncio.to_thread(_signer, self._scheme, self._keys)


def _signer(scheme: AwsSignature, keys: Mapping[str, str]) -> "Fetched[AwsSigner]":
    """Raises AuthenticationError. In a thread: loading awscrt, and asking for an identity, takes a while."""
    from merit_dataplane.authentication.aws_signer import AwsSigner, NoIdentityError, of_the_pod  # noqa: PLC0415

    if keys:
        signer = AwsSigner(
            scheme.region,
            scheme.service,
            keys["access_key_id"],
            keys["secret_access_key"],
            keys.get("session_token"),
        )
        return Fetched(signer, _GIVEN_KEYS_SECONDS)
    try:
        signer, ends = of_the_pod(scheme.region, scheme.service)
    except NoIdentityError as error:
        raise AuthenticationError(f"the pod has no identity at AWS: {error}") from None
    seconds = _GIVEN_KEYS_SECONDS if ends is None else (ends - datetime.now(UTC)).total_seconds()
    return Fetched(signer, seconds)
