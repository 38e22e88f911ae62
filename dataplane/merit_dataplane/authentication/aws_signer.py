"""What awscrt, Amazon's own runtime, does for us: signatures, and finding the pod's identity. Loaded by who uses it."""

import concurrent.futures
from collections.abc import Mapping
from datetime import datetime
from urllib.parse import urlsplit

from awscrt import auth, exceptions, http

_IDENTITY_SECONDS = 9.0
_PORTS = {"http": 80, "https": 443}


class NoIdentityError(Exception):
    """The pod has none; the message is the reason's name."""


class AwsSigner:
    """Keys that sign."""

    def __init__(self, region: str, service: str, access_key_id: str, secret: str, session_token: str | None):
        self._region, self._service = region, service
        self._provider = auth.AwsCredentialsProvider.new_static(access_key_id, secret, session_token)
        self.secrets = tuple(key.encode() for key in (secret, session_token) if key)

    def signed(self, url: str, headers: Mapping[str, str], body_sha256: str, when: datetime) -> dict[str, str]:
        """Headers that sign a POST of a body with this digest; those of `headers` that Amazon reads are signed too."""
        parts = urlsplit(url)
        named = [("host", _host(parts.scheme, parts.hostname or "", parts.port))]
        named += [(n, v) for n, v in headers.items() if n.lower() == "content-type" or n.lower().startswith("x-amz-")]
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        request = http.HttpRequest("POST", target, http.HttpHeaders(named))
        config = auth.AwsSigningConfig(
            algorithm=auth.AwsSigningAlgorithm.V4,
            signature_type=auth.AwsSignatureType.HTTP_REQUEST_HEADERS,
            credentials_provider=self._provider,
            region=self._region,
            service=self._service,
            date=when,
            use_double_uri_encode=True,
            should_normalize_uri_path=True,
            signed_body_value=body_sha256,
            signed_body_header_type=auth.AwsSignedBodyHeaderType.NONE,
        )
        auth.aws_sign_request(request, config).result(timeout=1.0)  # done at once: the keys are there
        return {name: value for name, value in request.headers if (name, value) not in named}


def of_the_pod(region: str, service: str) -> tuple[AwsSigner, datetime | None]:
    """By the pod's own identity, and when it ends: a role of its service account (IRSA), EKS pod identity, ECS, EC2, or
    what the environment and the profile say. Blocks. Raises NoIdentityError."""
    try:
        found = auth.AwsCredentialsProvider.new_default_chain().get_credentials().result(timeout=_IDENTITY_SECONDS)
    except exceptions.AwsCrtError as error:
        raise NoIdentityError(error.name) from None
    except concurrent.futures.TimeoutError:
        raise NoIdentityError(f"not within {_IDENTITY_SECONDS:.0f} s") from None
    signer = AwsSigner(region, service, found.access_key_id, found.secret_access_key, found.session_token)
    return signer, found.expiration


def _host(scheme: str, name: str, port: int | None) -> str:
    """As the upstream client sends it."""
    shown = f"[{name}]" if ":" in name else name.rstrip(".")
    return shown if port in (None, _PORTS.get(scheme)) else f"{shown}:{port}"
