"""What `merit-operator run` was asked for."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Settings:
    """Flags of the command; times of the protocol stand where they are used."""

    namespaces: tuple[str, ...]
    """Namespaces whose resources are watched; empty: all."""
    pod_namespace: str
    """Where the data plane, the Lease and the last good copy are."""
    identity: str
    """Name of this pod, the holder's identity in the Lease."""
    service: str
    """Name of the data plane's admin Service."""
    admin_port: int
    token_file: Path
    tls_ca: Path | None
    """CA of the pods' admin certificates; None: plain HTTP."""
    lease_name: str
    last_good_prefix: str
    listen_host: str
    listen_port: int
    kubeconfig: Path | None
