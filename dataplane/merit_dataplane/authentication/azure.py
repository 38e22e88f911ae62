"""Entra ID's access tokens, by an application's secret or by the pod's own identity.

https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow,
https://learn.microsoft.com/entra/identity/managed-identities-azure-resources/how-to-use-vm-token
"""

import asyncio
import os
from pathlib import Path

import msgspec

from merit_crds.snapshot import AzureToken
from merit_dataplane.authentication.contract import AuthenticationError
from merit_dataplane.authentication.renewed import Fetched
from merit_dataplane.authentication.token_endpoint import granted
from merit_dataplane.upstream.client import UpstreamClient

_PUBLIC = "https://login.microsoftonline.com"
_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_MACHINE = "http://169.254.169.254"
_MACHINE_SECONDS = 5.0


class ClientSecret:
    """Fetches tokens for an application's secret."""

    def __init__(self, scheme: AzureToken, secret: str, client: UpstreamClient):
        self._scheme, self._secret, self._client = scheme, secret, client

    async def __call__(self) -> Fetched[str]:
        """Raises AuthenticationError."""
        given = self._scheme
        form = {"client_id": given.client_id, "client_secret": self._secret}
        return await _asked(self._client, given.authority, given.tenant_id, given.scope, form)


class OfThePod:
    """Fetches tokens of the pod's own identity: workload identity, else a managed identity of the machine."""

    def __init__(self, scheme: AzureToken, client: UpstreamClient):
        self._scheme, self._client = scheme, client

    async def __call__(self) -> Fetched[str]:
        """Raises AuthenticationError."""
        file = os.environ.get("AZURE_FEDERATED_TOKEN_FILE")
        return await self._federated(file) if file else await self._of_the_machine()

    async def _federated(self, file: str) -> Fetched[str]:
        given = self._scheme
        tenant = given.tenant_id or os.environ.get("AZURE_TENANT_ID", "")
        client_id = given.client_id or os.environ.get("AZURE_CLIENT_ID", "")
        if not tenant or not client_id:
            raise AuthenticationError("workload identity wants AZURE_TENANT_ID and AZURE_CLIENT_ID, or both in azure")
        try:
            assertion = await asyncio.to_thread(Path(file).read_text, encoding="utf-8")
        except OSError as error:
            raise AuthenticationError(f"the token of the service account can't be read: {error.strerror}") from None
        authority = given.authority
        if authority == _PUBLIC:
            authority = os.environ.get("AZURE_AUTHORITY_HOST", _PUBLIC).rstrip("/")
        form = {"client_id": client_id, "client_assertion_type": _ASSERTION, "client_assertion": assertion.strip()}
        return await _asked(self._client, authority, tenant, given.scope, form)

    async def _of_the_machine(self) -> Fetched[str]:
        import httpx  # noqa: PLC0415 # the client of providers refuses the address of the metadata server

        asked = {"api-version": "2018-02-01", "resource": self._scheme.scope.removesuffix("/.default")}
        if self._scheme.client_id:
            asked["client_id"] = self._scheme.client_id
        machine = os.environ.get("AZURE_POD_IDENTITY_AUTHORITY_HOST", _MACHINE).rstrip("/")
        url = f"{machine}/metadata/identity/oauth2/token"
        try:
            async with httpx.AsyncClient(trust_env=False, timeout=_MACHINE_SECONDS) as client:
                answer = await client.get(url, params=asked, headers={"Metadata": "true"})
        except httpx.HTTPError as error:
            raise AuthenticationError(f"the machine has no identity at Azure: {type(error).__name__}") from None
        if answer.status_code != 200:
            raise AuthenticationError(f"the machine has no identity at Azure: status {answer.status_code}")
        try:
            told = _machines.decode(answer.content)
            return Fetched(told.access_token, float(told.expires_in))
        except ValueError:
            raise AuthenticationError("the machine's metadata server gave no token") from None


class _Machines(msgspec.Struct):
    access_token: str
    expires_in: int | str


_machines = msgspec.json.Decoder(_Machines)


async def _asked(client: UpstreamClient, authority: str, tenant: str, scope: str, form: dict[str, str]) -> Fetched[str]:
    url = f"{authority}/{tenant}/oauth2/v2.0/token"
    return await granted(client, url, {"grant_type": "client_credentials", "scope": scope, **form})
