"""Google's access tokens: of a service account's key (RFC 7523), or of the pod's own identity.

https://developers.google.com/identity/protocols/oauth2/service-account
"""

import asyncio
import datetime
import time
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


class ServiceAccount:
    """Fetches tokens for a service account's key."""

    def __init__(self, key: str, client: UpstreamClient):
        self._key, self._client = key, client
        self._signer: Any = None

    async def __call__(self) -> Fetched[str]:
        """Raises AuthenticationError."""
        from google.auth import crypt, jwt  # noqa: PLC0415 # cryptography: only for who uses it

        key = msgspec.json.decode(self._key)
        if self._signer is None:
            try:
                self._signer = crypt.RSASigner.from_service_account_info(key)
            except (ValueError, TypeError):
                raise AuthenticationError("the service account's 'private_key' is no RSA key in PEM") from None
        url = str(key.get("token_uri") or _TOKEN_URL)
        now = int(time.time())
        claims = {"iss": key["client_email"], "scope": _SCOPE, "aud": url, "iat": now, "exp": now + _LIFE_SECONDS}
        assertion = jwt.encode(self._signer, claims).decode()
        return await granted(self._client, url, {"grant_type": _GRANT, "assertion": assertion})


async def of_the_pod() -> Fetched[str]:
    """A token of the pod's own identity: workload identity, federation by a file, or the machine's metadata server.

    Raises AuthenticationError.
    """
    return await asyncio.to_thread(_application_default)


def _application_default() -> Fetched[str]:
    from google import auth  # noqa: PLC0415
    from google.auth import exceptions  # noqa: PLC0415

    from merit_dataplane.authentication.google_transport import Transport  # noqa: PLC0415

    try:
        with Transport() as transport:
            credentials, _ = auth.default(scopes=[_SCOPE], request=transport)
            credentials.refresh(transport)
    except exceptions.GoogleAuthError as error:
        raise AuthenticationError(f"the pod has no identity at Google: {type(error).__name__}") from None
    ends: datetime.datetime | None = credentials.expiry  # UTC, naive
    seconds = (
        (ends.replace(tzinfo=datetime.UTC) - datetime.datetime.now(datetime.UTC)).total_seconds() if ends else 3600
    )
    return Fetched(str(credentials.token), seconds)
