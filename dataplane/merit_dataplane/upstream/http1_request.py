"""The part of a request that is the same for each one to an endpoint, made once."""

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import quote, unquote, urlsplit

from merit_dataplane.upstream.addresses import is_literal, refused
from merit_dataplane.upstream.client import Failure, UpstreamError

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_BAD_VALUE = re.compile(r"[\r\n\0]")
_OURS = frozenset({"content-length", "transfer-encoding", "host"})
_PORTS = {"http": 80, "https": 443}
_PLAIN = "/%:@!$&'()*+,;=~-._"
_LENGTH = b"Content-Length: "


class Origin(NamedTuple):
    """What a connection is kept for."""

    tls: bool
    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Prepared:
    """The head of a request up to the length of its body."""

    origin: Origin
    head: bytes
    headers: dict[str, str]
    """What `head` was made of: a mapping that has changed since needs another head."""

    @property
    def without_body(self) -> bytes:
        """The whole head of a request that has none."""
        return self.head.removesuffix(_LENGTH) + b"\r\n"


def prepare(url: str, headers: Mapping[str, str], method: str = "POST") -> Prepared:
    """Raises UpstreamError when no request can be made of it, in words without URL and values: these may be secret."""
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").rstrip(".")
        if not host.isascii():
            host = host.encode("idna").decode()
        port = parts.port or _PORTS[parts.scheme]
    except (ValueError, KeyError):
        raise UpstreamError(Failure.REFUSED_ADDRESS, "the provider's URL can't be called") from None
    if not host or not host.isprintable() or " " in host:
        raise UpstreamError(Failure.REFUSED_ADDRESS, "the provider's URL names no host")
    if is_literal(host) and refused(host):
        raise UpstreamError(Failure.REFUSED_ADDRESS, f"{host} is an address that no provider has")
    target = quote(parts.path or "/", safe=_PLAIN)
    if parts.query:
        target += "?" + quote(parts.query, safe=_PLAIN + "?")
    shown = f"[{host}]" if ":" in host else host
    authority = shown if port == _PORTS[parts.scheme] else f"{shown}:{port}"
    given = {name.lower(): value for name, value in headers.items()}
    lines = [f"{method} {target} HTTP/1.1", f"Host: {given.get('host', authority)}"]
    if parts.username is not None and "authorization" not in given:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        lines.append(f"Authorization: Basic {base64.b64encode(pair.encode()).decode()}")
    lines += [f"{name}: {value}" for name, value in headers.items() if name.lower() not in _OURS]
    for name, value in headers.items():
        if not _TOKEN.fullmatch(name) or _BAD_VALUE.search(value):
            raise UpstreamError(Failure.CONNECT, f"the header {name[:100]!r} can't be sent")
    head = "\r\n".join((*lines, "")).encode() + _LENGTH
    return Prepared(origin=Origin(parts.scheme == "https", host, port), head=head, headers=dict(headers))
