"""One exchange with one pod."""

import json
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from merit_crds.push import (
    COMMITMENTS_PATH,
    FORMAT_HEADER,
    PODS_HEADER,
    SNAPSHOT_PATH,
    TERM_HEADER,
    VERSION_HEADER,
    VERSION_PATH,
    Ack,
    Nack,
    Volumes,
)
from merit_crds.snapshot import FORMAT
from merit_operator.discovery import Pod

_CERTIFICATE_NAME = "merit-dataplane-admin"
_SECONDS = 5.0
_ack = msgspec.json.Decoder(Ack)
_nack = msgspec.json.Decoder(Nack)


class UnreachableError(Exception):
    """The pod gave no answer that can be understood."""


@dataclass(frozen=True, slots=True)
class Parcel:
    """A snapshot as it is sent: packed once for all pods."""

    version: str
    term: int
    body: bytes = field(repr=False)


class PodClient:
    """Talks to admin ports; one connection pool for all pods."""

    def __init__(self, *, port: int, token_file: Path, tls_ca: Path | None):
        self._port, self._token_file, self._tls_ca = port, token_file, tls_ca
        self.pods = 1
        """How many there are: they are told, since limits are shared out among them."""
        self._session: aiohttp.ClientSession | None = None
        self._ssl: tuple[float, ssl.SSLContext] | None = None

    async def push(self, pod: Pod, parcel: Parcel) -> Ack | Nack:
        """Hands over a snapshot. Raises UnreachableError."""
        headers = {
            VERSION_HEADER: parcel.version,
            TERM_HEADER: str(parcel.term),
            FORMAT_HEADER: str(FORMAT),
            PODS_HEADER: str(self.pods),
            "Content-Encoding": "gzip",
            "Content-Type": "application/json",
        }
        return await self._exchange("PUT", pod, SNAPSHOT_PATH, headers, parcel.body)

    async def version(self, pod: Pod) -> Ack | Nack:
        """What the pod serves. Raises UnreachableError."""
        return await self._exchange("GET", pod, VERSION_PATH, {PODS_HEADER: str(self.pods)}, None)

    async def volumes(self, pod: Pod, volumes: Volumes) -> Ack | Nack:
        """Tells what others have drawn of commitments; what the pod serves. Raises UnreachableError."""
        body = msgspec.json.encode(volumes)
        status, data = await self._request("PUT", pod, COMMITMENTS_PATH, {"Content-Type": "application/json"}, body)
        return await self.version(pod) if status == 404 else _answer(status, data)  # older than commitments

    async def snapshot(self, pod: Pod) -> bytes:
        """The canonical bytes of what the pod serves; empty when it has none. Raises UnreachableError."""
        status, data = await self._request("GET", pod, SNAPSHOT_PATH, {}, None)
        return data if status == 200 else b""

    async def close(self) -> None:
        """Closes connections."""
        if self._session is not None:
            await self._session.close()

    async def _exchange(
        self, method: str, pod: Pod, path: str, headers: dict[str, str], body: bytes | None
    ) -> Ack | Nack:
        return _answer(*await self._request(method, pod, path, headers, body))

    async def _request(
        self, method: str, pod: Pod, path: str, headers: dict[str, str], body: bytes | None
    ) -> tuple[int, bytes]:
        url = f"{'https' if self._tls_ca else 'http'}://{pod.host}:{self._port}{path}"
        extra: dict[str, Any] = {}
        try:
            if self._tls_ca is not None:
                extra = {"ssl": self._context(self._tls_ca), "server_hostname": _CERTIFICATE_NAME}
            headers = {**headers, "Authorization": f"Bearer {self._token_file.read_text(encoding='utf-8').strip()}"}
            async with self._pool().request(method, url, headers=headers, data=body, **extra) as response:
                return response.status, await response.read()
        except (aiohttp.ClientError, OSError, TimeoutError, json.JSONDecodeError) as error:
            raise UnreachableError(type(error).__name__) from error

    def _pool(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=30),
                timeout=aiohttp.ClientTimeout(total=_SECONDS),
                auto_decompress=True,
                trust_env=False,
            )
        return self._session

    def _context(self, ca: Path) -> ssl.SSLContext:
        written = ca.stat().st_mtime
        if self._ssl is None or self._ssl[0] != written:  # it is replaced before it expires
            self._ssl = written, ssl.create_default_context(cafile=str(ca))
        return self._ssl[1]


def _answer(status: int, data: bytes) -> Ack | Nack:
    try:
        return _ack.decode(data) if status == 200 else _nack.decode(data)
    except msgspec.MsgspecError:
        raise UnreachableError(f"answered {status} with something that is no ACK") from None
