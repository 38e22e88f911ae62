"""One word for each thing that goes wrong with Redis."""

from redis import exceptions as redis

from merit_dataplane.shared_state.errors import SharedStateUnavailableError

_READS = {
    redis.BusyLoadingError: "loading",
    redis.AuthenticationError: "credentials",
    redis.NoPermissionError: "credentials",
    redis.TimeoutError: "timeout",
    redis.MasterDownError: "no_master",
    redis.ClusterDownError: "no_master",
    redis.MaxConnectionsError: "connections",
    redis.ConnectionError: "connection",
    OSError: "connection",
}
_WRITES = {redis.ReadOnlyError: "read_only", redis.OutOfMemoryError: "full"}
_CODES = {
    "OOM": "full",
    "READONLY": "read_only",
    "MISCONF": "disk",
    "NOREPLICAS": "replicas",
    "LOADING": "loading",
    "BUSY": "busy",
    "CLUSTERDOWN": "no_master",
    "MASTERDOWN": "no_master",
    "NOAUTH": "credentials",
    "WRONGPASS": "credentials",
    "NOPERM": "credentials",
    "WRONGTYPE": "wrong_type",
}
_OF_WRITES = frozenset({"full", "read_only", "disk", "replicas"})
"""Reads go on."""
_OF_ONE_KEY = frozenset({"wrong_type", "script"})
"""They say nothing of the server."""


def reason_of(error: BaseException) -> str:
    """One word for an error of redis-py or of the socket."""
    if isinstance(error, SharedStateUnavailableError):
        return error.reason
    for kind, reason in (_WRITES | _READS).items():
        if isinstance(error, kind):
            return reason
    return _CODES.get(str(error).split(" ", 1)[0], "script" if isinstance(error, redis.ResponseError) else "error")


def concerns(reason: str) -> tuple[bool, bool]:
    """Whether this counts against reads, and against writes."""
    if reason in _OF_ONE_KEY:
        return False, False
    return reason not in _OF_WRITES, True
