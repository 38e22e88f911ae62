"""Settings of one data-plane process: ports, folders, limits. How requests are served comes from the snapshot."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from merit_dataplane.redis_settings import RedisSettings

STDOUT: Final = Path("-")


@dataclass(frozen=True, slots=True)
class Address:
    """Host and port to listen on."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> "Address":
        """From `127.0.0.1:8080`, `[::1]:8080` or `:8080` (all addresses). Raises ValueError."""
        host, colon, port = text.rpartition(":")
        if not colon or not port.isdecimal() or int(port) > 65535:
            raise ValueError(f"must be HOST:PORT, such as 127.0.0.1:8080 (is {text!r})")
        return cls(host.strip("[]") or "0.0.0.0", int(port))  # noqa: S104 # what a bare :PORT means

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Settings:
    """What `merit serve` was asked for."""

    listen: Address
    admin_listen: Address
    folder: Path | None = None
    """Standalone: the folder of resources. None: the operator pushes."""
    secrets_folder: Path | None = None
    watch: bool = True
    token_file: Path | None = None
    """The push token; read again at each push."""
    state_dir: Path | None = None
    last_good_dir: Path | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None
    """Of the admin port."""
    drain_seconds: float = 5.0
    """From SIGTERM to refusing new connections: the time that endpoints take to move away."""
    grace_seconds: float = 120.0
    """Then, most seconds until open requests have ended."""
    usage_log: Path | None = STDOUT
    """A folder, `-` for standard output, None for no log."""
    usage_log_file_bytes: int = 64 * 1024 * 1024
    usage_log_file_seconds: float = 3600.0
    usage_log_keep_bytes: int = 1024 * 1024 * 1024
    max_body_bytes: int = 50 * 1024 * 1024
    body_memory_bytes: int = 192 * 1024 * 1024
    """Of all request bodies that are held at once."""
    cache_bytes: int = 64 * 1024 * 1024
    cache_key_file: Path | None = None
    """The secret of all pods with which answers are encrypted in Redis."""
    ambient_namespaces: tuple[str, ...] = ()
    """Whose Providers may use the pod's own identity at a cloud; `*` is every one."""
    pod: str = ""
    traces_url: str = ""
    """Where spans go, the full URL of OTLP/HTTP; empty: none are made."""
    redis: RedisSettings | None = None
    """What pods share; None where they share nothing."""
