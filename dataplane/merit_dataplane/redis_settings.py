"""Where Redis is: the URL of `--redis-url`, and who we are there.

redis://HOST[:PORT][/DB]                    one server; rediss:// with TLS
unix:///PATH[?db=N]                         one server on this machine
redis+sentinel://HOST:PORT,…/MASTER[/DB]    a master that Sentinels know; rediss+sentinel:// with TLS
redis+cluster://HOST:PORT,…                 a Cluster; rediss+cluster:// with TLS
"""

import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal
from urllib.parse import parse_qs, unquote, urlsplit

_EXAMPLE = "such as redis://redis.cache.svc:6379/0, redis+sentinel://a:26379,b:26379/mymaster or redis+cluster://a,b,c"
_MODES = {
    "redis": "Single",
    "rediss": "Single",
    "unix": "Socket",
    "redis+sentinel": "Sentinel",
    "rediss+sentinel": "Sentinel",
    "redis+cluster": "Cluster",
    "rediss+cluster": "Cluster",
}
_PORT, _SENTINEL_PORT = 6379, 26379


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who we are. Read anew at each connection, so that a rotated password counts; never shown."""

    username: str = ""
    password_file: Path | None = None
    password: str = field(default="", repr=False)
    """Counts where there is no file."""

    def read(self) -> tuple[str, str]:
        """Username and password; empty where there are none, and where the file is not there (yet)."""
        if self.password_file is None:
            return self.username, self.password
        try:
            return self.username, self.password_file.read_text(encoding="utf-8").strip()
        except FileNotFoundError:
            return self.username, ""


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """A parsed URL."""

    mode: Literal["Single", "Socket", "Sentinel", "Cluster"]
    hosts: tuple[tuple[str, int], ...] = ()
    path: str = ""
    master: str = ""
    """What Sentinels call it."""
    database: int = 0
    tls: bool = False
    username: str = ""

    @classmethod
    def parse(cls, text: str) -> "RedisAddress":
        """Raises ValueError with the fix; its words hold nothing of a password."""
        try:
            url = urlsplit(text)
            mode = _MODES[url.scheme]
        except (ValueError, KeyError):
            raise ValueError(f"must be a Redis URL, {_EXAMPLE}") from None
        who, at, places = url.netloc.rpartition("@")
        if ":" in who:
            raise ValueError(
                "must hold no password, which a command line shows to everybody: "
                "use --redis-password-file or MERIT_REDIS_PASSWORD"
            )
        made = cls(mode=mode, tls=url.scheme.startswith("rediss"), username=unquote(who) if at else "")  # type: ignore[arg-type]
        match mode:
            case "Socket":
                if places or not url.path:
                    raise ValueError("must be unix:///PATH: three slashes, then the socket's path")
                database = parse_qs(url.query).get("db", ["0"])[0]
                return replace(made, path=unquote(url.path), database=_database(database))
            case "Sentinel":
                master, _, database = url.path.strip("/").partition("/")
                if not master:
                    raise ValueError("must name the master, such as redis+sentinel://a:26379,b:26379/mymaster")
                hosts = _hosts(places, _SENTINEL_PORT)
                return replace(made, hosts=hosts, master=unquote(master), database=_database(database))
            case "Cluster":
                if url.path.strip("/") not in {"", "0"}:
                    raise ValueError("must name no database: a Cluster has only 0")
                return replace(made, hosts=_hosts(places, _PORT))
        hosts = _hosts(places, _PORT)
        if len(hosts) > 1:
            raise ValueError("must name one server; several are redis+sentinel:// or redis+cluster://")
        return replace(made, hosts=hosts, database=_database(url.path.strip("/")))

    def __str__(self) -> str:
        """Without the username: for logs."""
        places = self.path or ",".join(f"[{h}]:{p}" if ":" in h else f"{h}:{p}" for h, p in self.hosts)
        return f"{self.mode} {places}{f' ({self.master})' if self.master else ''}"


@dataclass(frozen=True, slots=True)
class RedisSettings:
    """What `merit serve` was told about Redis."""

    address: RedisAddress
    credentials: Credentials = Credentials()
    sentinel_credentials: Credentials = Credentials()
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    prefix: str = "merit"
    """First part of every key: several installations can share a server."""
    budget_seconds: float = 0.005
    """Most that one request waits for Redis, all its commands together."""


def password_of(environment: str, file: Path | None, username: str = "") -> Credentials:
    """Credentials from a file, else from the environment variable of this name."""
    return Credentials(username=username, password_file=file, password="" if file else os.environ.get(environment, ""))


def _database(text: str) -> int:
    if text and not (text.isdecimal() and len(text) < 6):
        raise ValueError(f"must end with the database's number, such as /0 (is {text!r})")
    return int(text or 0)


def _hosts(places: str, port: int) -> tuple[tuple[str, int], ...]:
    found = []
    for place in places.split(","):
        try:
            parts = urlsplit(f"//{place}")
            host, given = parts.hostname, parts.port
        except ValueError:
            host, given = None, None
        if not host:
            raise ValueError(f"must name HOST or HOST:PORT (is {place!r}), {_EXAMPLE}")
        found.append((host, given or port))
    return tuple(found)
