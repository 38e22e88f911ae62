"""The few calls that the operator makes of the Kubernetes API, on the async client of the `kubernetes` package."""

import contextlib
import json
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any

from kubernetes.aio import client as api
from kubernetes.aio import config

JSON = "application/json"
_METADATA = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
"""What events of a watch carry: the object is read again anyway, and a large one would not fit a line."""
APPLY = "application/apply-patch+yaml"
FIELD_MANAGER = "merit-operator"
_PAGE = 500
_REQUEST_SECONDS = 30.0
_WATCH_SECONDS = 240


class KubeError(Exception):
    """The API server refused, or did not answer (status 0)."""

    def __init__(self, status: int, message: str):
        super().__init__(f"{status}: {message}")
        self.status = status


class KubeClient:
    """Requests and watches. One connection pool, without a limit: each watched Secret holds a connection."""

    def __init__(self, configuration: api.Configuration):
        configuration.connection_pool_maxsize = 0  # 100 by default: the hundredth Secret would stop even the election
        self._api = api.ApiClient(configuration)

    @classmethod
    async def connect(cls, kubeconfig: Path | None) -> "KubeClient":
        """In the cluster by the pod's service account, elsewhere by a kubeconfig file. Raises OSError."""
        configuration = api.Configuration()
        try:
            if kubeconfig is not None:
                await config.load_kube_config(  # type: ignore[no-untyped-call] # untyped there
                    config_file=str(kubeconfig), client_configuration=configuration
                )
            else:
                config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
        except config.ConfigException as error:
            raise OSError(f"{error} Outside of a cluster name a --kubeconfig.") from error
        return cls(configuration)

    async def close(self) -> None:
        """Closes connections."""
        await self._api.close()  # type: ignore[no-untyped-call]

    async def request(
        self,
        method: str,
        path: str,
        *,
        body: Mapping[str, Any] | None = None,
        query: Mapping[str, str] | None = None,
        content_type: str = JSON,
    ) -> dict[str, Any]:
        """One request; the answer's JSON. Raises KubeError."""
        headers = {"Accept": JSON, "Content-Type": content_type}
        with _as_kube_error():
            response = await self._call(method, path, query or {}, headers, body=body, seconds=_REQUEST_SECONDS)
            data = await response.read()
        if response.status >= 400:
            raise KubeError(response.status, _reason(data))
        return json.loads(data) if data else {}

    async def list(self, path: str, query: Mapping[str, str] | None = None) -> tuple[list[dict[str, Any]], str]:
        """All items of a collection, page by page, and the collection's resourceVersion."""
        items: list[dict[str, Any]] = []
        page = dict(query or {}) | {"limit": str(_PAGE)}
        while True:
            answer = await self.request("GET", path, query=page)
            items += answer.get("items", [])
            metadata = answer.get("metadata", {})
            if not metadata.get("continue"):
                return items, str(metadata.get("resourceVersion", ""))
            page["continue"] = metadata["continue"]

    @contextlib.asynccontextmanager
    async def watch(
        self, path: str, resource_version: str, query: Mapping[str, str] | None = None
    ) -> AsyncIterator[AsyncIterator[str]]:
        """Types of the events after a resourceVersion, until the server ends the watch. Raises KubeError.

        Whoever watches reads the object again: an event says that something happened, not what is true now.
        """
        asked = dict(query or {}) | {
            "watch": "true",
            "resourceVersion": resource_version,
            "timeoutSeconds": str(_WATCH_SECONDS),
        }
        seconds = _WATCH_SECONDS + _REQUEST_SECONDS
        with _as_kube_error():
            response = await self._call("GET", path, asked, {"Accept": _METADATA}, body=None, seconds=seconds)
        try:
            if response.status >= 400:
                with _as_kube_error():
                    raise KubeError(response.status, _reason(await response.read()))
            yield _event_types(response.response.content)
        finally:
            response.response.close()  # else it is held until the garbage collector comes

    async def _call(
        self, method: str, path: str, query: Mapping[str, str], headers: dict[str, str], *, body: Any, seconds: float
    ) -> Any:
        parameters = await self._api.param_serialize(
            method=method,
            resource_path=path,
            query_params=list(query.items()),
            header_params=headers,
            body=body,
            auth_settings=["BearerToken"],
        )
        return await self._api.call_api(*parameters, _request_timeout=seconds, _preload_content=False)


async def _event_types(lines: Any) -> AsyncIterator[str]:
    while True:
        with _as_kube_error():
            line = await lines.readline()
        if not line or (kind := json.loads(line).get("type", "")) == "ERROR":
            return
        yield kind


@contextlib.contextmanager
def _as_kube_error() -> Iterator[None]:
    """Whatever a request may raise, as a KubeError."""
    try:
        yield
    except api.ApiException as error:
        raise KubeError(error.status or 0, str(error.reason)) from error
    except (OSError, TimeoutError, ValueError, api.OpenApiException) as error:
        raise KubeError(0, f"{type(error).__name__}: {error}") from error
    except Exception as error:  # aiohttp's own, not exported by the client
        if type(error).__module__.startswith("aiohttp"):
            raise KubeError(0, f"{type(error).__name__}: {error}") from error
        raise


def _reason(data: bytes) -> str:
    try:
        return str(json.loads(data).get("message", ""))
    except ValueError:
        return data[:200].decode(errors="replace")
