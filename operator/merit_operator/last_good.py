"""The copy of the last good snapshot that the leader keeps in the cluster, for pods that start while it is away.

ConfigMaps `<prefix>-last-good-0` … `-3` hold the gzipped snapshot in pieces (binaryData `snapshot.<i>`); the first has
`version`, `count`, `term` too. Secret `<prefix>-last-good` holds its credentials (`credentials`, JSON). Pods see
them as files of one folder and need no access to the API. A torn copy shows in the digest (pieces of two versions) or
in the fingerprints (credentials of another version), and is passed over.
"""

import base64
import gzip
import json
import logging
import zlib
from collections.abc import Callable, Mapping
from typing import Any

from merit_crds.compile import Compiled
from merit_crds.snapshot import Snapshot, decode, version_of
from merit_operator.client import APPLY, FIELD_MANAGER, KubeClient, KubeError

log = logging.getLogger("merit.last_good")
PIECE_BYTES = 700 * 1024
"""base64 in JSON makes a third more of it; an object may have 1 MiB."""
PIECES = 4
_LABELS = {"app.kubernetes.io/managed-by": "merit-operator"}


class LastGoodCopy:
    """Stores and loads the copy."""

    def __init__(self, client: KubeClient, namespace: str, prefix: str):
        self._client, self._prefix = client, prefix
        self._base = f"/api/v1/namespaces/{namespace}"
        self._stored = ("", 0)

    async def store(self, compiled: Compiled, term: int, *, leads: Callable[[], bool]) -> None:
        """Stores what a pod has acknowledged, while we lead. Raises KubeError. Once per version and term."""
        if self._stored == (compiled.version, term):
            return
        packed = gzip.compress(compiled.body, compresslevel=6, mtime=0)
        pieces = [packed[i : i + PIECE_BYTES] for i in range(0, len(packed), PIECE_BYTES)]
        if len(pieces) > PIECES:
            log.error("the snapshot has %d bytes packed, too many for the copy in the cluster", len(packed))
            return
        head = {"version": compiled.version, "count": str(len(pieces)), "term": str(term)}
        credentials = base64.b64encode(json.dumps(dict(compiled.credentials), sort_keys=True).encode()).decode()
        writes = [("Secret", "secrets", f"{self._prefix}-last-good", {"data": {"credentials": credentials}})]
        for i, piece in reversed(list(enumerate(pieces))):
            content: dict[str, Any] = {"binaryData": {f"snapshot.{i}": base64.b64encode(piece).decode()}}
            if i == 0:
                content["data"] = head
            writes.append(("ConfigMap", "configmaps", f"{self._prefix}-last-good-{i}", content))
        for write in writes:
            if not leads():
                return
            await self._apply(*write)
        self._stored = (compiled.version, term)

    async def load(self) -> Snapshot | None:
        """The snapshot of the copy; None where there is none that is whole. Raises KubeError."""
        first = await self._piece(0)
        if first is None:
            return None
        head = first.get("data") or {}
        count = str(head.get("count"))
        pieces = [first] + [await self._piece(i) or {} for i in range(1, int(count) if count.isdigit() else 1)]
        found = [(piece.get("binaryData") or {}).get(f"snapshot.{i}", "") for i, piece in enumerate(pieces)]
        try:
            body = gzip.decompress(b"".join(map(base64.b64decode, found)))
            if version_of(body) == head.get("version"):
                return decode(body)
            log.warning("the last good copy is not whole")
        except (OSError, EOFError, ValueError, zlib.error) as error:
            log.warning("the last good copy is not usable: %s", error)
        return None

    async def _piece(self, i: int) -> dict[str, Any] | None:
        try:
            return await self._client.request("GET", f"{self._base}/configmaps/{self._prefix}-last-good-{i}")
        except KubeError as error:
            if error.status == 404:
                return None
            raise

    async def _apply(self, kind: str, plural: str, name: str, content: Mapping[str, Any]) -> None:
        body = {"apiVersion": "v1", "kind": kind, "metadata": {"name": name, "labels": _LABELS}, **content}
        query = {"fieldManager": FIELD_MANAGER, "force": "true"}
        await self._client.request("PATCH", f"{self._base}/{plural}/{name}", body=body, query=query, content_type=APPLY)
