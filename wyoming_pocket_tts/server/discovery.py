"""Zeroconf announcement that follows the interfaces."""

import asyncio
import logging
import re
import socket
import uuid
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Final

import ifaddr
from zeroconf import Error as ZeroconfError
from zeroconf import NonUniqueNameException
from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf

from wyoming_pocket_tts.core.address import TcpAddress, parse_uri

_LOGGER = logging.getLogger(__name__)

SERVICE_TYPE: Final = "_wyoming._tcp.local."
IpAddress = IPv4Address | IPv6Address

_POLL_SECONDS: Final = 10.0
"""Between two looks for changes, and before another try."""
_MAX_LABEL_BYTES: Final = 63
"""Of DNS."""
_MAX_NAMES_TRIED: Final = 20

_LOCAL_LINKS = re.compile(r"(docker|veth|virbr|lxcbr|lxdbr|cni|flannel|podman|tun|wg|tailscale)|br-[0-9a-f]{12}$")
"""Bridges to containers and tunnels. Home Assistant tries one address only, and from elsewhere these lead nowhere."""
_IPV6_TABLE = Path("/proc/net/if_inet6")
_IPV6_UNSTABLE_FLAGS: Final = 0x01 | 0x08 | 0x20 | 0x40
"""Linux: temporary (privacy), failed duplicate check, deprecated, tentative."""


@dataclass(frozen=True, slots=True)
class _Reachability:
    """The input of an announcement; another one needs another responder."""

    addresses: Mapping[int, tuple[IpAddress, ...]] = field(default_factory=dict)
    """By port."""
    interfaces: frozenset[int] = frozenset()
    """By the system's numbers."""

    @property
    def all_addresses(self) -> tuple[IpAddress, ...]:
        return tuple(address for of_port in self.addresses.values() for address in of_port)


def reachable_addresses(
    bound_hosts: Collection[str], adapters: Iterable[ifaddr.Adapter] | None = None
) -> tuple[IpAddress, ...]:
    """Addresses where other machines reach sockets bound to ``bound_hosts``, IPv4 first, in a stable order.

    ``0.0.0.0`` stands for every routable IPv4 address, ``::`` for every IPv6 one. ``adapters``: None for the machine's.
    """
    bound = {ip_address(host.partition("%")[0]) for host in bound_hosts}
    found = {address for address in bound if not address.is_unspecified and not address.is_link_local}
    open_versions = {address.version for address in bound if address.is_unspecified}
    if open_versions:
        local = _routable(ifaddr.get_adapters() if adapters is None else adapters)
        found |= {address for address in local if address.version in open_versions}
    return tuple(sorted(found, key=lambda address: (address.version, int(address))))


def multicast_interfaces(
    addresses: Iterable[IpAddress], adapters: Iterable[ifaddr.Adapter] | None = None
) -> list[str | int | tuple[tuple[str, int, int], int]]:
    """Interfaces for zeroconf: every IPv4 one, loopback included, and the IPv6 ones among ``addresses``."""
    found = ifaddr.get_adapters() if adapters is None else adapters
    ipv4 = {ip.ip for adapter in found for ip in adapter.ips if isinstance(ip.ip, str)}
    ipv6 = {str(address) for address in addresses if isinstance(address, IPv6Address)}
    return [*sorted(ipv4), *sorted(ipv6)]


def interfaces_of(addresses: Collection[IpAddress], adapters: Iterable[ifaddr.Adapter] | None = None) -> frozenset[int]:
    """Numbers of the network interfaces that have these addresses.

    An interface that went and came back, such as a Wi-Fi stick, has another number: sockets on the old one get nothing.
    """
    found = ifaddr.get_adapters() if adapters is None else adapters
    wanted = set(map(str, addresses))
    return frozenset(
        adapter.index
        for adapter in found
        if adapter.index is not None
        and not wanted.isdisjoint(ip.ip if isinstance(ip.ip, str) else ip.ip[0] for ip in adapter.ips)
    )


def _routable(adapters: Iterable[ifaddr.Adapter]) -> set[IpAddress]:
    """Addresses of the real links, or of the local ones if there are no others, as in a container."""
    unstable = _unstable_ipv6()
    real: set[IpAddress] = set()
    local: set[IpAddress] = set()
    for adapter in adapters:
        here = local if _LOCAL_LINKS.match(adapter.name) else real
        for ip in adapter.ips:
            address = ip_address(ip.ip if isinstance(ip.ip, str) else ip.ip[0])
            useless = address.is_loopback or address.is_link_local or address.is_unspecified or address in unstable
            if not useless:
                here.add(address)
    return real or local


def _unstable_ipv6() -> set[IPv6Address]:
    """IPv6 addresses that change or do not work; none if the system has no such table."""
    try:
        lines = _IPV6_TABLE.read_text(encoding="ascii").splitlines()
    except OSError:
        return set()
    rows = [line.split() for line in lines]
    return {IPv6Address(int(row[0], 16)) for row in rows if int(row[4], 16) & _IPV6_UNSTABLE_FLAGS}


