"""The few calls that the operator makes of the Kubernetes API, on the async client of the `kubernetes` package."""

import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

from kubernetes.aio import client as api
from kubernetes.aio import config

JSON = "application/json"
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
    """Requests and watches. One connection pool."""

    def __init__(self, configuration: api.Configuration):
        self._api = api.ApiClient(configuration)

    @classmethod
    async def connect(cls, kubeconfig: Path | None) -> "KubeClient":
        """In the cluster by the pod's service account, elsewhere by a kubeconfig file."""
        configuration = api.Configuration()
        if kubeconfig is not None:
            await config.load_kube_config(  # type: ignore[no-untyped-call] # untyped there
                config_file=str(kubeconfig), client_configuration=configuration
            )
        else:
            config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
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
        try:
            response = await self._call(method, path, body, query or {}, content_type, _REQUEST_SECONDS)
            data = await response.read()
        except api.ApiException as error:
            raise KubeError(error.status or 0, str(error.reason)) from error
        except (OSError, TimeoutError, api.OpenApiException) as error:
            raise KubeError(0, type(error).__name__) from error
        except Exception as error:  # aiohttp's own, not exported by the client
            if type(error).__module__.startswith("aiohttp"):
                raise KubeError(0, f"{type(error).__name__}: {error}") from error
            raise
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

    async def watch(
        self, path: str, resource_version: str, query: Mapping[str, str] | None = None
    ) -> AsyncIterator[str]:
        """Types of the events after a resourceVersion, until the server ends the watch. Raises KubeError.

        Whoever watches reads the object again: an event says that something happened, not what is true now.
        """
        asked = dict(query or {}) | {
            "watch": "true",
            "resourceVersion": resource_version,
            "timeoutSeconds": str(_WATCH_SECONDS),
        }
        try:
            response = await self._call("GET", path, None, asked, JSON, _WATCH_SECONDS + _REQUEST_SECONDS)
            if response.status >= 400:
                raise KubeError(response.status, _reason(await response.read()))
            while line := await response.response.content.readline():
                kind = json.loads(line).get("type", "")
                if kind == "ERROR":
                    return
                yield kind
        except KubeError:
            raise
        except Exception as error:
            raise KubeError(0, f"{type(error).__name__}: {error}") from error

    async def _call(  # noqa: PLR0917 # the parts of a request
        self, method: str, path: str, body: Any, query: Mapping[str, str], content_type: str, seconds: float
    ) -> Any:
        parameters = await self._api.param_serialize(
            method=method,
            resource_path=path,
            query_params=list(query.items()),
            header_params={"Accept": JSON, "Content-Type": content_type},
            body=body,
            auth_settings=["BearerToken"],
        )
        return await self._api.call_api(*parameters, _request_timeout=seconds, _preload_content=False)


def _reason(data: bytes) -> str:
    try:
        return str(json.loads(data).get("message", ""))
    except ValueError:
        return data[:200].decode(errors="replace")
