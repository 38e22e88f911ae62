"""Values of the Secrets that resources name, and of no others: each is read by its name and watched by its name."""

import asyncio
import base64
import contextlib
import logging
from collections.abc import Callable, Mapping
from typing import Any

from merit_operator.client import KubeClient, KubeError

log = logging.getLogger("merit.secrets")
SecretId = tuple[str, str]
_RETRY_SECONDS = 1.0
_ANSWERS = (401, 403)
"""The API server has refused, so that waiting is of no use; anything else may pass."""


class SecretReader:
    """Follows Secrets. `values` changes as they do; `changed` is called then."""

    def __init__(self, client: KubeClient, changed: Callable[[], None]):
        self._client, self._changed = client, changed
        self._followers: dict[SecretId, asyncio.Task[None]] = {}
        self._first_read: dict[SecretId, asyncio.Event] = {}
        self.values: dict[SecretId, Mapping[str, str]] = {}

    async def follow(self, wanted: set[SecretId], *, wait_seconds: float) -> None:
        """Follows exactly these. Returns when each new one has been answered for once, or the time is over."""
        for secret_id in set(self._followers) - wanted:
            self._followers.pop(secret_id).cancel()
            self._first_read.pop(secret_id, None)
            self.values.pop(secret_id, None)
        new = wanted - set(self._followers)
        for secret_id in new:
            self._first_read[secret_id] = asyncio.Event()
            self._followers[secret_id] = asyncio.create_task(self._follow(secret_id))
        if new:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_seconds):
                    await asyncio.gather(*(self._first_read[i].wait() for i in new))

    async def close(self) -> None:
        """Stops following."""
        for task in self._followers.values():
            task.cancel()
        await asyncio.gather(*self._followers.values(), return_exceptions=True)

    async def _follow(self, secret_id: SecretId) -> None:
        namespace, name = secret_id
        while True:
            try:
                version = await self._read(secret_id)
                self._first_read[secret_id].set()
                query = {"fieldSelector": f"metadata.name={name}"}
                path = f"/api/v1/namespaces/{namespace}/secrets"
                async with self._client.watch(path, version, query) as events:
                    async for _ in events:
                        await self._read(secret_id)
            except KubeError as error:
                if error.status in _ANSWERS:
                    self._first_read[secret_id].set()
                if error.status != 410:
                    log.warning("Secret %s/%s can't be followed: %s", namespace, name, error)
                    await asyncio.sleep(_RETRY_SECONDS)

    async def _read(self, secret_id: SecretId) -> str:
        """Reads the Secret; its resourceVersion, from which to watch."""
        namespace, name = secret_id
        try:
            body = await self._client.request("GET", f"/api/v1/namespaces/{namespace}/secrets/{name}")
        except KubeError as error:
            if error.status != 404:
                raise
            if self.values.pop(secret_id, None) is not None:
                self._changed()
            return "0"
        values = _decoded(body.get("data") or {})
        if self.values.get(secret_id) != values:
            self.values[secret_id] = values
            self._changed()
        return str(body["metadata"]["resourceVersion"])


def _decoded(data: Mapping[str, Any]) -> dict[str, str]:
    """Values that are no UTF-8 text can't be credentials and are left out."""
    values = {}
    for key, value in data.items():
        with contextlib.suppress(ValueError):
            values[key] = base64.b64decode(value).decode().rstrip("\r\n")
    return values
