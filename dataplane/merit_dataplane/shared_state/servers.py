"""Connections to Redis by redis-py: one server, the master that Sentinels name, or the masters of a Cluster.

Of redis-py this uses connecting, TLS, AUTH, discovery and the protocol, but not its retries, which would make a request
wait: Lane decides what is tried again.
"""

from collections.abc import Sequence
from typing import Any, Protocol

from redis import exceptions
from redis.asyncio import Redis, RedisCluster, Sentinel
from redis.asyncio.cluster import ClusterNode, PipelineCommand
from redis.asyncio.connection import ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.credentials import CredentialProvider

from merit_dataplane.redis_settings import Credentials, RedisSettings

CONNECTIONS = 8
"""Most per server: pipelines of waiting requests, of later writes, and the probe."""
_REPLY_SECONDS = 0.25
"""After this long without a reply a connection is given up. Requests have long ceased to wait."""
_CONNECT_SECONDS = 1.0
_REDIRECTED = (exceptions.MovedError, exceptions.AskError, exceptions.TryAgainError)
_LOST = (exceptions.ConnectionError, exceptions.TimeoutError, OSError)

Arguments = tuple[bytes | str | int, ...]
"""One command."""


class Server(Protocol):
    """What a lane talks to."""

    async def pipeline(self, commands: Sequence[Arguments]) -> list[Any]:
        """Replies in order; a command's own error is its reply. Raises RedisError or OSError: the server is gone."""

    def probe_key(self) -> bytes:
        """A key that this server holds."""


class _FromFile(CredentialProvider):
    def __init__(self, credentials: Credentials):
        self._credentials = credentials

    def get_credentials(self) -> tuple[()] | tuple[str] | tuple[str, str]:  # type: ignore[override] # () is no AUTH
        username, password = self._credentials.read()
        if not password:
            return ()
        return (username, password) if username else (password,)

    async def get_credentials_async(self) -> tuple[()] | tuple[str] | tuple[str, str]:  # type: ignore[override] # as above
        return self.get_credentials()


def _provider(credentials: Credentials) -> CredentialProvider | None:
    return _FromFile(credentials) if credentials.password_file or credentials.password or credentials.username else None


def _options(settings: RedisSettings, credentials: Credentials) -> dict[str, Any]:
    options: dict[str, Any] = {
        "socket_timeout": _REPLY_SECONDS,
        "socket_connect_timeout": _CONNECT_SECONDS,
        "credential_provider": _provider(credentials),
        "protocol": 2,
        "driver_info": None,
    }
    if settings.address.tls:
        options |= {
            "ssl": True,
            "ssl_ca_certs": str(settings.ca_file) if settings.ca_file else None,
            "ssl_certfile": str(settings.cert_file) if settings.cert_file else None,
            "ssl_keyfile": str(settings.key_file) if settings.key_file else None,
        }
    return options


class OneServer:
    """A single server, or the master that Sentinels name."""

    def __init__(self, settings: RedisSettings):
        address = settings.address
        options = _options(settings, settings.credentials)
        options |= {"retry": Retry(NoBackoff(), 0), "max_connections": CONNECTIONS}
        self._sentinel: Sentinel | None = None
        self._prefix = settings.prefix
        match address.mode:
            case "Socket":
                self._client: Redis = Redis(unix_socket_path=address.path, db=address.database, **options)
            case "Sentinel":
                options["db"] = address.database
                asking = _options(settings, settings.sentinel_credentials) | {"retry": Retry(NoBackoff(), 0)}
                self._sentinel = Sentinel(  # type: ignore[no-untyped-call]
                    address.hosts, sentinel_kwargs=asking
                )
                self._client = self._sentinel.master_for(address.master, **options)
            case _:
                host, port = address.hosts[0]
                self._client = Redis(host=host, port=port, db=address.database, **options)

    async def pipeline(self, commands: Sequence[Arguments]) -> list[Any]:
        """As Server's."""
        pipe = self._client.pipeline(transaction=False)
        for command in commands:
            pipe.execute_command(*command)
        replies: list[Any] = await pipe.execute(raise_on_error=False)
        return replies

    def probe_key(self) -> bytes:
        """As Server's."""
        return f"{self._prefix}:probe".encode()

    async def close(self) -> None:
        """Closes all connections."""
        await self._client.aclose()
        pool: ConnectionPool = self._client.connection_pool
        await pool.disconnect()
        if self._sentinel is not None:
            await self._sentinel.aclose()


class Cluster:
    """The masters of a Cluster: which slots are whose, and where a slot has moved to."""

    def __init__(self, settings: RedisSettings):
        self._client = RedisCluster(
            startup_nodes=[ClusterNode(host, port) for host, port in settings.address.hosts],
            require_full_coverage=False,
            max_connections=CONNECTIONS,
            retry=Retry(NoBackoff(), 1),
            **_options(settings, settings.credentials),
        )
        self._prefix = settings.prefix
        self.known = False
        """Whether the slots are known."""

    async def refresh(self) -> set[str]:
        """Asks who holds which slots; the names of the masters. Raises RedisError or OSError."""
        if self.known:
            await self._client.nodes_manager.initialize()
        else:
            await self._client.initialize()
            self.known = True
        return {node.name for node in self._client.get_primaries()}

    def master_of(self, key: bytes) -> str:
        """Name of the master that holds a key's slot. Raises SlotNotCoveredError."""
        name: str = self._client.nodes_manager.get_node_from_slot(self._client.keyslot(key)).name
        return name

    def node(self, name: str) -> "Master":
        """One of them."""
        return Master(self, name)

    async def pipeline(self, name: str, commands: Sequence[Arguments]) -> list[Any]:
        """Sends to one master. What has moved from there follows, one by one."""
        node = self._client.get_node(node_name=name)
        if node is None:
            raise ConnectionError("the master has left the Cluster")
        sent = [PipelineCommand(place, *command) for place, command in enumerate(commands)]
        await node.execute_pipeline(sent)
        lost = next((c.result for c in sent if isinstance(c.result, _LOST)), None)
        if lost is not None:
            raise lost
        replies = [command.result for command in sent]
        for place, reply in enumerate(replies):
            if isinstance(reply, _REDIRECTED):
                try:
                    replies[place] = await self._client.execute_command(*commands[place])
                except Exception as error:  # it is this command's reply, whatever it is
                    replies[place] = error
        return replies

    def probe_key(self, name: str) -> bytes:
        """A key that this master holds."""
        for number in range(100_000):
            key = f"{self._prefix}:probe:{number}".encode()
            try:
                if self.master_of(key) == name:
                    return key
            except Exception:  # noqa: S112 # a slot that nobody holds is not this one's
                continue
        return f"{self._prefix}:probe".encode()

    async def close(self) -> None:
        """Closes all connections."""
        await self._client.aclose()


class Master:
    """One master of a Cluster. By name: the node object behind it is another after each refresh."""

    def __init__(self, cluster: Cluster, name: str):
        self._cluster, self.name = cluster, name
        self._probe_key = b""

    async def pipeline(self, commands: Sequence[Arguments]) -> list[Any]:
        """As Server's."""
        return await self._cluster.pipeline(self.name, commands)

    def probe_key(self) -> bytes:
        """As Server's."""
        if not self._probe_key or not self._holds_it():
            self._probe_key = self._cluster.probe_key(self.name)
        return self._probe_key

    def _holds_it(self) -> bool:
        try:
            return self._cluster.master_of(self._probe_key) == self.name
        except Exception:  # a slot that nobody holds
            return False
