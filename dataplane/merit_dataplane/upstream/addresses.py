"""Which addresses a name has, without those that no provider can have."""

import asyncio
import functools
import ipaddress
import socket

_KEPT_SECONDS = 10.0
_MOST_NAMES = 1024


_METADATA = frozenset(
    map(
        ipaddress.ip_address,
        (
            "fd00:ec2::254",  # AWS
            "168.63.129.16",  # Azure: its metadata is link-local, but this one hands out the machine's configuration
            "100.100.100.200",  # Alibaba
        ),
    )
)
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_LOW_32_BITS = 0xFFFF_FFFF


class RefusedAddressError(OSError):
    """The name resolves to an address that no provider can have."""


@functools.lru_cache(maxsize=4096)
def refused(address: str) -> bool:
    """Cloud metadata services give credentials away: their addresses are refused, and all that are link-local.

    So are multicast and unspecified addresses. Raises ValueError when it is no address.
    """
    ip = ipaddress.ip_address(address.split("%", 1)[0])
    if isinstance(ip, ipaddress.IPv6Address):  # an IPv4 address may be in it
        ip = ipaddress.IPv4Address(int(ip) & _LOW_32_BITS) if ip in _NAT64 else ip.ipv4_mapped or ip
    return ip in _METADATA or ip.is_link_local or ip.is_multicast or ip.is_unspecified


def is_literal(host: str) -> bool:
    """Whether it is an address in its usual form; 0xa9fea9fe and its like are names, which the system resolves."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


class Addresses:
    """Resolves names, ten seconds long from memory; requests that ask for the same name wait for one answer."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[float, list[str]]] = {}
        self._asking: dict[str, asyncio.Task[list[str]]] = {}
        self._look_again: dict[str, float] = {}

    async def of(self, host: str) -> list[str]:
        """Where to connect to, best first. Raises RefusedAddressError, or OSError when the name is unknown."""
        if is_literal(host):
            return _usable(host, [host])
        known = self._known.get(host)
        if known is not None and known[0] > asyncio.get_running_loop().time():
            return known[1]
        return await asyncio.shield(self._task(host))  # one that gives up takes no other with it

    def moved(self, host: str, address: str) -> bool:
        """Whether the name surely has other addresses now. Looks that up in the background, where it is old."""
        known = self._known.get(host)
        if known is None:
            return False
        now = asyncio.get_running_loop().time()
        if known[0] > now:
            return address not in known[1]
        if self._look_again.get(host, 0.0) <= now:
            if len(self._look_again) >= _MOST_NAMES:
                self._look_again.clear()
            self._look_again[host] = now + _KEPT_SECONDS  # also where nobody answers
            self._task(host)
        return False

    def _task(self, host: str) -> asyncio.Task[list[str]]:
        task = self._asking.get(host)
        if task is None:
            task = self._asking[host] = asyncio.create_task(self._ask(host))
            task.add_done_callback(functools.partial(self._answered, host))
        return task

    def close(self) -> None:
        """Gives up what is being asked."""
        for task in self._asking.values():
            task.cancel()

    async def _ask(self, host: str) -> list[str]:
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        usable = _usable(host, list(dict.fromkeys(str(address[0]) for *_, address in found)))
        if len(self._known) >= _MOST_NAMES:
            self._known.clear()
        self._known[host] = (loop.time() + _KEPT_SECONDS, usable)
        return usable

    def _answered(self, host: str, task: asyncio.Task[list[str]]) -> None:
        del self._asking[host]
        if not task.cancelled():
            task.exception()  # seen, also when all who waited have gone


def _usable(host: str, found: list[str]) -> list[str]:
    usable = [address for address in found if not refused(address)]
    if not usable:
        raise RefusedAddressError(f"{host} resolves to addresses that no provider has")
    return usable
