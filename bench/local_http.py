"""Single requests to this machine. Not urllib, which would ask the environment for a proxy."""

import contextlib
import http.client
from collections.abc import Mapping

TIMEOUT_SECONDS = 10.0
UNREACHABLE = (0, b"")
"""Status and body when nobody answers."""


def get(port: int, path: str) -> tuple[int, bytes]:
    """Status and body."""
    return _request("GET", port, path, {}, None)


def post(port: int, path: str, headers: Mapping[str, str], body: bytes) -> tuple[int, bytes]:
    """Status and body of a JSON request."""
    return _request("POST", port, path, {"Content-Type": "application/json", **headers}, body)


def _request(method: str, port: int, path: str, headers: Mapping[str, str], body: bytes | None) -> tuple[int, bytes]:
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_SECONDS)) as connection:
        try:
            connection.request(method, path, body, dict(headers))
            answer = connection.getresponse()
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException):
            return UNREACHABLE
