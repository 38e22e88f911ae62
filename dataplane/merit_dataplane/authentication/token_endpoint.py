"""OAuth 2 token endpoints (RFC 6749, section 5), asked by the client of providers: it refuses the same addresses."""

from collections.abc import Mapping
from urllib.parse import urlencode, urlsplit

import msgspec

from merit_dataplane.authentication.contract import AuthenticationError
from merit_dataplane.authentication.renewed import Fetched
from merit_dataplane.upstream.client import UpstreamClient, UpstreamError

_MAX_ANSWER_BYTES = 256 * 1024
_CONNECT_SECONDS = 5.0
_HEADERS = {
    "Content-Type": "application/x-www-form-urlencoded",
    "Accept": "application/json",
    "Accept-Encoding": "identity",
    "User-Agent": "merit",
}


class _Granted(msgspec.Struct):
    access_token: str
    expires_in: int | float | str = 3600


class _Refused(msgspec.Struct):
    error: str = ""
    error_description: str = ""


_granted = msgspec.json.Decoder(_Granted)
_refused = msgspec.json.Decoder(_Refused)


async def granted(client: UpstreamClient, url: str, form: Mapping[str, str]) -> Fetched[str]:
    """An access token. Raises AuthenticationError with what the endpoint said."""
    host = urlsplit(url).hostname or "the token endpoint"
    try:
        response = await client.post(url, _HEADERS, urlencode(form).encode(), _CONNECT_SECONDS)
        try:
            body = await response.read(_MAX_ANSWER_BYTES)
        finally:
            response.close()
    except UpstreamError as error:
        raise AuthenticationError(f"no token from {host}: {error}") from None
    if response.status != 200:
        raise AuthenticationError(f"no token from {host}: {response.status}{_said(body)}")
    try:
        token = _granted.decode(body)
        return Fetched(token.access_token, float(token.expires_in))
    except (ValueError, RecursionError):
        raise AuthenticationError(f"no token from {host}: its answer is none of OAuth 2") from None


def _said(body: bytes) -> str:
    try:
        said = _refused.decode(body)
    except (ValueError, RecursionError):
        return ""
    words = " ".join(f"{said.error}: {said.error_description}".split()).strip(": ")
    return f" {words[:300]}" if words else ""