class ZeroconfAnnouncer:
    """A ``server.Announcer`` that follows the machine's addresses. Network errors are logged, never raised."""

    def __init__(
        self,
        name_for: Callable[[int], str],
        *,
        find_addresses: Callable[[Collection[str]], tuple[IpAddress, ...]] = reachable_addresses,
        find_interfaces: Callable[[Collection[IpAddress]], frozenset[int]] = interfaces_of,
        poll_seconds: float = _POLL_SECONDS,
        service_type: str = SERVICE_TYPE,
    ) -> None:
        """``name_for`` makes the name to announce from a port."""
        self._name_for = name_for
        self._find_addresses = find_addresses
        self._find_interfaces = find_interfaces
        self._poll_seconds = poll_seconds
        self._service_type = service_type
        self._bound_hosts: dict[int, list[str]] = {}
        self._announced = _Reachability()
        self._zeroconf: AsyncZeroconf | None = None
        self._task: asyncio.Task[None] | None = None
        self._last_problem = ""

    async def announce(self, addresses: Sequence[str]) -> None:
        """Begin to announce the TCP URIs of ``addresses``; goes on in the background."""
        for address in map(parse_uri, addresses):
            if isinstance(address, TcpAddress):
                self._bound_hosts.setdefault(address.port, []).append(address.host)
        if self._bound_hosts:
            self._task = asyncio.create_task(self._keep_announced(), name="zeroconf")

    async def withdraw(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        await self._close()

    async def _keep_announced(self) -> None:
        while True:
            try:
                wanted = self._find()
                if not wanted.addresses:
                    await self._close()
                    self._log_problem("this machine has no address that others can reach")
                elif wanted != self._announced:
                    await self._replace(wanted)
            except (OSError, RuntimeError, ZeroconfError) as error:
                self._log_problem(str(error) or type(error).__name__)
                await self._close()
            await asyncio.sleep(self._poll_seconds)

    def _find(self) -> _Reachability:
        found = {port: self._find_addresses(hosts) for port, hosts in self._bound_hosts.items()}
        reachable = _Reachability({port: addresses for port, addresses in found.items() if addresses})
        return replace(reachable, interfaces=self._find_interfaces(reachable.all_addresses))

    async def _replace(self, wanted: _Reachability) -> None:
        """Replace the responder too: its sockets belong to the former interfaces."""
        await self._close()
        self._zeroconf = _responder(wanted.all_addresses)
        for port, addresses in wanted.addresses.items():
            name = await self._register(self._zeroconf, port, addresses)
            _LOGGER.info("Announced as '%s' at %s, port %d", name, ", ".join(map(str, addresses)), port)
        self._announced = wanted
        self._last_problem = ""

    async def _register(self, zeroconf: AsyncZeroconf, port: int, addresses: tuple[IpAddress, ...]) -> str:
        for attempt in range(1, _MAX_NAMES_TRIED + 1):
            suffix = "" if attempt == 1 else f"-{attempt}"
            name = self._name_for(port).encode()[: _MAX_LABEL_BYTES - len(suffix)].decode(errors="ignore") + suffix
            try:
                sent = await zeroconf.async_register_service(_describe(name, self._service_type, addresses, port))
            except NonUniqueNameException:
                _LOGGER.warning("Another server in this network is called '%s'; --zeroconf NAME gives a name", name)
                continue
            await sent
            return name
        raise ZeroconfError(f"{_MAX_NAMES_TRIED} servers are called '{self._name_for(port)}'")

    async def _close(self) -> None:
        self._announced = _Reachability()
        if self._zeroconf is None:
            return
        try:
            await self._zeroconf.async_close()
        except (OSError, ZeroconfError) as error:
            _LOGGER.warning("Could not withdraw the announcement: %s", error)
        self._zeroconf = None  # only now: ``withdraw`` finishes a close that was cancelled

    def _log_problem(self, problem: str) -> None:
        if problem != self._last_problem:
            _LOGGER.warning("Cannot announce the server: %s. Trying again every %g s", problem, self._poll_seconds)
        self._last_problem = problem


def stable_name(data_dir: Path, port: int) -> str:
    """The name to announce by default, by which Home Assistant identifies a server: the same after every restart.

    Kept in ``data_dir``, since containers change their host names. Servers that share the directory differ by port.
    """
    kept = data_dir / "zeroconf-name"
    try:
        name = kept.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        name = ""
    if not name:
        name = f"pocket-tts-{_host_label()}-{uuid.uuid4().hex[:6]}"
        try:
            data_dir.mkdir(parents=True, exist_ok=True)
            kept.write_text(name + "\n", encoding="utf-8")
        except OSError as error:
            # A name that cannot be kept must follow from the host alone.
            name = f"pocket-tts-{_host_label()}-{uuid.uuid5(uuid.NAMESPACE_DNS, f'{uuid.getnode():x}').hex[:6]}"
            _LOGGER.warning("Cannot keep the server's name in %s (%s); using '%s'", kept, error, name)
    return f"{name}-{port}"


def _host_label() -> str:
    first_label = socket.gethostname().partition(".")[0]
    return re.sub(r"[^A-Za-z0-9-]+", "-", first_label).strip("-")[:24] or "host"


def _responder(addresses: Collection[IpAddress]) -> AsyncZeroconf:
    is_local = all(address.is_loopback for address in addresses)
    return AsyncZeroconf(interfaces=["127.0.0.1"] if is_local else multicast_interfaces(addresses))


def _describe(label: str, service_type: str, addresses: tuple[IpAddress, ...], port: int) -> AsyncServiceInfo:
    return AsyncServiceInfo(
        service_type,
        f"{label}.{service_type}",
        port=port,
        addresses=[address.packed for address in addresses],
        # A unique host name: if one server withdraws, the address of another one must stay.
        server=f"pocket-tts-{uuid.uuid4().hex[:12]}.local.",
    )
