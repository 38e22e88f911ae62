"""From what the snapshot says of a Provider's authentication to what its requests use; kept over snapshots."""

import logging
from collections.abc import Callable, Collection, Mapping
from typing import Final

from merit_crds.credentials import Credentials
from merit_crds.snapshot import AwsSignature, AzureToken, GoogleToken, keys_of
from merit_dataplane.authentication.aws import SignedRequests
from merit_dataplane.authentication.azure import ClientSecret, OfThePod
from merit_dataplane.authentication.bearer import BearerToken
from merit_dataplane.authentication.contract import Authentication, AuthenticationError
from merit_dataplane.authentication.google import ServiceAccount, of_the_pod
from merit_dataplane.upstream.client import UpstreamClient

Working = GoogleToken | AwsSignature | AzureToken
"""Schemes that have more to do than to send a key."""
Identity = tuple[str, Working]
"""Key of the Provider, and its scheme with the fingerprints of its keys: another key is another identity."""
Make = Callable[[str, Working, Mapping[str, str], UpstreamClient], Authentication]
"""Of the words that name it in errors, the scheme, its keys by field, and the client."""
log = logging.getLogger("merit.authentication")


def _google(name: str, scheme: Working, keys: Mapping[str, str], client: UpstreamClient) -> Authentication:
    del scheme
    key = keys.get("service_account_key")
    return BearerToken(f"{name}: Google token", ServiceAccount(key, client) if key else of_the_pod)


def _aws(name: str, scheme: Working, keys: Mapping[str, str], _: UpstreamClient) -> Authentication:
    if not isinstance(scheme, AwsSignature):
        raise TypeError(scheme)
    return SignedRequests(name, scheme, keys)


def _azure(name: str, scheme: Working, keys: Mapping[str, str], client: UpstreamClient) -> Authentication:
    if not isinstance(scheme, AzureToken):
        raise TypeError(scheme)
    secret = keys.get("client_secret")
    fetch = ClientSecret(scheme, secret, client) if secret else OfThePod(scheme, client)
    return BearerToken(f"{name}: Entra token", fetch)


_MAKERS: Final[Mapping[type, Make]] = {GoogleToken: _google, AwsSignature: _aws, AzureToken: _azure}


class _Refusing:
    """Has nothing to prove it by, and says why."""

    lasting = True

    def __init__(self, why: str):
        self._why, self._told = why, False

    async def headers(self, *_: object) -> Mapping[str, str]:
        """See Authentication."""
        raise AuthenticationError(self._why)

    def secrets(self) -> tuple[bytes, ...]:
        """See Authentication."""
        return ()

    def refused(self, why: str = "") -> None:
        """See Authentication."""

    def start(self) -> None:
        """See Authentication."""
        if not self._told:
            log.warning("%s", self._why)
        self._told = True

    def close(self) -> None:
        """See Authentication."""


class Authentications:
    """All of a pod. `ambient` are the namespaces whose Providers may use the pod's own identity, `*` is every one."""

    def __init__(self, client: UpstreamClient | None = None, ambient: Collection[str] = ()):
        self._client, self._ambient = client, ambient
        self._known: dict[Identity, Authentication] = {}

    def of(self, provider: str, scheme: Working, credentials: Credentials) -> Authentication:
        """That of a Provider, the same as in the snapshot before unless its scheme or one of its keys is another."""
        found = self._known.get((provider, scheme))
        if found is None:
            found = self._known[provider, scheme] = self._make(provider, scheme, credentials)
        return found

    def _make(self, provider: str, scheme: Working, credentials: Credentials) -> Authentication:
        name, make = f"Provider {provider}", _MAKERS.get(type(scheme))
        keys = {field: credentials[key.ref] for field, key in keys_of(scheme).items()}
        if make is None or self._client is None:
            return _Refusing(f"{name}: this pod can't authenticate by {type(scheme).__name__}")
        if not keys and not {provider.split("/", 1)[0], "*"} & set(self._ambient):
            words = "the pod's own identity is for the namespaces that its --ambient-credentials names"
            return _Refusing(f"{name}: {words}")
        return make(name, scheme, keys, self._client)

    def follow(self, wanted: Collection[Identity]) -> None:
        """These are in force: fetches what they need, forgets all others."""
        for identity in [known for known in self._known if known not in wanted]:
            self._known.pop(identity).close()
        for authentication in self._known.values():
            authentication.start()

    def close(self) -> None:
        """Fetches nothing more."""
        for authentication in self._known.values():
            authentication.close()
