"""All kopf handlers. They only pass hints on: without create, update or delete handlers kopf writes into no object."""

from typing import Any, Protocol

import kopf

from merit_crds import GROUP, VERSION
from merit_crds.definition import NAMES

_BACKOFFS = (0.2, 0.5, 1.0, *[2.0] * 1800)
"""Seconds; kopf's own grow to 21, for which changes would go unheard after the API server is back."""


class Hints(Protocol):
    """Who is told of events."""

    def hint(self, kind: str, event: str | None, body: dict[str, Any]) -> None:
        """An object was added, modified or deleted; `event` is None for those of the first list."""
        ...


def registry(hints: Hints) -> kopf.OperatorRegistry:
    """A registry whose handlers tell `hints`."""
    made = kopf.OperatorRegistry()
    for kind, names in NAMES.items():
        kopf.on.event(GROUP, VERSION, names.plural, registry=made, id=f"hint-{kind}")(_teller(hints, kind))
    kopf.on.startup(registry=made)(configure)
    kopf.on.login(registry=made)(login)
    return made


def _teller(hints: Hints, kind: str) -> Any:
    async def tell(event: Any, **_: Any) -> None:
        hints.hint(kind, event["type"], dict(event["object"]))

    return tell


async def configure(settings: kopf.OperatorSettings, **_: Any) -> None:
    """kopf's settings; set here and nowhere else."""
    settings.posting.enabled = False
    settings.scanning.disabled = True  # the four kinds are known; no watching of CRDs and namespaces
    settings.networking.request_timeout = 30
    settings.networking.error_backoffs = _BACKOFFS
    settings.watching.server_timeout = 240
    settings.persistence.finalizer = "merit.dev/never-used"


def login(**kwargs: Any) -> Any:
    """In a cluster by the service account, elsewhere by $KUBECONFIG."""
    return kopf.login_with_service_account(**kwargs) or kopf.login_with_kubeconfig(**kwargs)
