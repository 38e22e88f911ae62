"""Google's access tokens: of a service account's key (RFC 7523), or of the pod's own identity.

https://developers.google.com/identity/protocols/oauth2/service-account
"""

import asyncio
import datetime
import os
import time
from pathlib import Path
from typing import Any

import msgspec

from merit_dataplane.authentication.contract import AuthenticationError
from merit_dataplane.authentication.renewed import Fetched
from merit_dataplane.authentication.token_endpoint import granted
from merit_dataplane.upstream.client import UpstreamClient

_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
_TOKEN_URL = "https://oauth2.googleapis.com/token"  # noqa: S105 # an address
_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_LIFE_SECONDS = 3600
_FILE = "GOOGLE_APPLICATION_CREDENTIALS"


class ServiceAccount:
    """Fetches tokens for a service account's key."""

    def __init__(self, key: str, client: UpstreamClient):
        self._key, self._client = key, client
        self._signer: Any = None

    async def __call__(self) -> Fetched[str]:
        """Raises AuthenticationError."""
        url, assertion = await asyncio.to_thread(self._assertion)  # to load cryptography takes longer than a stall may
        return await granted(self._client, url, {"grant_type": _GRANT, "assertion": assertion})

    def _assertion(self) -> tuple[str, str]:
        """Where to ask, and what proves who asks."""
        from google.auth import crypt, jwt  # noqa: PLC0415 # only for who uses it

        key = msgspec.json.decode(self._key)
        if self._signer is None:
            try:
                self._signer = crypt.RSASigner.from_service_account_info(key)
            except (ValueError, TypeError):
                raise AuthenticationError("the service account's 'private_key' is no RSA key in PEM") from None
        url = str(key.get("token_uri") or _TOKEN_URL)
        now = int(time.time())
        claims = {"iss": key["client_email"], "scope": _SCOPE, "aud": url, "iat": now, "exp": now + _LIFE_SECONDS}
        return url, jwt.encode(self._signer, claims).decode()


async def of_the_pod() -> Fetched[str]:
    """A token of the pod's own identity: that of GOOGLE_APPLICATION_CREDENTIALS, else of the metadata server.

    Raises AuthenticationError.
    """
    return await asyncio.to_thread(_of_the_pod)


def _of_the_pod() -> Fetched[str]:
    from google.auth import exceptions  # noqa: PLC0415

    from merit_dataplane.authentication.google_transport import Transport  # noqa: PLC0415

    try:
        credentials = _found()
        with Transport() as transport:
            credentials.refresh(transport)
    except (exceptions.GoogleAuthError, OSError, ValueError) as error:
        raise AuthenticationError(f"the pod has no identity at Google: {type(error).__name__}") from None
    ends: datetime.datetime | None = credentials.expiry  # UTC, naive
    left = ends.replace(tzinfo=datetime.UTC) - datetime.datetime.now(datetime.UTC) if ends else None
    return Fetched(str(credentials.token), left.total_seconds() if left else _LIFE_SECONDS)


def _found() -> Any:
    """Not google.auth.default: that asks another API for a project, which nobody needs and not every pod reaches."""
    from google.auth import aws, compute_engine, identity_pool  # noqa: PLC0415
    from google.oauth2 import service_account  # noqa: PLC0415

    file = os.environ.get(_FILE)
    if not file:
        return compute_engine.Credentials(scopes=[_SCOPE])  # workload identity, or the machine's service account
    info = msgspec.json.decode(Path(file).read_bytes(), type=dict[str, Any])
    match info:
        case {"type": "service_account"}:
            return service_account.Credentials.from_service_account_info(info, scopes=[_SCOPE])
        case {"type": "external_account", "credential_source": {"environment_id": _}}:
            return aws.Credentials.from_info(info, scopes=[_SCOPE])
        case {"type": "external_account"}:
            return identity_pool.Credentials.from_info(info, scopes=[_SCOPE])
    raise AuthenticationError(f"{_FILE} names neither a key of a service account nor a federation's configuration")
